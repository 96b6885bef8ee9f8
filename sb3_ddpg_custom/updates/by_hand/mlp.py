"""A multi-layer perceptron, forwards and backwards by hand.

With x the input of a layer, it computes z = x Wᵀ + b and hands on f(z). Backwards, with δ = ∂L/∂z,

    ∂L/∂W = δᵀ x        ∂L/∂b = Σ δ over the batch        ∂L/∂x = δ W

and the layer before has δ = ∂L/∂x · f'(z) with its own f and z. Where a layer norm stands between z and f, ``norm.py``
has the formulas. All tensors are allocated once per batch size and written in place, so a pass is a list of operations
that is written down once: the products dominate, and nothing else may add to them.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import torch as th
from torch import nn

from sb3_ddpg_custom.option_values import Precision
from sb3_ddpg_custom.updates.by_hand.norm import Norm
from sb3_ddpg_custom.updates.by_hand.products import Operation, choose_products
from sb3_ddpg_custom.updates.layers import Activation, find_activation


class Layer(NamedTuple):
    """A linear map, and what may stand behind it: a layer norm, and then an activation."""

    linear: nn.Linear
    norm: nn.LayerNorm | None = None
    activation: Activation | None = None

    @property
    def parameters(self) -> list[th.Tensor]:
        """W and b, and the norm's scale and shift, in the order in which torch lists them."""
        own: list[th.Tensor] = [self.linear.weight, self.linear.bias]
        return own if self.norm is None else [*own, self.norm.weight, self.norm.bias]


def layers_of(network: nn.Sequential) -> list[Layer]:
    """Read a network as layers; an empty list if it is none of those."""
    layers: list[Layer] = []
    for module in network:
        if type(module) is nn.Linear and module.bias is not None:
            layers.append(Layer(module))
        elif not layers or layers[-1].activation is not None:
            return []
        elif type(module) is nn.LayerNorm and layers[-1].norm is None and _is_whole(module, layers[-1].linear):
            layers[-1] = layers[-1]._replace(norm=module)
        else:
            activation = find_activation(module)
            if activation is None:
                return []
            layers[-1] = layers[-1]._replace(activation=activation)
    return layers


def _is_whole(norm: nn.LayerNorm, linear: nn.Linear) -> bool:
    """Say whether a norm is over all outputs of a layer, with a scale and a shift."""
    shape = (linear.out_features,)
    parts: list[Any] = [norm.weight, norm.bias]
    return norm.normalized_shape == shape and all(part is not None and part.shape == shape for part in parts)


class Mlp:
    """One network as lists of operations on fixed tensors.

    ``output`` is the network's, (batch, outputs). ``delta``, of the same shape, takes ∂L/∂output.

    :param layers: what it is made of; not whose parameters are read
    :param parameters: W, (outputs, inputs), b, (outputs,), and a norm's scale and shift, of each layer in turn
    :param gradients: get ∂L/∂W and so on, tensors of the same shapes; empty for a network that is not trained
    :param x: input, (batch, inputs)
    :param output: gets the output, (batch, outputs); None for a tensor of its own
    :param action_gradients: gets ∂L/∂a, (batch, actions), of the input's last columns; None where nobody asks for it
    :param precision: of the large products
    """

    def __init__(
        self,
        layers: Sequence[Layer],
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
        for index, (_, module, activation) in enumerate(layers):
            (weight, bias, *affine), parameters = _split(parameters, module)
            is_last = index == len(layers) - 1
            y = output if is_last and output is not None else x.new_empty(len(x), len(weight))
            # What the activation takes: z, or the norm of z.
            z = x.new_empty(y.shape) if activation is not None and activation.needs_z else y
            delta = x.new_empty(y.shape if gradients else 0)
            norm = None if module is None else Norm(affine, module.eps, x.new_empty(y.shape), z, delta)
            products = choose_products(weight, len(x), precision)(x, weight, z if norm is None else norm.z, delta)

            relu = norm is None and activation is not None and activation.apply is th.relu_
            self._forward += products.forward(bias, relu=relu)
            if norm is not None:
                self._forward.append(norm.forward)
            if z is not y:
                self._forward.append(partial(y.copy_, z))
            if activation is not None and not relu:
                self._forward.append(partial(activation.apply, y))

            if gradients:
                # The last layer comes first on the way back.
                back: list[Operation] = [] if activation is None else [partial(activation.backward, delta, z)]
                (into_weight, into_bias, *into_affine), gradients = _split(gradients, module)
                through: list[Operation] = [] if norm is None else [norm.backward]
                learn: list[Operation] = [] if norm is None else [partial(norm.train, *into_affine)]
                learn += [
                    *products.begin_backward(),
                    *products.into_weight(into_weight),
                    partial(th.sum, delta, 0, out=into_bias),
                ]
                onward = products.into_input(self.delta) if index > 0 else []
                self._train = [*back, *learn, *onward, *self._train]
                if index == 0 and action_gradients is not None:
                    onward = _into_last_columns(weight, delta, action_gradients)
                through += products.begin_backward()
                self._differentiate = [*back, *through, *onward, *self._differentiate]
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


def _split(tensors: Sequence[th.Tensor], norm: nn.LayerNorm | None) -> tuple[Sequence[th.Tensor], Sequence[th.Tensor]]:
    """Take one layer's tensors off the front: W and b, and a norm's scale and shift."""
    count = 2 if norm is None else 4
    return tensors[:count], tensors[count:]


def _into_last_columns(weight: th.Tensor, delta: th.Tensor, out: th.Tensor) -> list[Operation]:
    columns = weight[:, -out.shape[1] :]
    # In float32: what the backward pass has rounded for bfloat16 is the whole of W.
    return choose_products(columns, len(delta), "float32")(delta, columns, delta, delta).into_input(out)
