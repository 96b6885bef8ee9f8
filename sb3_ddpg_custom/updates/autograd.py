"""The update for any policy: the equations of ``losses.py``, differentiated by torch."""

import math
from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import reduce
from typing import ClassVar

import torch as th
from stable_baselines3.common.utils import get_parameters_by_name, polyak_update
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.losses import actor_loss, critic_loss, pre_tanh_penalty, td_target
from sb3_ddpg_custom.option_values import Precision
from sb3_ddpg_custom.updates.interface import Batch, UpdateResult, UpdateStatistics, importance_weights
from sb3_ddpg_custom.updates.pre_tanh import act_and_look


class AutogradUpdate:
    """Critic step, actor step, Polyak averaging; see :class:`sb3_ddpg_custom.updates.Update`.

    :param policy: actor, critic, their targets and optimisers
    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :param precision: ``"bfloat16"`` runs the networks under torch's autocast
    """

    name: ClassVar[str] = "autograd"
    guards = False
    pre_tanh_penalty: float | None = None

    def __init__(
        self,
        policy: TD3Policy,
        *,
        tau: float,
        max_grad_norm: float | None = None,
        precision: Precision = "float32",
    ) -> None:
        self.policy = policy
        self.precision: Precision = precision
        self.tau = tau
        self.max_grad_norm = max_grad_norm
        self.look()

    def look(self) -> None:
        """See whether the networks, as they are now, have running statistics."""
        self.has_running_statistics = any("running_" in name for name, _ in self.policy.named_buffers())

    def __call__(self, batch: Batch, gamma: float) -> UpdateResult:
        """Change the networks once; see :meth:`sb3_ddpg_custom.updates.Update.__call__`."""
        loss_q, q_values, targets, grad_norm_critic = self._critic_step(batch, gamma)
        loss_mu, grad_norm_actor = self._actor_step(batch)
        self._update_targets()
        with th.no_grad():
            td_errors = (q_values - targets).abs()
            statistics = UpdateStatistics(
                critic_loss=loss_q.detach(),
                actor_loss=loss_mu.detach(),
                q_mean=q_values.mean(),
                q_max=q_values.max(),
                td_error=td_errors.mean(),
                grad_norm_critic=grad_norm_critic,
                grad_norm_actor=grad_norm_actor,
            )
        return UpdateResult(th.stack(statistics), td_errors)

    def _critic_step(self, batch: Batch, gamma: float) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
        policy = self.policy
        with th.no_grad():
            with self._products():
                next_actions = self._next_actions(batch)
                next_q_values = policy.critic_target(batch.next_observations, next_actions)
            # DDPG has one critic; with several (policy_kwargs n_critics) the most cautious one counts, as in SB3.
            next_q = th.cat(next_q_values, dim=1).min(dim=1, keepdim=True).values
            # Losses are computed in float32 at least: networks may be in bfloat16 or in float64.
            kind = th.promote_types(next_q.dtype, batch.rewards.dtype)
            discounts = gamma if batch.discounts is None else batch.discounts.to(kind)
            targets = td_target(batch.rewards.to(kind), batch.dones.to(kind), next_q.to(kind), discounts)
        with self._products():
            q_values = policy.critic(batch.observations, batch.actions)
        q_values = [q.to(kind) for q in q_values]
        weights = importance_weights(batch)
        loss = reduce(th.add, [critic_loss(q, targets, weights) for q in q_values])
        policy.critic.optimizer.zero_grad()
        if loss.requires_grad:  # not where the whole critic is frozen
            loss.backward()  # type: ignore[no-untyped-call]
        grad_norm = self._clip(policy.critic.parameters())
        if self._may_step(grad_norm):
            policy.critic.optimizer.step()
        return loss, q_values[0].detach(), targets, grad_norm

    def _next_actions(self, batch: Batch) -> th.Tensor:
        """Compute μ'(s'), and draw as SB3 does: its DDPG is a TD3 whose target noise is multiplied by 0.

        What is drawn moves torch's generator on, and with it whatever draws next, such as dropout.
        """
        no_noise = batch.actions.clone().normal_(0, 0.0)
        next_actions: th.Tensor = self.policy.actor_target(batch.next_observations)
        return (next_actions + no_noise).clamp(-1, 1)

    def _actor_step(self, batch: Batch) -> tuple[th.Tensor, th.Tensor]:
        policy, z = self.policy, None
        with self._products():
            if self.pre_tanh_penalty:
                actions, z = act_and_look(policy.actor, batch.observations)
            else:
                actions = policy.actor(batch.observations)
            q_values = policy.critic.q1_forward(batch.observations, actions)  # type: ignore[arg-type]  # SB3 means dicts too
        q_values = q_values.to(th.promote_types(q_values.dtype, batch.rewards.dtype))
        policy.actor.optimizer.zero_grad()
        parameters = [parameter for parameter in policy.actor.parameters() if parameter.requires_grad]
        loss = descended = actor_loss(q_values)
        if z is not None and self.pre_tanh_penalty:
            descended = loss + pre_tanh_penalty(z.to(q_values.dtype), self.pre_tanh_penalty)
        if parameters and actions.requires_grad:  # not where the whole actor is frozen
            # Σ ∂μ(s)/∂θ · ∂J/∂a, see losses.deterministic_policy_gradient, descended; the critic gets nothing of it.
            descended.backward(inputs=parameters)  # type: ignore[no-untyped-call]
        grad_norm = self._clip(parameters)
        if self._may_step(grad_norm):
            policy.actor.optimizer.step()
        return loss, grad_norm

    def _may_step(self, grad_norm: th.Tensor) -> bool:
        return not self.guards or math.isfinite(grad_norm.item())

    def _products(self) -> AbstractContextManager[None]:
        """Run networks in the precision that was asked for."""
        if self.precision == "float32":
            return nullcontext()
        return th.autocast(self.policy.device.type, dtype=th.bfloat16)

    def _clip(self, parameters: Iterable[th.Tensor]) -> th.Tensor:
        parameters = list(parameters)
        norm = th.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
        if self.max_grad_norm is not None:
            th.nn.utils.clip_grads_with_norm_(parameters, self.max_grad_norm, norm)
        return norm

    def _update_targets(self) -> None:
        policy = self.policy
        for online, target in ((policy.critic, policy.critic_target), (policy.actor, policy.actor_target)):
            polyak_update(online.parameters(), target.parameters(), self.tau)
            if self.has_running_statistics:
                # Polyak averaging sees parameters only; batch norm's statistics are copied as they are.
                statistics = get_parameters_by_name(online, ["running_"])
                polyak_update(statistics, get_parameters_by_name(target, ["running_"]), 1.0)
