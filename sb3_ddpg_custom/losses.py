"""DDPG as equations: pure functions on tensors.

Lillicrap et al. 2016, "Continuous control with deep reinforcement learning" (arXiv 1509.02971), Algorithm 1;
the policy gradient is Silver et al. 2014, "Deterministic policy gradient algorithms", equation 9.
Symbols: critic Q, actor μ with parameters θ, their slowly moving target copies Q', μ'.
"""

from collections.abc import Sequence

import torch as th
from torch.nn import functional as F


def td_target(
    rewards: th.Tensor,
    terminated: th.Tensor,
    next_q_values: th.Tensor,
    discounts: th.Tensor | float,
) -> th.Tensor:
    """One-step or n-step temporal-difference target, y = r + γⁿ (1 - terminated) Q'(s', μ'(s')).

    A time limit is not a termination: the value behind it counts (the paper's code and the notes that this
    project grew from cut it off).

    :param rewards: r, or the discounted sum of n rewards; (batch, 1)
    :param terminated: 1 where the episode ended by the task's own rules, else 0; (batch, 1)
    :param next_q_values: Q'(s', μ'(s')); (batch, 1)
    :param discounts: γⁿ, one number or (batch, 1)
    :return: y, (batch, 1)
    :raises ValueError: if the shapes differ, because (batch, 1) and (batch,) would broadcast to (batch, batch)
    """
    _same_shape(rewards=rewards, terminated=terminated, next_q_values=next_q_values)
    if isinstance(discounts, th.Tensor) and discounts.dim() > 0:
        _same_shape(rewards=rewards, discounts=discounts)
    return rewards + (1 - terminated) * discounts * next_q_values


def critic_loss(q_values: th.Tensor, td_targets: th.Tensor, weights: th.Tensor | None = None) -> th.Tensor:
    """Mean squared temporal-difference error, L = mean w (Q(s, a) - y)².

    :param q_values: Q(s, a), (batch, 1)
    :param td_targets: y, (batch, 1), a constant of the optimisation: no gradient may flow into it
    :param weights: importance weights w of prioritised replay (Schaul et al. 2016, 3.4), (batch, 1); None: all 1
    :return: scalar
    :raises ValueError: if the shapes differ
    """
    if weights is None:
        _same_shape(q_values=q_values, td_targets=td_targets)
        return F.mse_loss(q_values, td_targets)
    _same_shape(q_values=q_values, td_targets=td_targets, weights=weights)
    return (weights * (q_values - td_targets) ** 2).mean()


def actor_loss(q_values: th.Tensor) -> th.Tensor:
    """Loss to descend so that the objective J = mean Q(s, μ(s)) ascends: -J.

    :param q_values: Q(s, μ(s)), (batch, 1)
    :return: scalar
    """
    return -q_values.mean()


def pre_tanh_penalty(pre_activations: th.Tensor, coefficient: float) -> th.Tensor:
    """Penalty on what goes into the actor's last tanh, c mean z², so that the tanh keeps its slope.

    Fujimoto et al. 2025, "Towards general-purpose model-free reinforcement learning" (MR.Q, arXiv 2501.16142), with
    c = 1e-5: it is added to the actor's loss. The mean is over the batch and the dimensions of the action, so its slope
    is ∂/∂z = 2 c z / (batch · action_dim).

    :param pre_activations: z, where the actions are tanh(z), (batch, action_dim)
    :param coefficient: c, in the units of Q
    :return: scalar
    """
    return coefficient * pre_activations.square().mean()


def action_gradients(q_values: th.Tensor, actions: th.Tensor) -> th.Tensor:
    """Slope of the objective J = mean Q(s, μ(s)) along the actions, ∂J/∂a = ∂Q(s, a)/∂a / batch at a = μ(s).

    :param q_values: Q(s, μ(s)), (batch, 1)
    :param actions: μ(s), (batch, action_dim), the tensor that ``q_values`` was computed from
    :return: (batch, action_dim), one row per sample
    """
    (gradients,) = th.autograd.grad(q_values.mean(), actions)
    return gradients


def deterministic_policy_gradient(
    actions: th.Tensor,
    dj_da: th.Tensor,
    parameters: Sequence[th.Tensor],
) -> tuple[th.Tensor | None, ...]:
    """Gradient of the objective J = mean Q(s, μ(s)) by the actor's parameters, Σ ∂μ(s)/∂θ · ∂J/∂a.

    Silver et al. 2014, equation 9; the sum is over the batch, whose 1/batch is inside ∂J/∂a. Ascend it (or
    descend its negative). The critic's own parameters are no part of it: an actor step leaves no gradient there.

    :param actions: μ(s), (batch, action_dim), with the graph that leads back to ``parameters``
    :param dj_da: ∂J/∂a at these actions, (batch, action_dim), see :func:`action_gradients`
    :param parameters: θ, the actor's parameters
    :return: one gradient per parameter, of its shape; None for a parameter that ``actions`` do not depend on
    :raises ValueError: if the shapes of ``actions`` and ``dj_da`` differ
    """
    _same_shape(actions=actions, dj_da=dj_da)
    return th.autograd.grad(actions, parameters, grad_outputs=dj_da, allow_unused=True)


def _same_shape(**tensors: th.Tensor) -> None:
    if len({tensor.shape for tensor in tensors.values()}) > 1:
        shapes = ", ".join(f"{name} {tuple(tensor.shape)}" for name, tensor in tensors.items())
        raise ValueError(f"these tensors must have one shape, but got {shapes}")
