"""Settings to what varies during a training; what is wrong with them becomes a :class:`UsageError`."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sb3_ddpg_custom import yaml_values
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError

if TYPE_CHECKING:
    from stable_baselines3.common.noise import ActionNoise

    from sb3_ddpg_custom.acting.parameter_noise import ParameterNoise


def build_action_noise(settings: Settings, action_shape: tuple[int, ...]) -> "ActionNoise | None":
    """Make the exploration noise, which is added to actions in the normalised [-1, 1] space.

    :param settings: its ``noise_type``, ``noise_std`` and ``n_envs``
    :param action_shape: the action space's shape
    :return: the noise for one environment, or for all where each has its own scale; None without one
    :raises UsageError: where the settings do not go together
    """
    try:
        return yaml_values.build_action_noise(
            settings.noise_type, settings.noise_std, action_shape=action_shape, n_envs=settings.n_envs
        )
    except ValueError as error:
        raise UsageError(str(error)) from error


def build_parameter_noise(settings: Settings) -> "ParameterNoise | None":
    """Make the noise on the actor's weights.

    :param settings: its ``noise_type`` and ``noise_std``
    :return: the noise; None unless the type is ``"adaptive-param"``
    :raises UsageError: where the settings do not go together
    """
    try:
        return yaml_values.build_parameter_noise(settings.noise_type, settings.noise_std)
    except ValueError as error:
        raise UsageError(str(error)) from error


def build_schedule(value: float | str) -> float | Callable[[float], float]:
    """Make a learning rate.

    :param value: a number, or such as ``"lin_7e-4"``
    :return: the number, or a function of the training that remains (1 to 0), which falls linearly to 0
    """
    return yaml_values.build_schedule(value)
