"""Settings that follow from what an env observes, where the user has not said otherwise."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gymnasium import spaces

from sb3_ddpg_custom.action_bounds import bounded_space
from sb3_ddpg_custom.cli.config.kinds import ClassSpec
from sb3_ddpg_custom.cli.config.memory import check_observation_memory
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.registry import closed_quietly, make_env
from sb3_ddpg_custom.cli.environments.spaces import check_spaces, needs_flattening
from sb3_ddpg_custom.cli.environments.wrapping import wrap

_FLATTEN = ClassSpec("gymnasium.wrappers.FlattenObservation")
_SMALLEST_FOR_CNN = 36  # SB3's NatureCNN; in smaller images its last layer has nothing left to look at


@dataclass(frozen=True)
class Fitted:
    """Settings with which an env can be trained.

    :param settings: with a policy, and a wrapper that flattens observations where one is needed
    :param remarks: a line for each thing that was chosen
    :param step_limit: of the env's episodes, as it declares it; None if it declares none
    :param observation_space: as its wrappers leave it
    :param action_space: as its wrappers leave it
    """

    settings: Settings
    remarks: Sequence[str]
    step_limit: int | None
    observation_space: spaces.Space[Any]
    action_space: spaces.Space[Any]


def fit_to_env(env_id: str, settings: Settings) -> Fitted:
    """Choose the policy, and flatten what no policy reads, so that DDPG can act in an env as its wrappers leave it.

    :param env_id: registered id
    :param settings: for ``env_kwargs``, ``env_wrapper`` and ``policy``
    :raises UsageError: if its action space is not a bounded Box of floats, SB3 has no policy for its observations, or
        no memory holds one of them
    """
    remarks = []
    env = make_env(env_id, settings)
    with closed_quietly(env):
        wrapped = wrap(env, settings.env_wrapper, "env_wrapper")
        if needs_flattening(wrapped.observation_space):
            settings = settings.model_copy(update={"env_wrapper": (*settings.env_wrapper, _FLATTEN)})
            wrapped = wrap(wrapped, [_FLATTEN], "env_wrapper")
            remarks.append(f"env_wrapper: {_FLATTEN.name}, as SB3 has no policy for the observations as they are")
        check_spaces(env_id, wrapped, settings.action_bounds)
        observed = wrapped.observation_space
        acts = bounded_space(wrapped.action_space, settings.action_bounds)
        step_limit = None if env.spec is None else env.spec.max_episode_steps
    if settings.policy is None and not settings.vec_env_wrapper:
        settings = settings.model_copy(update={"policy": suited_policy(observed)})
        if settings.policy != "MlpPolicy":
            remarks.append(f"policy: {settings.policy}, which fits the observations (--set policy=… names another)")
    check_observation_memory(settings, observed)
    return Fitted(settings, remarks, step_limit, observed, acts)


def suited_policy(observed: spaces.Space[Any]) -> str:
    """Name SB3's policy for an observation space.

    :param observed: the space, before or after SB3 moves an image's channels to the front
    """
    from stable_baselines3.common.preprocessing import is_image_space

    if isinstance(observed, spaces.Dict):
        return "MultiInputPolicy"
    if is_image_space(observed):
        sides = sorted(observed.shape or ())[1:]  # the channels are the shortest
        return "CnnPolicy" if min(sides) >= _SMALLEST_FOR_CNN else "MlpPolicy"
    return "MlpPolicy"
