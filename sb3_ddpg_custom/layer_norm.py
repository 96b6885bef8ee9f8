"""SB3's policies with layer normalisation in the hidden layers of the critic, the actor, or both.

Ba et al. 2016 (arXiv 1607.06450): between a hidden layer's product z = x Wᵀ + b and its activation,

    y = (z - mean z) / √(var z + ε) · g + b'

with mean and (biased) variance over the units of each sample, ε = 1e-5, and learned scale g and shift b', which begin
as 1 and 0. In an off-policy critic it bounds what the critic can claim of actions that were never tried: Ball et al.
2023 (RLPD, arXiv 2302.02948, section 4.2).
"""

from collections.abc import Mapping
from typing import Any, TypeVar, get_args

from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.td3.policies import Actor, CnnPolicy, MlpPolicy, MultiInputPolicy, TD3Policy
from torch import nn

from sb3_ddpg_custom.option_values import LayerNormName

P = TypeVar("P")


class LayerNormPolicy(TD3Policy):
    """SB3's ``MlpPolicy`` with layer normalisation; the same seed gives the same first W and b as without.

    >>> from sb3_ddpg_custom import DDPG
    >>> model = DDPG("MlpPolicy", "Pendulum-v1", policy_kwargs={"layer_norm": "critic", "net_arch": [8]})
    >>> [type(layer).__name__ for layer in model.critic.qf0]
    ['Linear', 'LayerNorm', 'ReLU', 'Linear']
    >>> [type(layer).__name__ for layer in model.actor.mu]
    ['Linear', 'ReLU', 'Linear', 'Tanh']

    :param args: of SB3's policy
    :param layer_norm: which networks are normalised; None for neither
    :param kwargs: of SB3's policy
    :raises ValueError: if ``layer_norm`` is none of those
    """

    def __init__(self, *args: Any, layer_norm: LayerNormName | None = None, **kwargs: Any) -> None:
        if layer_norm is not None and layer_norm not in get_args(LayerNormName):
            raise ValueError(f"layer_norm={layer_norm!r} names no networks: choose 'critic', 'actor' or 'both'")
        self.layer_norm = layer_norm
        super().__init__(*args, **kwargs)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """Make an actor; see SB3's ``TD3Policy.make_actor``."""
        actor = super().make_actor(features_extractor)
        if self.layer_norm in ("actor", "both"):
            actor.mu = _normalised(actor.mu)
        return actor

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """Make critics; see SB3's ``TD3Policy.make_critic``."""
        critic = super().make_critic(features_extractor)
        if self.layer_norm in ("critic", "both"):
            critic.q_networks = [_normalised(network) for network in critic.q_networks]
            for index, network in enumerate(critic.q_networks):
                setattr(critic, f"qf{index}", network)
        return critic

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "layer_norm": self.layer_norm}


class LayerNormCnnPolicy(LayerNormPolicy, CnnPolicy):
    """SB3's ``CnnPolicy``, whose linear layers behind the convolutions are normalised."""


class LayerNormMultiInputPolicy(LayerNormPolicy, MultiInputPolicy):
    """SB3's ``MultiInputPolicy``, whose linear layers behind the extractors are normalised."""


#: SB3's policies, and what they are with ``layer_norm`` among their arguments
NORMALISED: dict[type[Any], type[TD3Policy]] = {
    MlpPolicy: LayerNormPolicy,
    CnnPolicy: LayerNormCnnPolicy,
    MultiInputPolicy: LayerNormMultiInputPolicy,
}


def with_layer_norm(policy_class: type[P], policy_kwargs: Mapping[str, Any]) -> type[P]:
    """Give the policy class that understands ``layer_norm`` where that is asked for; else the class itself.

    :param policy_class: SB3's, or anybody's own, which has to understand its arguments by itself
    :param policy_kwargs: the policy's arguments
    """
    normalised: Any = NORMALISED.get(policy_class)
    return policy_class if normalised is None or "layer_norm" not in policy_kwargs else normalised


def _normalised(network: Any) -> nn.Sequential:
    """Put a layer norm behind each linear layer but the last."""
    linear = [module for module in network if isinstance(module, nn.Linear)]
    modules: list[nn.Module] = []
    for module in network:
        modules.append(module)
        if module in linear[:-1]:
            like = module.weight
            modules.append(nn.LayerNorm(module.out_features, device=like.device, dtype=like.dtype))
    return nn.Sequential(*modules)
