"""The update by hand, for plain MLP policies: the notes' ∂μ/∂θ · ∂Q/∂a with every product written out.

For a batch of n transitions (s, a, r, terminated, s'), with y = r + γ (1 - terminated) Q'(s', μ'(s')):

    critic   L = mean (Q(s, a) - y)²       ∂L/∂Q = 2 (Q - y) / n       then back through the critic
    actor    J = mean Q(s, μ(s))           ∂J/∂Q = 1 / n               back through the critic to ∂J/∂a, its weights
                                                                       untouched, and on through the actor
    targets  θ' ← θ' + τ (θ - θ')

The same numbers as ``losses.py`` gives through autograd, up to rounding; a test compares every gradient.
"""

from functools import partial, reduce
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.updates.capture import Recorded, Recorder, Work, recorder_for
from sb3_ddpg_custom.updates.flat import FlatAdam, FlatParameters, is_plain_adam
from sb3_ddpg_custom.updates.interface import Batch, UpdateResult
from sb3_ddpg_custom.updates.mlp import layers_of
from sb3_ddpg_custom.updates.products import Precision
from sb3_ddpg_custom.updates.work_space import WorkSpace


def why_not_analytic(policy: TD3Policy) -> str | None:
    """Say what about a policy the formulas here do not cover; None if nothing."""
    if type(policy) is not TD3Policy:
        return f"the policy is a {type(policy).__name__}, not SB3's MlpPolicy"
    for network in (policy.actor, policy.critic):
        if type(network.features_extractor) is not FlattenExtractor:
            return f"its features extractor is a {type(network.features_extractor).__name__}"
        if not is_plain_adam(network.optimizer):
            return f"its optimiser is {type(network.optimizer).__name__} with options of its own, not plain Adam"
        optimized = network.optimizer.param_groups[0]["params"]
        if [id(p) for p in optimized] != [id(p) for p in network.parameters() if p.requires_grad]:
            return "its optimisers work on other parameters than its networks'"
        if not all(parameter.requires_grad for parameter in network.parameters()):
            return "some of its parameters are frozen"
    for part in (policy.actor.mu, *policy.critic.q_networks):
        if not isinstance(part, nn.Sequential) or not layers_of(part):
            return "its networks are more than linear layers with known activations"
    return None


