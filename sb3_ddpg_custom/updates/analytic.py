"""The update by hand, for plain MLP policies: the notes' ∂μ/∂θ · ∂Q/∂a with every product written out.

For a batch of n transitions (s, a, r, terminated, s'), with y = r + γ (1 - terminated) Q'(s', μ'(s')):

    critic   L = mean (Q(s, a) - y)²       ∂L/∂Q = 2 (Q - y) / n       then back through the critic
    actor    J = mean Q(s, μ(s))           ∂J/∂Q = 1 / n               back through the critic to ∂J/∂a, its weights
                                                                       untouched, and on through the actor
    targets  θ' ← θ' + τ (θ - θ')

The same numbers as ``losses.py`` gives through autograd, up to rounding; a test compares every gradient.
"""

from functools import reduce
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.preprocessing import get_action_dim, is_image_space
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.losses import td_target
from sb3_ddpg_custom.updates.flat import FlatAdam, FlatParameters, is_plain_adam
from sb3_ddpg_custom.updates.interface import Batch, UpdateResult, UpdateStatistics, importance_weights
from sb3_ddpg_custom.updates.mlp import Mlp, layers_of


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
    :raises ValueError: if the formulas do not cover the policy
    """

    def __init__(self, policy: TD3Policy, *, tau: float, max_grad_norm: float | None = None) -> None:
        reason = why_not_analytic(policy)
        if reason is not None:
            raise ValueError(f"update='analytic' does not cover this policy: {reason}; use 'auto' or 'autograd'")
        self.policy = policy
        self.tau = tau
        self.max_grad_norm = max_grad_norm
        space = policy.observation_space
        self.observations_are_features = isinstance(space, spaces.Box) and not (
            policy.normalize_images and is_image_space(space)
        )
        self._adopt()

    def _adopt(self) -> None:
        """Move the parameters and the optimisers' states into flat tensors."""
        policy = self.policy
        actor, critic = list(policy.actor.parameters()), list(policy.critic.parameters())
        self._online = FlatParameters([*actor, *critic])
        self._targets = FlatParameters([*policy.actor_target.parameters(), *policy.critic_target.parameters()])
        boundary = sum(parameter.numel() for parameter in actor)
        self._actor_adam = FlatAdam(policy.actor.optimizer, actor, self._online.flat[:boundary])
        self._critic_adam = FlatAdam(policy.critic.optimizer, critic, self._online.flat[boundary:])
        self._space: _WorkSpace | None = None

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
        batch_size = len(batch.actions)
        if self._space is None or len(self._space.inputs) != batch_size:
            self._space = _WorkSpace(self, batch_size)
        self._space.load(self._features(batch.observations), self._features(batch.next_observations))
        critic_loss, q_values, errors, grad_norm_critic = self._critic_step(self._space, batch, gamma)
        objective, grad_norm_actor = self._actor_step(self._space)
        # θ' ← θ' + τ (θ - θ')
        self._targets.flat.lerp_(self._online.flat, self.tau)
        td_errors = errors.abs_()
        statistics = UpdateStatistics(
            critic_loss=critic_loss,
            actor_loss=-objective,
            q_mean=q_values.mean(),
            q_max=q_values.max(),
            td_error=td_errors.mean(),
            grad_norm_critic=grad_norm_critic,
            grad_norm_actor=grad_norm_actor,
        )
        return UpdateResult(statistics, td_errors)

    def _critic_step(
        self, space: "_WorkSpace", batch: Batch, gamma: float
    ) -> tuple[th.Tensor, th.Tensor, th.Tensor, th.Tensor]:
        # y = r + γ (1 - terminated) Q'(s', μ'(s'))
        space.next_actions.copy_(space.actor_target.forward(space.next_observations))
        next_q = reduce(th.minimum, [critic.forward(space.next_inputs) for critic in space.critics_target])
        targets = td_target(batch.rewards, batch.dones, next_q, gamma if batch.discounts is None else batch.discounts)
        # L = mean w (Q(s, a) - y)²,   ∂L/∂Q = 2 w (Q - y) / n
        space.actions.copy_(batch.actions)
        weights = importance_weights(batch)
        losses, errors = [], []
        for critic in space.critics:
            errors.append(critic.forward(space.inputs) - targets)
            weighted = errors[-1] if weights is None else weights * errors[-1]
            losses.append(th.dot(weighted.flatten(), errors[-1].flatten()) / len(targets))
            critic.backward(weighted * (2.0 / len(targets)))
        return reduce(th.add, losses), errors[0] + targets, errors[0], self._descend(self._critic_adam)

    def _actor_step(self, space: "_WorkSpace") -> tuple[th.Tensor, th.Tensor]:
        # J = mean Q(s, μ(s)),   ∂J/∂Q = 1 / n; descending -J ascends J
        space.actions.copy_(space.actor.forward(space.observations))
        objective = space.critics[0].forward(space.inputs).mean()
        space.critics[0].backward(space.minus_share, into=space.action_gradients, train=False)
        space.actor.backward(space.action_gradients)
        return objective, self._descend(self._actor_adam)

    def _features(self, observations: Any) -> th.Tensor:
        if self.observations_are_features:
            flat: th.Tensor = observations.flatten(1)  # of any type: copy_ casts it
            return flat
        extractor = self.policy.actor.features_extractor
        features: th.Tensor = self.policy.actor.extract_features(observations, extractor)
        return features

    def _descend(self, adam: FlatAdam) -> th.Tensor:
        norm: th.Tensor = th.linalg.vector_norm(adam.gradient)
        if self.max_grad_norm is not None:
            adam.gradient.mul_((self.max_grad_norm / (norm + 1e-6)).clamp(max=1.0))
        adam.step()
        return norm


class _WorkSpace:
    """The tensors that an update of one batch size writes into."""

    def __init__(self, update: AnalyticUpdate, batch_size: int) -> None:
        policy = update.policy
        features, actions = policy.actor.features_dim, get_action_dim(policy.action_space)
        flat = update._online.flat
        # The critic's input is (s, a); the actor reads the first columns of the same rows.
        self.inputs = flat.new_empty(batch_size, features + actions)
        self.observations, self.actions = th.split(self.inputs, [features, actions], dim=1)
        self.next_inputs = flat.new_empty(batch_size, features + actions)
        self.next_observations, self.next_actions = th.split(self.next_inputs, [features, actions], dim=1)
        self.action_gradients = flat.new_empty(batch_size, actions)
        self.minus_share = flat.new_full((batch_size, 1), -1.0 / batch_size)
        count = len(update._actor_adam.parameters)

        def build(networks: Any, weights: list[th.Tensor], gradients: list[th.Tensor] | None) -> list[Mlp]:
            built = []
            for network in networks:
                layers = layers_of(network)
                size = 2 * len(layers)
                built.append(Mlp(layers, weights[:size], None if gradients is None else gradients[:size], batch_size))
                weights, gradients = weights[size:], None if gradients is None else gradients[size:]
            return built

        online, targets = update._online.views, update._targets.views
        (self.actor,) = build([policy.actor.mu], online[:count], update._actor_adam.gradients)
        self.critics = build(policy.critic.q_networks, online[count:], update._critic_adam.gradients)
        (self.actor_target,) = build([policy.actor_target.mu], targets[:count], None)
        self.critics_target = build(policy.critic_target.q_networks, targets[count:], None)

    def load(self, observations: th.Tensor, next_observations: th.Tensor) -> None:
        """Take a batch's observations, (batch, features), of any type."""
        self.observations.copy_(observations)
        self.next_observations.copy_(next_observations)
