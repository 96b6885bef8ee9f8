"""Putting the wrappers that settings name around an env."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym

from sb3_ddpg_custom.cli.blame import exits_are_errors, reason
from sb3_ddpg_custom.cli.config.classes import import_class
from sb3_ddpg_custom.cli.config.kinds import ClassSpec
from sb3_ddpg_custom.cli.errors import UsageError


def wrap(env: Any, specs: Sequence[ClassSpec], key: str) -> Any:
    """Put wrappers around an env, the first innermost.

    :param env: an env, or SB3's vectorised one
    :param specs: classes and their arguments
    :param key: the setting that names them, for messages
    :raises UsageError: if one of them fails, or makes something else than an env
    """
    for spec in specs:
        wrapper = import_class(spec.name, key)
        try:
            with exits_are_errors():
                wrapped = wrapper(env, **spec.kwargs)
        except Exception as error:  # a wrapper may raise anything
            raise UsageError(f"{key} {spec.name} cannot be put around the environment: {reason(error)}") from error
        if not isinstance(wrapped, _kind(env)):
            raise UsageError(
                f"{key} {spec.name} makes a {type(wrapped).__name__} of the environment; name a wrapper, which makes "
                f"a {_kind(env).__module__.partition('.')[0]} {_kind(env).__name__}"
            )
        env = wrapped
    return env


def _kind(env: Any) -> type[Any]:
    if isinstance(env, gym.Env):
        return gym.Env
    from stable_baselines3.common.vec_env import VecEnv

    return VecEnv
