"""SB3's policies with observation normalisation in them: ``policy_kwargs={"normalize_observations": True}``."""

from typing import Any

import torch as th
from stable_baselines3.common.policies import BaseModel, ContinuousCritic
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.type_aliases import PyTorchObs, Schedule
from stable_baselines3.td3.policies import Actor, CnnPolicy, MultiInputPolicy, TD3Policy

from sb3_ddpg_custom.layer_norm import LayerNormCnnPolicy, LayerNormMultiInputPolicy, LayerNormPolicy
from sb3_ddpg_custom.observation_normalizer import ObservationNormalizer

#: the argument in ``policy_kwargs``
OPTION = "normalize_observations"


class NormalizesObservations(BaseModel):
    """What an actor or a critic does before SB3's preprocessing. To be named before its class.

    :param normalizer: the policy's, which all its networks share
    """

    def __init__(self, *args: Any, normalizer: ObservationNormalizer, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.normalizer = normalizer

    def extract_features(self, obs: PyTorchObs, features_extractor: BaseFeaturesExtractor) -> th.Tensor:
        """Normalise, and go on as SB3 does; see ``BaseModel.extract_features``."""
        return super().extract_features(self.normalizer(obs), features_extractor)

    def _get_constructor_parameters(self) -> dict[str, Any]:
        return {**super()._get_constructor_parameters(), "normalizer": self.normalizer}


class NormalizedActor(NormalizesObservations, Actor):
    """SB3's actor of normalised observations."""


class NormalizedCritic(NormalizesObservations, ContinuousCritic):
    """SB3's critic of normalised observations."""


class NormalizedMlpPolicy(TD3Policy):
    """SB3's ``TD3Policy`` of normalised observations; its arguments are the same.

    Actor, critic and their targets share one set of statistics, which are the policy's ``normalizer``. Whoever collects
    observations updates it; ``DDPG.learn`` does.
    """

    normalizer: ObservationNormalizer
    actor_class = NormalizedActor
    critic_class = NormalizedCritic

    def _build(self, lr_schedule: Schedule) -> None:
        self.normalizer = ObservationNormalizer(self.observation_space, normalize_images=self.normalize_images)
        super()._build(lr_schedule)

    def make_actor(self, features_extractor: BaseFeaturesExtractor | None = None) -> Actor:
        """Build an actor; see SB3's ``TD3Policy``."""
        kwargs = self._update_features_extractor(self.actor_kwargs, features_extractor)
        return self.actor_class(normalizer=self.normalizer, **kwargs).to(self.device)

    def make_critic(self, features_extractor: BaseFeaturesExtractor | None = None) -> ContinuousCritic:
        """Build a critic; see SB3's ``TD3Policy``."""
        kwargs = self._update_features_extractor(self.critic_kwargs, features_extractor)
        return self.critic_class(normalizer=self.normalizer, **kwargs).to(self.device)


class NormalizedCnnPolicy(NormalizedMlpPolicy, CnnPolicy):
    """SB3's ``CnnPolicy``; images are left alone."""


class NormalizedMultiInputPolicy(NormalizedMlpPolicy, MultiInputPolicy):
    """SB3's ``MultiInputPolicy``, whose Dict observations are normalised part by part."""


class NormalizedLayerNormMlpPolicy(LayerNormPolicy, NormalizedMlpPolicy):
    """Both: observations are normalised, and the hidden layers that ``layer_norm`` names."""


class NormalizedLayerNormCnnPolicy(LayerNormCnnPolicy, NormalizedCnnPolicy):
    """The same, of images."""


class NormalizedLayerNormMultiInputPolicy(LayerNormMultiInputPolicy, NormalizedMultiInputPolicy):
    """The same, of Dict observations."""


_NORMALIZED: dict[type[TD3Policy], type[TD3Policy]] = {
    TD3Policy: NormalizedMlpPolicy,
    CnnPolicy: NormalizedCnnPolicy,
    MultiInputPolicy: NormalizedMultiInputPolicy,
    LayerNormPolicy: NormalizedLayerNormMlpPolicy,
    LayerNormCnnPolicy: NormalizedLayerNormCnnPolicy,
    LayerNormMultiInputPolicy: NormalizedLayerNormMultiInputPolicy,
}


def policy_with_options(
    policy_class: type[TD3Policy], policy_kwargs: dict[str, Any]
) -> tuple[type[TD3Policy], dict[str, Any]]:
    """Find the class that does what a policy's arguments ask for.

    :param policy_class: SB3's, or somebody's own
    :param policy_kwargs: as the user gave them
    :return: the class, and the arguments that it takes
    :raises ValueError: if that class cannot be found
    """
    if OPTION not in policy_kwargs:
        return policy_class, policy_kwargs
    kwargs = dict(policy_kwargs)
    asked = kwargs.pop(OPTION)
    if not isinstance(asked, bool):
        raise ValueError(f"policy_kwargs {OPTION} must be True or False, got {asked!r}")
    normalizes = issubclass(policy_class, NormalizedMlpPolicy)
    if normalizes and not asked:
        raise ValueError(f"{OPTION}=False: a {policy_class.__name__} always normalises observations")
    if normalizes or not asked:
        return policy_class, kwargs
    if policy_class not in _NORMALIZED:
        raise ValueError(
            f"policy_kwargs {OPTION} needs 'MlpPolicy', 'CnnPolicy' or 'MultiInputPolicy', and {policy_class.__name__} "
            "is none of them: derive it from sb3_ddpg_custom.normalized_policies.NormalizedMlpPolicy"
        )
    return _NORMALIZED[policy_class], kwargs
