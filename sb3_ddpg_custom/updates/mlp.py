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

from sb3_ddpg_custom.updates.products import Precision, choose_products


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


class Layer:
    """One linear map with its activation, and the tensors it writes into.

    ``output`` is f(z). In a layer that is trained, ``delta`` takes ∂L/∂f(z) and becomes ∂L/∂z on the way back.

    :param weight: W, (outputs, inputs)
    :param bias: b, (outputs,)
    :param activation: f, None for none
    :param batch_size: rows of every input
    :param precision: of its large products
    """

    def __init__(
        self, weight: th.Tensor, bias: th.Tensor, activation: Activation | None, batch_size: int, precision: Precision
    ) -> None:
        self.activation = activation
        self.output = weight.new_empty(batch_size, len(weight))
        self.delta, self._slope = th.empty_like(self.output), th.empty_like(self.output)
        self._z = th.empty_like(self.output) if activation is not None and activation.needs_z else self.output
        self._products = choose_products(weight, batch_size, precision)(weight, bias, self.delta)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Compute f(x Wᵀ + b); ``output`` holds it until the next call.

        :param x: (batch, inputs); must stay as it is until :meth:`backward`
        """
        self._products.forward(x, out=self._z)
        if self._z is not self.output:
            self.output.copy_(self._z)
        return self.output if self.activation is None else self.activation.apply(self.output)

    def through_activation(self) -> None:
        """Turn ``delta`` from ∂L/∂f(z) into ∂L/∂z."""
        if self.activation is not None:
            self.delta.mul_(self.activation.slope(self._z, self._slope))

    def backward(self, gradients: tuple[th.Tensor, th.Tensor] | None, into_input: th.Tensor | None) -> None:
        """Propagate ``delta``, by now ∂L/∂z.

        :param gradients: get ∂L/∂W and ∂L/∂b, None where they are not wanted
        :param into_input: gets ∂L/∂x, (batch, inputs), None where it is not wanted
        """
        self._products.backward(None if gradients is None else gradients[0], into_input)
        if gradients is not None:
            th.sum(self.delta, 0, out=gradients[1])


class Mlp:
    """One network with its work space.

    :param activations: of each layer, None for none
    :param parameters: W and b of each layer in turn, (outputs, inputs) and (outputs,)
    :param gradients: tensors of the same shapes for ∂L/∂W and ∂L/∂b; empty for a network that is not trained
    :param batch_size: rows of every input
    :param actions: how many of the last inputs are actions, of which :meth:`backward` can give the gradient
    :param precision: of the large products
    """

    def __init__(
        self,
        activations: Sequence[Activation | None],
        parameters: Sequence[th.Tensor],
        gradients: Sequence[th.Tensor],
        batch_size: int,
        *,
        actions: int = 0,
        precision: Precision = "float32",
    ) -> None:
        of_layers = zip(parameters[::2], parameters[1::2], activations, strict=True)
        self.layers = [Layer(w, b, activation, batch_size, precision) for w, b, activation in of_layers]
        self.gradients = list(zip(gradients[::2], gradients[1::2], strict=True))
        self.output, self.delta = self.layers[-1].output, self.layers[-1].delta
        of_actions, delta = parameters[0][:, -actions:], self.layers[0].delta
        self._to_actions = choose_products(of_actions, batch_size, precision)(of_actions, None, delta)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Compute the network's output; ``output`` holds it until the next call.

        :param x: (batch, inputs); must stay as it is until :meth:`backward`
        """
        for layer in self.layers:
            x = layer.forward(x)
        return x

    def backward(self, *, train: bool = True, into_actions: th.Tensor | None = None) -> None:
        """Propagate ∂L/∂output, which the caller has put into ``delta``, back through the last forward pass.

        :param train: write ∂L/∂W and ∂L/∂b into ``gradients``
        :param into_actions: gets ∂L/∂a, (batch, actions), None where it is not wanted
        """
        for index in reversed(range(len(self.layers))):
            layer = self.layers[index]
            layer.through_activation()
            layer.backward(
                self.gradients[index] if train else None,
                self.layers[index - 1].delta if index else None,
            )
        if into_actions is not None:
            self._to_actions.backward(None, into_actions)
