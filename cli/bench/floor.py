"""The arithmetic floor: the matrix products of one DDPG update, and nothing else.

With x the input of a layer, W its weights and δ = ∂L/∂z behind it, a layer costs x Wᵀ forwards, δᵀ x for its weights'
gradient and δ W for its input's, each through whichever library is the fastest for it here, NumPy's or one of torch's.
Biases, activations, losses, Adam and the averaging of the targets are left out.
The layouts are those of ``torch.nn.Linear``.
"""

import itertools
import statistics
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch as th

Operation = Callable[[], object]

_TRIES = 25


class Product(NamedTuple):
    """One matrix product on tensors that exist already.

    :param left: (rows, inner)
    :param right: (inner, columns)
    :param out: (rows, columns), written over
    """

    left: th.Tensor
    right: th.Tensor
    out: th.Tensor

    @property
    def multiply_adds(self) -> int:
        """How many multiplications, each with an addition, it takes."""
        rows, inner = self.left.shape
        return rows * inner * self.right.shape[1]


class _Network:
    """Weights of a network, and the products of its passes.

    :param widths: of its layers, from the input to the output
    :param batch: tensors of this dtype are drawn for so many rows
    """

    def __init__(self, widths: Sequence[int], batch: int, dtype: th.dtype) -> None:
        def draw(*shape: int) -> th.Tensor:
            return th.rand(*shape).to(dtype)

        self.inputs = [draw(batch, width) for width in widths]
        self.deltas = [draw(batch, width) for width in widths]
        self.weights = [draw(columns, rows) for rows, columns in itertools.pairwise(widths)]
        self.gradients = [th.empty_like(weight) for weight in self.weights]
        self.outputs = [th.empty_like(x) for x in self.inputs]

    def forward(self) -> list[Product]:
        """Give z = x Wᵀ for all layers."""
        return [Product(self.inputs[i], w.t(), self.outputs[i + 1]) for i, w in enumerate(self.weights)]

    def weight_gradients(self) -> list[Product]:
        """Give ∂L/∂W = δᵀ x for all layers."""
        return [Product(self.deltas[i + 1].t(), self.inputs[i], g) for i, g in enumerate(self.gradients)]

    def input_gradients(self, *, last_inputs: int = 0) -> list[Product]:
        """Give ∂L/∂x = δ W for all layers but the first.

        :param last_inputs: for the first too, but only for so many of the network's last inputs
        """
        products = [Product(self.deltas[i + 1], w, self.outputs[i]) for i, w in enumerate(self.weights[1:], start=1)]
        if last_inputs > 0:
            columns = self.weights[0][:, -last_inputs:]
            products.append(Product(self.deltas[1], columns, th.empty_like(self.deltas[0][:, -last_inputs:])))
        return products


def update_products(
    *, observation_dim: int, action_dim: int, net_arch: Sequence[int], batch_size: int, dtype: th.dtype
) -> list[Product]:
    """List the products of one update of an actor and a critic that are multi-layer perceptrons.

    :param observation_dim: numbers in one observation
    :param action_dim: numbers in one action
    :param net_arch: widths of the hidden layers, of actor and critic alike
    :param batch_size: transitions per update
    :param dtype: of all tensors
    """
    actor_widths = [observation_dim, *net_arch, action_dim]
    critic_widths = [observation_dim + action_dim, *net_arch, 1]
    actor, actor_target = (_Network(actor_widths, batch_size, dtype) for _ in range(2))
    critic, critic_target = (_Network(critic_widths, batch_size, dtype) for _ in range(2))
    return [
        # y = r + γ Q'(s', μ'(s'))
        *actor_target.forward(),
        *critic_target.forward(),
        # the critic's step: Q(s, a) and its gradient by the critic's weights
        *critic.forward(),
        *critic.weight_gradients(),
        *critic.input_gradients(),
        # the actor's step: Q(s, μ(s)) and its gradient by the actor's weights, through the action
        *actor.forward(),
        *critic.forward(),
        *critic.input_gradients(last_inputs=action_dim),
        *actor.weight_gradients(),
        *actor.input_gradients(),
    ]


def fastest(product: Product) -> Operation:
    """Find out what multiplies these two matrices fastest here: torch, oneDNN or NumPy.

    :param product: its ``out`` is written over
    """
    paths: list[Operation] = [partial(th.mm, product.left, product.right, out=product.out)]
    if product.left.dtype is th.float32 and hasattr(th.ops.mkldnn, "_linear_pointwise"):
        linear = th.ops.mkldnn._linear_pointwise
        paths.append(partial(linear, product.left, product.right.t(), None, "none", [], ""))
    # NumPy does not know bfloat16, and its threads and torch's would wait for each other.
    if product.left.dtype is not th.bfloat16 and th.get_num_threads() == 1:
        paths.append(partial(np.dot, *(tensor.numpy() for tensor in product)))
    return min(paths, key=_seconds)


def _seconds(operation: Operation) -> float:
    times = []
    for _ in range(_TRIES):
        start = time.perf_counter()
        operation()
        times.append(time.perf_counter() - start)
    return statistics.median(times)
