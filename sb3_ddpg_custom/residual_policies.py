"""A policy of residual blocks: ``"SimbaPolicy"``.

Lee et al. 2025, "SimBa: Simplicity bias for scaling up parameters in deep reinforcement learning" (arXiv 2410.09754,
section 4). A linear layer takes the normalised observation, for the critic with the action behind it, to the width of
the blocks. Each block adds to what it gets:

    x ← x + W₂ relu(W₁ norm(x) + b₁) + b₂

with a layer norm, W₁ of (4 width, width) and W₂ of (width, 4 width), so that there is a linear way from the input to
the output; a last layer norm and a linear layer end the network, and the actor's tanh.
"""

from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.td3.policies import Actor
from torch import nn

from sb3_ddpg_custom.normalized_policies import NormalizedMlpPolicy

#: the paper's: one block of 128 for the actor, two of 512 for the critic
NET_ARCH = {"pi": [128], "qf": [512, 512]}
_EXPANSION = 4


class ResidualBlock(nn.Module):
    """x + W₂ relu(W₁ norm(x) + b₁) + b₂.

    Weights begin as He et al. 2015 draw them (normal, variance 2 / inputs), biases as 0.

    :param width: of x
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.widen = nn.Linear(width, _EXPANSION * width)
        self.narrow = nn.Linear(_EXPANSION * width, width)
        for layer in (self.widen, self.narrow):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)

    def forward(self, x: th.Tensor) -> th.Tensor:
        """Compute the block.

        :param x: (batch, width)
        :return: (batch, width)
        """
        added: th.Tensor = self.narrow(nn.functional.relu(self.widen(self.norm(x))))
        return x + added


def residual_network(inputs: int, widths: list[int], outputs: int) -> list[nn.Module]:
    """List a network's modules, from its input to its last linear layer.

    :param inputs: numbers that it reads
    :param widths: of each block; one number, as many times as there are blocks
    :param outputs: numbers that it answers
    :raises ValueError: if there is no block, or their widths differ
    """
    if len(set(widths)) != 1:
        raise ValueError(f"net_arch of a SimbaPolicy is the width of each block, such as [128, 128], got {widths}")
    width = widths[0]
    ends = nn.Linear(inputs, width), nn.Linear(width, outputs)
    for layer in ends:
        nn.init.orthogonal_(layer.weight)
        nn.init.zeros_(layer.bias)
    return [ends[0], *(ResidualBlock(width) for _ in widths), nn.LayerNorm(width), ends[1]]


class SimbaPolicy(NormalizedMlpPolicy):
    """A policy of residual blocks, for normalised observations of any kind that SB3 reads.

    >>> from sb3_ddpg_custom import DDPG
    >>> model = DDPG("SimbaPolicy", "Pendulum-v1", policy_kwargs={"net_arch": {"pi": [8], "qf": [16, 16]}})
    >>> [type(layer).__name__ for layer in model.critic.qf0]
    ['Linear', 'ResidualBlock', 'ResidualBlock', 'LayerNorm', 'Linear']

    :param observation_space: the env's
    :param action_space: the env's
    :param lr_schedule: the first step size is its value at 1
    :param net_arch: the width of each block, a list, or one for ``pi`` and one for ``qf``; None for :data:`NET_ARCH`
    :param features_extractor_class: None for the one of SB3 that reads the observations: a CNN for images, that of its
        ``MultiInputPolicy`` for a Dict
    :param kwargs: of SB3's ``TD3Policy``; the blocks' activation is always ReLU
    :raises ValueError: if ``net_arch`` holds no block, or blocks of several widths, or ``activation_fn`` is another one
    """

    def __init__(
        self,
        observation_space: spaces.Space[Any],
        action_space: spaces.Box,
        lr_schedule: Schedule,
        net_arch: list[int] | dict[str, list[int]] | None = None,
        *,
        features_extractor_class: type[BaseFeaturesExtractor] | None = None,
        **kwargs: Any,
    ) -> None:
        if kwargs.get("activation_fn", nn.ReLU) is not nn.ReLU:
            raise ValueError(f"the blocks of a SimbaPolicy compute ReLU, got activation_fn={kwargs['activation_fn']}")
        super().__init__(
            observation_space,
            action_space,
            lr_schedule,
            net_arch=NET_ARCH if net_arch is None else net_arch,
            features_extractor_class=features_extractor_class or _extractor_for(observation_space, **kwargs),
            **kwargs,
        )

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """Make an actor; see SB3's ``TD3Policy.make_actor``."""
        actor = super().make_actor(features_extractor)
        modules = residual_network(actor.features_dim, actor.net_arch, _outputs(actor.mu))
        actor.mu = nn.Sequential(*modules, nn.Tanh()).to(self.device)
        return actor

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """Make critics; see SB3's ``TD3Policy.make_critic``."""
        critic = super().make_critic(features_extractor)
        widths: Any = self.critic_kwargs["net_arch"]
        of_mlp: list[Any] = critic.q_networks
        for index, network in enumerate(of_mlp):
            modules = residual_network(network[0].in_features, widths, 1)
            critic.q_networks[index] = nn.Sequential(*modules).to(self.device)
            setattr(critic, f"qf{index}", critic.q_networks[index])
        return critic


def _outputs(network: Any) -> int:
    outputs: int = [layer for layer in network if isinstance(layer, nn.Linear)][-1].out_features
    return outputs


def _extractor_for(space: spaces.Space[Any], *, normalize_images: bool = True, **_: Any) -> type[BaseFeaturesExtractor]:
    if isinstance(space, spaces.Dict):
        return CombinedExtractor
    return NatureCNN if is_image_space(space, normalized_image=not normalize_images) else FlattenExtractor
