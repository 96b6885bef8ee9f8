"""Activations f and their derivatives, each in one pass over memory: torch's own kernels, called in place."""

from collections.abc import Callable
from typing import NamedTuple

import torch as th
from torch import nn


class Activation(NamedTuple):
    """An activation f and the way back through it.

    :param apply: writes f(z) over z
    :param backward: turns δ from ∂L/∂f(z) into ∂L/∂z = ∂L/∂f(z) · f'(z); takes δ, and f(z), or z where ``needs_z``
    :param needs_z: whether the derivative cannot be told from f(z) alone
    """

    apply: Callable[[th.Tensor], object]
    backward: Callable[[th.Tensor, th.Tensor], object]
    needs_z: bool = False


def penalised_tanh(coefficient: float) -> Activation:
    """Give tanh with the penalty c mean z² on what goes into it, see :func:`sb3_ddpg_custom.losses.pre_tanh_penalty`.

    ∂L/∂z = ∂L/∂tanh(z) · (1 - tanh²(z)) + 2 c z / (batch · outputs)

    :param coefficient: c
    """

    def backward(delta: th.Tensor, z: th.Tensor) -> None:
        th.ops.aten.tanh_backward.grad_input(delta, th.tanh(z), grad_input=delta)
        delta.add_(z, alpha=2 * coefficient / z.numel())

    return Activation(th.tanh_, backward, needs_z=True)


def find_activation(module: nn.Module) -> Activation | None:
    """Give the activation that a module computes, or None if it is none of those known here."""
    kind, aten = type(module), th.ops.aten
    if kind is nn.ReLU:
        return Activation(th.relu_, lambda delta, x: aten.threshold_backward.grad_input(delta, x, 0, grad_input=delta))
    if kind is nn.Tanh:
        return Activation(th.tanh_, lambda delta, x: aten.tanh_backward.grad_input(delta, x, grad_input=delta))
    if type(module) is nn.LeakyReLU and module.negative_slope > 0:
        slope = module.negative_slope
        return Activation(
            lambda z: nn.functional.leaky_relu_(z, slope),
            lambda delta, x: aten.leaky_relu_backward.grad_input(delta, x, slope, True, grad_input=delta),
        )
    if type(module) is nn.ELU and module.alpha >= 0:
        alpha = module.alpha
        return Activation(
            lambda z: nn.functional.elu_(z, alpha),
            lambda delta, x: aten.elu_backward.grad_input(delta, alpha, 1.0, 1.0, True, x, grad_input=delta),
        )
    if kind is nn.SiLU:
        return Activation(
            lambda z: nn.functional.silu(z, inplace=True),
            lambda delta, z: aten.silu_backward.grad_input(delta, z, grad_input=delta),
            needs_z=True,
        )
    if type(module) is nn.GELU and module.approximate == "none":
        return Activation(
            lambda z: z.copy_(nn.functional.gelu(z)),
            lambda delta, z: aten.gelu_backward.grad_input(delta, z, grad_input=delta),
            needs_z=True,
        )
    return None
