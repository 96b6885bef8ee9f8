"""What every way of computing an update takes and gives."""

from typing import Any, NamedTuple, Protocol

import torch as th
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples

from sb3_ddpg_custom.replay.priorities import PrioritizedSamples

Batch = ReplayBufferSamples | DictReplayBufferSamples | PrioritizedSamples


def importance_weights(batch: Batch) -> th.Tensor | None:
    """Read the weights of the squared TD errors, (batch, 1), None where all count alike.

    :param batch: as it was sampled
    """
    return batch.weights if isinstance(batch, PrioritizedSamples) else None


class UpdateStatistics(NamedTuple):
    """What one update saw: scalars, or tensors of them that stay on the device until somebody reads them.

    :param critic_loss: mean squared TD error (weighted in prioritised replay), summed over the critics
    :param actor_loss: -mean Q(s, μ(s)), before the actor's step, and without a penalty
    :param q_mean: mean Q(s, a) of the batch, before the critic's step
    :param q_max: largest Q(s, a) of the batch, before the critic's step
    :param td_error: mean |Q(s, a) - y|
    :param grad_norm_critic: L2 norm of the critic's gradient, before clipping
    :param grad_norm_actor: L2 norm of the actor's gradient, a penalty's included, before clipping
    """

    critic_loss: Any
    actor_loss: Any
    q_mean: Any
    q_max: Any
    td_error: Any
    grad_norm_critic: Any
    grad_norm_actor: Any


class UpdateResult(NamedTuple):
    """What one update gives back.

    :param statistics: the scalars of :class:`UpdateStatistics`, in its order, (7,)
    :param td_errors: abs(Q(s, a) - y) of each transition for the first critic, before the critic's step, (batch, 1), on
        the device; valid until the next update
    """

    statistics: th.Tensor
    td_errors: th.Tensor


class Update(Protocol):
    """One DDPG update: critic step, actor step, target networks.

    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :param guards: whether a gradient that is not finite is left out, and all behind it; not where a device repeats a
        recording, which asks nobody
    :param pre_tanh_penalty: c of :func:`sb3_ddpg_custom.losses.pre_tanh_penalty` in the actor's step, None for none
    """

    tau: float
    max_grad_norm: float | None
    guards: bool
    pre_tanh_penalty: float | None

    def __call__(self, batch: Batch, gamma: float) -> UpdateResult:
        """Change the networks once.

        :param batch: ``observations`` and ``next_observations`` (batch, …) as the policy's networks take them,
            ``actions`` (batch, action_dim) in [-1, 1], ``rewards`` and ``dones`` (batch, 1), where ``dones`` is
            SB3's name for "terminated, and not by a time limit", ``discounts`` (batch, 1) or None,
            and in prioritised replay ``weights`` (batch, 1), see :func:`importance_weights`
        :param gamma: discount factor where ``batch.discounts`` is None
        """
        ...
