"""A multi-layer perceptron, forwards and backwards by hand.

With x the input of a layer, it computes z = x Wᵀ + b and hands on f(z). Backwards, with δ = ∂L/∂z,

    ∂L/∂W = δᵀ x        ∂L/∂b = Σ δ over the batch        ∂L/∂x = δ W

and the layer before has δ = ∂L/∂x · f'(z) with its own f and z. All tensors are allocated once per batch size and
written in place, so a pass is a list of operations that is written down once: the products dominate, and nothing else
may add to them.
"""

from collections.abc import Sequence
from functools import partial

import torch as th
from torch import nn

from sb3_ddpg_custom.option_values import Precision
from sb3_ddpg_custom.updates.by_hand.products import Operation, choose_products
from sb3_ddpg_custom.updates.layers import Activation, find_activation


def layers_of(network: nn.Sequential) -> list[tuple[nn.Linear, Activation | None]]:
    """Read a network as layers of a linear map and at most one activation; an empty list if it is none of those."""
    layers: list[tuple[nn.Linear, Activation | None]] = []
    for module in network:
        if type(module) is nn.Linear and module.bias is not None:
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
        self.output, self.delta = x, x
        for index, activation in enumerate(activations):
            weight, bias = parameters[2 * index : 2 * index + 2]
            is_last = index == len(activations) - 1
            y = output if is_last and output is not None else x.new_empty(len(x), len(weight))
            z = x.new_empty(y.shape) if activation is not None and activation.needs_z else y
            delta = x.new_empty(y.shape if gradients else 0)
            products = choose_products(weight, len(x), precision)(x, weight, z, delta)

            relu = activation is not None and activation.apply is th.relu_
            self._forward += products.forward(bias, relu=relu)
            if z is not y:
                self._forward.append(partial(y.copy_, z))
            if activation is not None and not relu:
                self._forward.append(partial(activation.apply, y))

            if gradients:
                # The last layer comes first on the way back.
                back: list[Operation] = [] if activation is None else [partial(activation.backward, delta, z)]
                back += products.begin_backward()
                into_weight, into_bias = gradients[2 * index : 2 * index + 2]
                learn: list[Operation] = [*products.into_weight(into_weight), partial(th.sum, delta, 0, out=into_bias)]
                onward = products.into_input(self.delta) if index > 0 else []
                self._train = [*back, *learn, *onward, *self._train]
                if index == 0 and action_gradients is not None:
                    onward = _into_last_columns(weight, delta, action_gradients)
                self._differentiate = [*back, *onward, *self._differentiate]
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


def _into_last_columns(weight: th.Tensor, delta: th.Tensor, out: th.Tensor) -> list[Operation]:
    columns = weight[:, -out.shape[1] :]
    # In float32: what the backward pass has rounded for bfloat16 is the whole of W.
    return choose_products(columns, len(delta), "float32")(delta, columns, delta, delta).into_input(out)
