"""The tensors that the update by hand computes in, allocated once per batch size."""

from collections.abc import Iterable, Sequence
from typing import Any

import torch as th
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.option_values import Precision
from sb3_ddpg_custom.updates.by_hand.mlp import Mlp, layers_of
from sb3_ddpg_custom.updates.interface import Batch, UpdateStatistics, importance_weights
from sb3_ddpg_custom.updates.layers import Activation, penalised_tanh


class WorkSpace:
    """A batch, the networks' outputs and what is propagated back.

    Numbers of one per transition are (batch,) here.

    :param policy: actor, critic and their targets
    :param online: parameters of the actor and then of the critics
    :param targets: those of their targets
    :param gradients: tensors of the shapes of ``online``
    :param batch_size: transitions per update
    :param precision: of the large products
    :param pre_tanh_penalty: c of :func:`sb3_ddpg_custom.losses.pre_tanh_penalty`, None for none
    """

    def __init__(
        self,
        policy: TD3Policy,
        online: Sequence[th.Tensor],
        targets: Sequence[th.Tensor],
        gradients: Sequence[th.Tensor],
        batch_size: int,
        precision: Precision,
        pre_tanh_penalty: float | None = None,
    ) -> None:
        self.pre_tanh_penalty = pre_tanh_penalty
        features, actions = policy.actor.features_dim, get_action_dim(policy.action_space)
        self.batch_size = batch_size
        # The critic's input is (s, a); the actor reads the first columns of the same rows.
        self.inputs, self.next_inputs = online[0].new_empty(2, batch_size, features + actions)
        self.observations, self.actions = self.inputs[:, :features], self.inputs[:, features:]
        self.next_observations, self.next_actions = self.next_inputs[:, :features], self.next_inputs[:, features:]
        self.rewards, self.discounts, self.targets = online[0].new_empty(3, batch_size)
        self.share = online[0].new_full((batch_size,), 1.0 / batch_size)
        self.scale, self._are_weighted = self.share * 2.0, False
        self._columns = [numbers[:, None] for numbers in (self.rewards, self.discounts, self.scale)]

        boundary = len(list(policy.actor.parameters()))
        (self.actor,) = _build(
            [policy.actor.mu],
            self.observations,
            online,
            gradients,
            precision,
            output=self.actions,
            end=penalised_tanh(pre_tanh_penalty) if pre_tanh_penalty else None,
        )
        self.critics = _build(
            policy.critic.q_networks,
            self.inputs,
            online[boundary:],
            gradients[boundary:],
            precision,
            action_gradients=self.actor.delta,
        )
        (self.actor_target,) = _build(
            [policy.actor_target.mu], self.next_observations, targets, [], precision, output=self.next_actions
        )
        self.critics_target = _build(
            policy.critic_target.q_networks, self.next_inputs, targets[boundary:], [], precision
        )
        self.q_values = [critic.output[:, 0] for critic in self.critics]
        self.q_gradients = [critic.delta[:, 0] for critic in self.critics]
        self.next_q_values = [critic.output[:, 0] for critic in self.critics_target]
        self.errors = [th.empty_like(q_values) for q_values in self.q_values]
        # What an update sees: sums of e · 2 w e / n and of Q / n, brought to losses by the factors.
        self.statistics = online[0].new_zeros(len(UpdateStatistics._fields))
        self.seen = UpdateStatistics(*self.statistics)
        self.losses = [self.seen.critic_loss, *online[0].new_zeros(len(self.critics) - 1)]
        self.factors = th.ones_like(self.statistics)
        UpdateStatistics(*self.factors).critic_loss.fill_(0.5)
        UpdateStatistics(*self.factors).actor_loss.fill_(-1.0)

    def load(self, batch: Batch, observations: th.Tensor, next_observations: th.Tensor, gamma: float) -> None:
        """Take a batch over; numbers of any type are cast.

        :param batch: see :meth:`sb3_ddpg_custom.updates.Update.__call__`
        :param observations: (batch, features)
        :param next_observations: (batch, features)
        :param gamma: discount factor where the batch has none
        """
        self.observations.copy_(observations)
        self.next_observations.copy_(next_observations)
        self.actions.copy_(batch.actions)
        rewards, discounts, scale = self._columns
        rewards.copy_(batch.rewards)
        # γⁿ (1 - terminated)
        if batch.discounts is None:
            discounts.fill_(gamma)
        else:
            discounts.copy_(batch.discounts)
        discounts.addcmul_(discounts, batch.dones, value=-1)
        # 2 w / n
        weights = importance_weights(batch)
        if weights is not None:
            th.mul(weights, 2.0 / self.batch_size, out=scale)
        elif self._are_weighted:
            scale.fill_(2.0 / self.batch_size)
        self._are_weighted = weights is not None


def _build(
    networks: Iterable[Any],
    x: th.Tensor,
    parameters: Sequence[th.Tensor],
    gradients: Sequence[th.Tensor],
    precision: Precision,
    *,
    output: th.Tensor | None = None,
    action_gradients: th.Tensor | None = None,
    end: Activation | None = None,
) -> list[Mlp]:
    """Build networks of the same input, whose parameters and gradients follow each other.

    :param end: takes the place of the last activation
    """
    built = []
    for network in networks:
        layers = layers_of(network)
        if end is not None:
            layers[-1] = layers[-1]._replace(activation=end)
        size = sum(len(layer.parameters) for layer in layers)
        own = layers, parameters[:size], gradients[:size], x
        built.append(Mlp(*own, output=output, action_gradients=action_gradients, precision=precision))
        parameters, gradients = parameters[size:], gradients[size:]
    return built
