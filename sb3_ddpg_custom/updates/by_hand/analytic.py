"""The update by hand, for plain MLP policies: the notes' ∂μ/∂θ · ∂Q/∂a with every product written out.

For a batch of n transitions (s, a, r, terminated, s'), with y = r + γ (1 - terminated) Q'(s', μ'(s')):

    critic   L = mean (Q(s, a) - y)²       ∂L/∂Q = 2 (Q - y) / n       then back through the critic
    actor    J = mean Q(s, μ(s))           ∂J/∂Q = 1 / n               back through the critic to ∂J/∂a, its weights
                                                                       untouched, and on through the actor
    targets  θ' ← θ' + τ (θ - θ')

A penalty c mean z² on what goes into the actor's tanh adds its slope behind the tanh, see ``layers.penalised_tanh``.

The same numbers as ``losses.py`` gives through autograd, up to rounding; a test compares every gradient.
"""

import math
from functools import partial, reduce
from typing import ClassVar

import torch as th
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.option_values import Precision
from sb3_ddpg_custom.updates.by_hand.capture import Recorded, Recorder, Work, recorder_for
from sb3_ddpg_custom.updates.by_hand.work_space import WorkSpace
from sb3_ddpg_custom.updates.flat import FlatAdam
from sb3_ddpg_custom.updates.flat_policy import FlatPolicy
from sb3_ddpg_custom.updates.flat_update import FlatUpdate
from sb3_ddpg_custom.updates.interface import Batch, UpdateResult
from sb3_ddpg_custom.updates.plain_policy import why_not_analytic


class AnalyticUpdate(FlatUpdate):
    """Critic step, actor step, Polyak averaging; see :class:`sb3_ddpg_custom.updates.Update`.

    :param policy: one that :func:`why_not_analytic` has nothing against
    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :param precision: of the large matrix products; parameters, targets and optimisers keep theirs
    :param recorder: records the update, None for what its device offers: CUDA graphs on CUDA, nothing elsewhere
    :raises ValueError: if the formulas do not cover the policy
    """

    name: ClassVar[str] = "analytic"
    _options: ClassVar[tuple[str, ...]] = (*FlatUpdate._options, "precision", "_recorder")
    _device: th.device | None = None

    def __init__(
        self,
        policy: TD3Policy,
        *,
        tau: float,
        max_grad_norm: float | None = None,
        precision: Precision = "float32",
        recorder: Recorder | None = None,
    ) -> None:
        self.precision: Precision = precision
        self._recorder = recorder
        super().__init__(policy, tau=tau, max_grad_norm=max_grad_norm)

    @staticmethod
    def why_not(policy: TD3Policy) -> str | None:
        """Say what about a policy this update does not cover; None if nothing."""
        return why_not_analytic(policy)

    def _lay_out(self) -> FlatPolicy:
        device = next(self.policy.actor.parameters()).device
        if device != self._device:
            self._device = device
            recorder = self._recorder or recorder_for(device)
            self._recorded = None if recorder is None else Recorded(recorder)
        self._space: WorkSpace | None = None  # what was recorded on the old one lies elsewhere now
        return FlatPolicy(self.policy, rate_on_device=self._recorded is not None)

    @th.no_grad()
    def step(self, batch: Batch, gamma: float) -> UpdateResult:
        """Change the networks once, where ``flat.is_known()`` was just asked; see :meth:`FlatUpdate.step`."""
        space = self._space_for(len(batch.actions))
        space.load(batch, self._features(batch.observations), self._features(batch.next_observations), gamma)
        self.flat.actor_adam.prepare()
        self.flat.critic_adam.prepare()
        self._do(partial(self._update, space), space)
        self.flat.end_update()
        # Copies: recordings write to the same memory again.
        return UpdateResult(space.statistics * space.factors, space.errors[0][:, None])

    def _do(self, work: Work, space: WorkSpace) -> None:
        if self._recorded is None:
            work()
        else:
            constants = *self.flat.actor_adam.constants, *self.flat.critic_adam.constants
            self._recorded(work, (space, self.tau, self.max_grad_norm, *constants))

    def _space_for(self, batch_size: int) -> WorkSpace:
        asked = batch_size, self.pre_tanh_penalty
        if self._space is None or (self._space.batch_size, self._space.pre_tanh_penalty) != asked:
            gradients = [*self.flat.actor_adam.gradients, *self.flat.critic_adam.gradients]
            parameters = self.flat.online.views, self.flat.targets.views
            self._space = WorkSpace(self.policy, *parameters, gradients, batch_size, self.precision, asked[1])
        return self._space

    def _update(self, space: WorkSpace) -> None:
        seen = space.seen
        self._critic_gradient(space)
        # Looked at now: the actor's gradient writes over the critic's output.
        q_values, td_errors = space.q_values[0], space.errors[0]
        th.dot(q_values, space.share, out=seen.q_mean)
        th.amax(q_values, 0, out=seen.q_max)
        th.dot(td_errors.abs_(), space.share, out=seen.td_error)
        if not self._descend(self.flat.critic_adam, seen.grad_norm_critic):
            return
        self._actor_gradient(space)
        th.dot(q_values, space.share, out=seen.actor_loss)
        if not self._descend(self.flat.actor_adam, seen.grad_norm_actor):
            return
        # θ' ← θ' + τ (θ - θ')
        self.flat.targets.flat.lerp_(self.flat.online.flat, self.tau)

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

    def _descend(self, adam: FlatAdam, norm: th.Tensor) -> bool:
        """Step, unless the gradient is guarded against and not finite; say whether."""
        th.linalg.vector_norm(adam.gradient, out=norm)
        if self.guards and self._recorded is None and not math.isfinite(norm.item()):
            return False
        if self.max_grad_norm is not None:
            adam.gradient.mul_((self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
        adam.descend()
        return True
