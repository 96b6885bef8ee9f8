"""The tensors that the update by hand computes in, allocated once per batch size."""

from collections.abc import Sequence

import torch as th
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.updates.interface import Batch, importance_weights
from sb3_ddpg_custom.updates.mlp import Mlp, layers_of
from sb3_ddpg_custom.updates.products import Precision


class WorkSpace:
    """A batch, the networks' outputs and what is propagated back.

    Numbers of one per transition are (batch,) here.

    :param policy: actor, critic and their targets
    :param online: parameters of the actor and then of the critics
    :param targets: those of their targets
    :param gradients: tensors of the shapes of ``online``
    :param batch_size: transitions per update
    :param precision: of the large products
    """

    def __init__(
        self,
        policy: TD3Policy,
        online: Sequence[th.Tensor],
        targets: Sequence[th.Tensor],
        gradients: Sequence[th.Tensor],
        batch_size: int,
        precision: Precision,
    ) -> None:
        features, actions = policy.actor.features_dim, get_action_dim(policy.action_space)
        self.batch_size = batch_size
        # The critic's input is (s, a); the actor reads the first columns of the same rows.
        self.inputs, self.next_inputs = online[0].new_empty(2, batch_size, features + actions)
        self.observations, self.actions = self.inputs[:, :features], self.inputs[:, features:]
        self.next_observations, self.next_actions = self.next_inputs[:, :features], self.next_inputs[:, features:]
        self.rewards, self.discounts, self.targets = online[0].new_empty(3, batch_size)
        self.share = online[0].new_full((batch_size,), 1.0 / batch_size)
        self.scale = self.share * 2.0

        def build(
            networks: Sequence[nn.Module], parameters: Sequence[th.Tensor], own: Sequence[th.Tensor], actions: int = 0
        ) -> list[Mlp]:
            built = []
            for network in networks:
                activations = [activation for _, activation in layers_of(network)]
                size = 2 * len(activations)
                built.append(
                    Mlp(activations, parameters[:size], own[:size], batch_size, actions=actions, precision=precision)
                )
                parameters, own = parameters[size:], own[size:]
            return built

        boundary = len(list(policy.actor.parameters()))
        (self.actor,) = build([policy.actor.mu], online, gradients)
        self.critics = build(policy.critic.q_networks, online[boundary:], gradients[boundary:], actions)
        (self.actor_target,) = build([policy.actor_target.mu], targets, [])
        self.critics_target = build(policy.critic_target.q_networks, targets[boundary:], [])
        self.q_values = [critic.output[:, 0] for critic in self.critics]
        self.q_gradients = [critic.delta[:, 0] for critic in self.critics]
        self.next_q_values = [critic.output[:, 0] for critic in self.critics_target]
        self.errors = [th.empty_like(q_values) for q_values in self.q_values]

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
        self.rewards.copy_(batch.rewards[:, 0])
        # γⁿ (1 - terminated)
        if batch.discounts is None:
            self.discounts.fill_(gamma)
        else:
            self.discounts.copy_(batch.discounts[:, 0])
        self.discounts.addcmul_(self.discounts, batch.dones[:, 0], value=-1)
        weights = importance_weights(batch)
        # 2 w / n
        if weights is None:
            self.scale.fill_(2.0 / self.batch_size)
        else:
            th.mul(weights[:, 0], 2.0 / self.batch_size, out=self.scale)
