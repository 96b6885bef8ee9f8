"""A multi-layer perceptron, forwards and backwards by hand.

With x the input of a layer, it computes z = x Wᵀ + b and hands on f(z). Backwards, with δ = ∂L/∂z,

    ∂L/∂W = δᵀ x        ∂L/∂b = Σ δ over the batch        ∂L/∂x = δ W

and the layer before has δ = ∂L/∂x · f'(z) with its own f and z. All tensors are allocated once per batch size and
written in place, so a pass is a list of operations that is written down once: the products dominate, and nothing else
may add to them.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import torch as th
from torch import nn

from sb3_ddpg_custom.updates.products import Operation, Precision, choose_products


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
    """One network as lists of operations on fixed tensors.

    ``output`` is the network's, (batch, outputs). ``delta``, of the same shape, takes ∂L/∂output.

    :param activations: of each layer, None for none
    :param parameters: W and b of each layer in turn, (outputs, inputs) and (outputs,)
    :param gradients: get ∂L/∂W and ∂L/∂b, tensors of the same shapes; empty for a network that is not trained
    :param x: input, (batch, inputs)
    :param output: gets the output, (batch, outputs); None for a tensor of its own
    :param action_gradients: gets ∂L/∂a, (batch, actions), of the input's last columns; None where nobody asks for it
    :param precision: of the large products
    """

    def __init__(
        self,
        activations: Sequence[Activation | None],
        parameters: Sequence[th.Tensor],
        gradients: Sequence[th.Tensor],
        x: th.Tensor,
        *,
        output: th.Tensor | None = None,
        action_gradients: th.Tensor | None = None,
        precision: Precision = "float32",
    ) -> None:
        self._forward: list[Operation] = []
        self._train: list[Operation] = []
        self._differentiate: list[Operation] = []
        into_input: list[Operation] = []
        for index, activation in enumerate(activations):
            weight, bias = parameters[2 * index : 2 * index + 2]
            is_last = index == len(activations) - 1
            y = output if is_last and output is not None else x.new_empty(len(x), len(weight))
            delta, slope = x.new_empty(2, *y.shape)
            z = x.new_empty(y.shape) if activation is not None and activation.needs_z else y
            kind = choose_products(weight, len(x), precision)
            products = kind(x, weight, z, delta)

            self._forward += products.forward(bias)
            if z is not y:
                self._forward.append(partial(y.copy_, z))
            if activation is not None:
                self._forward.append(partial(activation.apply, y))

            backward = products.begin_backward()
            if activation is not None:
                # ∂L/∂z = ∂L/∂f(z) · f'(z), both of them in delta
                backward = [partial(activation.slope, z, slope), partial(delta.mul_, slope), *backward]
            if index > 0:
                into_input = products.into_input(self.delta)
            elif action_gradients is not None:
                into_input = _into_last_columns(weight, delta, action_gradients, precision)
            # The last layer's come first.
            self._differentiate = [*backward, *into_input, *self._differentiate]
            if gradients:
                into_weight, into_bias = gradients[2 * index : 2 * index + 2]
                backward += [*products.into_weight(into_weight), partial(th.sum, delta, 0, out=into_bias)]
            self._train = [*backward, *(into_input if index > 0 else []), *self._train]
            self.output, self.delta, x = y, delta, y

    def forward(self) -> th.Tensor:
        """Compute ``output`` from what is in the input now."""
        for operation in self._forward:
            operation()
        return self.output

    def train(self) -> None:
        """Propagate ``delta`` back through the last forward pass into ``gradients``; the input must be as it was."""
        for operation in self._train:
            operation()

    def differentiate(self) -> None:
        """Propagate ``delta`` back through the last forward pass into ``action_gradients``, past the parameters."""
        for operation in self._differentiate:
            operation()


def _into_last_columns(weight: th.Tensor, delta: th.Tensor, out: th.Tensor, precision: Precision) -> list[Operation]:
    columns = weight[:, -out.shape[1] :]
    return choose_products(columns, len(delta), precision)(delta, columns, delta, delta).into_input(out)
