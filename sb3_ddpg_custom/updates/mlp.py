"""A multi-layer perceptron, forwards and backwards by hand.

With x the input of a layer, it computes z = x Wᵀ + b and hands on f(z). Backwards, with δ = ∂L/∂z,

    ∂L/∂W = δᵀ x        ∂L/∂b = Σ δ over the batch        ∂L/∂x = δ W

and the layer before has δ = ∂L/∂x · f'(z) with its own f and z. All tensors are allocated once per batch size and
written in place: the products dominate, and nothing else may add to them.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch as th
from torch import nn


class Activation(NamedTuple):
    """An activation f and its derivative.

    :param apply: writes f(z) over z
    :param slope: writes f' into its second argument; from f(z), or from z where ``needs_z``
    :param needs_z: whether the derivative cannot be told from f(z) alone
    """

    apply: Callable[[th.Tensor], th.Tensor]
    slope: Callable[[th.Tensor, th.Tensor], th.Tensor]
    needs_z: bool = False


def _silu_slope(z: th.Tensor, out: th.Tensor) -> th.Tensor:
    # f = z σ(z), so f' = σ + z σ (1 - σ) = σ (1 + z (1 - σ))
    sigma = th.sigmoid(z)
    return th.mul(sigma, 1 + z * (1 - sigma), out=out)


def _gelu_slope(z: th.Tensor, out: th.Tensor) -> th.Tensor:
    # f = z Φ(z) with the normal distribution Φ, so f' = Φ + z φ
    density = th.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return th.add(0.5 * (1 + th.erf(z / math.sqrt(2))), z * density, out=out)


def find_activation(module: nn.Module) -> Activation | None:
    """Give the activation that a module computes, or None if it is none of those known here."""
    kind = type(module)
    if kind is nn.ReLU:
        return Activation(th.relu_, lambda x, out: th.sign(x, out=out))  # x is 0 or more
    if kind is nn.Tanh:
        return Activation(th.tanh_, lambda x, out: out.fill_(1.0).addcmul_(x, x, value=-1))  # 1 - tanh²
    if isinstance(module, nn.LeakyReLU) and module.negative_slope > 0:
        slope = module.negative_slope
        return Activation(
            lambda z: nn.functional.leaky_relu_(z, slope),
            lambda x, out: out.copy_(th.where(x > 0, 1.0, slope)),
        )
    if isinstance(module, nn.ELU):
        alpha = module.alpha
        # below 0, f = α (eᶻ - 1), so f' = α eᶻ = f + α
        return Activation(
            lambda z: nn.functional.elu_(z, alpha),
            lambda x, out: out.copy_(th.where(x > 0, 1.0, x + alpha)),
        )
    if kind is nn.SiLU:
        return Activation(lambda z: nn.functional.silu(z, inplace=True), _silu_slope, needs_z=True)
    if isinstance(module, nn.GELU) and module.approximate == "none":
        return Activation(lambda z: z.copy_(nn.functional.gelu(z)), _gelu_slope, needs_z=True)
    return None


def layers_of(network: nn.Sequential) -> list[tuple[nn.Linear, Activation | None]]:
    """Read a network as layers of a linear map and at most one activation; an empty list if it is none of those."""
    layers: list[tuple[nn.Linear, Activation | None]] = []
    for module in network:
        if isinstance(module, nn.Linear) and module.bias is not None:
            layers.append((module, None))
        else:
            activation = find_activation(module)
            if activation is None or not layers or layers[-1][1] is not None:
                return []
            layers[-1] = layers[-1][0], activation
    return layers


class Mlp:
    """One network with its work space.

    :param layers: what :func:`layers_of` gave
    :param weights: W and b of each layer in turn, (outputs, inputs) and (outputs,)
    :param gradients: tensors of the same shapes for ∂L/∂W and ∂L/∂b, None for a network that is not trained
    :param batch_size: rows of every input
    """

    def __init__(
        self,
        layers: Sequence[tuple[nn.Linear, Activation | None]],
        weights: Sequence[th.Tensor],
        gradients: Sequence[th.Tensor] | None,
        batch_size: int,
    ) -> None:
        self.activations = [activation for _, activation in layers]
        self.weights, self.biases = list(weights[::2]), list(weights[1::2])
        self.gradients = gradients
        widths = [weight.shape[0] for weight in self.weights]
        make = [self.weights[0].new_empty(batch_size, width) for width in widths]
        self._outputs = make
        self._before = [
            th.empty_like(out) if activation is not None and activation.needs_z else out
            for out, activation in zip(make, self.activations, strict=True)
        ]
        self._deltas = [th.empty_like(out) for out in make]
        self._slopes = [th.empty_like(out) for out in make]
        self._input = make[0]

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Compute the network's output; the tensor is overwritten by the next call.

        :param x: (batch, inputs); must stay as it is until :meth:`backward`
        """
        self._input = x
        for weight, bias, activation, z, out in zip(
            self.weights, self.biases, self.activations, self._before, self._outputs, strict=True
        ):
            th.addmm(bias, x, weight.t(), out=z)
            if z is not out:
                out.copy_(z)
            x = out if activation is None else activation.apply(out)
        return x

    def backward(self, gradient: th.Tensor, *, into: th.Tensor | None = None, train: bool = True) -> None:
        """Propagate ∂L/∂output back through the last forward pass.

        :param gradient: ∂L/∂output, (batch, outputs)
        :param into: gets ∂L/∂x of the network's last columns of input, as many as it has
        :param train: write ∂L/∂W and ∂L/∂b into ``gradients``
        """
        for index in reversed(range(len(self.weights))):
            delta = self._through_activation(index, gradient)
            if train and self.gradients is not None:
                x = self._outputs[index - 1] if index else self._input
                th.mm(delta.t(), x, out=self.gradients[2 * index])
                th.sum(delta, 0, out=self.gradients[2 * index + 1])
            if index:
                gradient = th.mm(delta, self.weights[index], out=self._deltas[index - 1])
            elif into is not None:
                th.mm(delta, self.weights[0][:, -into.shape[1] :], out=into)

    def _through_activation(self, index: int, gradient: th.Tensor) -> th.Tensor:
        activation = self.activations[index]
        if activation is None:
            return gradient
        source = self._before[index] if activation.needs_z else self._outputs[index]
        return th.mul(gradient, activation.slope(source, self._slopes[index]), out=self._deltas[index])