class AnalyticUpdate:
    """Critic step, actor step, Polyak averaging; see :class:`sb3_ddpg_custom.updates.Update`.

    :param policy: one that :func:`why_not_analytic` has nothing against
    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :param precision: of the large matrix products; parameters, targets and optimisers keep theirs
    :param recorder: records the update, None for what its device offers: CUDA graphs on CUDA, nothing elsewhere
    :raises ValueError: if the formulas do not cover the policy
    """

    def __init__(
        self,
        policy: TD3Policy,
        *,
        tau: float,
        max_grad_norm: float | None = None,
        precision: Precision = "float32",
        recorder: Recorder | None = None,
    ) -> None:
        reason = why_not_analytic(policy)
        if reason is not None:
            raise ValueError(f"update='analytic' does not cover this policy: {reason}; use 'auto' or 'autograd'")
        self.policy = policy
        self.tau = tau
        self.max_grad_norm = max_grad_norm
        self.precision: Precision = precision
        space = policy.observation_space
        self.observations_are_features = isinstance(space, spaces.Box) and not (
            policy.normalize_images and is_image_space(space)
        )
        self._recorder = recorder
        self._device: th.device | None = None
        self._adopt()

    def _adopt(self) -> None:
        """Move the parameters and the optimisers' states into flat tensors; what was recorded lies elsewhere now."""
        policy = self.policy
        actor, critic = list(policy.actor.parameters()), list(policy.critic.parameters())
        self._online = FlatParameters([*actor, *critic])
        self._targets = FlatParameters([*policy.actor_target.parameters(), *policy.critic_target.parameters()])
        boundary = sum(parameter.numel() for parameter in actor)
        if self._online.flat.device != self._device:
            self._device = self._online.flat.device
            recorder = self._recorder or recorder_for(self._device)
            self._recorded = None if recorder is None else Recorded(recorder)
        recorded = self._recorded is not None
        optimizers = policy.actor.optimizer, policy.critic.optimizer
        actor_flat, critic_flat = self._online.flat[:boundary], self._online.flat[boundary:]
        self._actor_adam = FlatAdam(optimizers[0], actor, actor_flat, rate_on_device=recorded)
        self._critic_adam = FlatAdam(optimizers[1], critic, critic_flat, rate_on_device=recorded)
        self._space: WorkSpace | None = None

    def actor_parameters(self) -> list[th.Tensor]:
        """Give W and b of the actor's layers as they are now, without their gradients' machinery."""
        if not self._online.is_current():
            self._adopt()
        return self._online.views[: len(self._actor_adam.parameters)]

    def _is_current(self) -> bool:
        parts = (self._online, self._targets, self._actor_adam, self._critic_adam)
        return all(part.is_current() for part in parts)

    @th.no_grad()
    def __call__(self, batch: Batch, gamma: float) -> UpdateResult:
        """Change the networks once; see :meth:`sb3_ddpg_custom.updates.Update.__call__`."""
        if not self._is_current():
            self._adopt()
        space = self._space_for(len(batch.actions))
        space.load(batch, self._features(batch.observations), self._features(batch.next_observations), gamma)
        self._actor_adam.prepare()
        self._critic_adam.prepare()
        self._do(partial(self._update, space), space)
        # Copies: recordings write to the same memory again.
        return UpdateResult(space.statistics * space.factors, space.errors[0][:, None])

    def _do(self, work: Work, space: WorkSpace) -> None:
        if self._recorded is None:
            work()
        else:
            constants = *self._actor_adam.constants, *self._critic_adam.constants
            self._recorded(work, (space, self.tau, self.max_grad_norm, *constants))

    def _space_for(self, batch_size: int) -> WorkSpace:
        if self._space is None or self._space.batch_size != batch_size:
            gradients = [*self._actor_adam.gradients, *self._critic_adam.gradients]
            parameters = self._online.views, self._targets.views
            self._space = WorkSpace(self.policy, *parameters, gradients, batch_size, self.precision)
        return self._space

    def _update(self, space: WorkSpace) -> None:
        seen = space.seen
        self._critic_gradient(space)
        # Looked at now: the actor's gradient writes over the critic's output.
        q_values, td_errors = space.q_values[0], space.errors[0]
        th.dot(q_values, space.share, out=seen.q_mean)
        th.amax(q_values, 0, out=seen.q_max)
        th.dot(td_errors.abs_(), space.share, out=seen.td_error)
        self._descend(self._critic_adam, seen.grad_norm_critic)
        self._actor_gradient(space)
        th.dot(q_values, space.share, out=seen.actor_loss)
        self._descend(self._actor_adam, seen.grad_norm_actor)
        # θ' ← θ' + τ (θ - θ')
        self._targets.flat.lerp_(self._online.flat, self.tau)

    def _critic_gradient(self, space: WorkSpace) -> None:
        # y = r + γ (1 - terminated) Q'(s', μ'(s'))
        space.actor_target.forward()
        for critic in space.critics_target:
            critic.forward()
        th.addcmul(space.rewards, space.discounts, reduce(th.minimum, space.next_q_values), out=space.targets)
        # L = mean w (Q(s, a) - y)²,   ∂L/∂Q = 2 w (Q - y) / n
        columns = zip(space.critics, space.q_values, space.errors, space.q_gradients, space.losses, strict=True)
        for critic, q_values, errors, q_gradients, loss in columns:
            critic.forward()
            th.sub(q_values, space.targets, out=errors)
            th.mul(errors, space.scale, out=q_gradients)
            th.dot(errors, q_gradients, out=loss)
            critic.train()
        for loss in space.losses[1:]:
            space.losses[0].add_(loss)

    def _actor_gradient(self, space: WorkSpace) -> None:
        # J = mean Q(s, μ(s)),   ∂J/∂Q = 1 / n; descending -J ascends J
        space.actor.forward()
        critic = space.critics[0]
        critic.forward()
        critic.delta.fill_(-1.0 / space.batch_size)
        critic.differentiate()  # into the actor's delta
        space.actor.train()

    def _features(self, observations: Any) -> th.Tensor:
        if self.observations_are_features:
            flat: th.Tensor = observations if observations.dim() == 2 else observations.flatten(1)
            return flat
        extractor = self.policy.actor.features_extractor
        features: th.Tensor = self.policy.actor.extract_features(observations, extractor)
        return features

    def _descend(self, adam: FlatAdam, norm: th.Tensor) -> None:
        th.linalg.vector_norm(adam.gradient, out=norm)
        if self.max_grad_norm is not None:
            adam.gradient.mul_((self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
        adam.descend()
