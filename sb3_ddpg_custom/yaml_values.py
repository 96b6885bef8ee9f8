"""Plain values, as YAML gives them, to what varies during a training: exploration noise and step sizes.

The command line and :mod:`sb3_ddpg_custom.zoo` read the same values, so they are understood in one place. Torch and SB3
are imported only where something is built.
"""

import math
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stable_baselines3.common.noise import ActionNoise

    from sb3_ddpg_custom.acting.parameter_noise import ParameterNoise

ADAPTIVE = "adaptive-param"
NOISE_TYPES = ("normal", "ornstein-uhlenbeck", "normal-per-episode", "bias-per-episode", ADAPTIVE)
#: a number, ``"lin_0.2"`` (linearly to 0 over the training), or a range over envs
NoiseStd = float | str | tuple[float, float]


def number(value: object) -> float | None:
    """Read a number, also from a string such as ``"1e-3"``.

    :param value: anything
    :return: the finite number, or None where ``value`` is none (a boolean is none)
    """
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        converted = float(value)
    except (ValueError, OverflowError):
        return None
    return converted if math.isfinite(converted) else None


def number_or_linear(value: object) -> float | str | None:
    """Read a number, or a schedule such as ``"lin_7e-4"``.

    :param value: anything
    :return: the number, the schedule's text as it is, or None where ``value`` is neither
    """
    if isinstance(value, str) and value.startswith("lin_"):
        # rl_zoo3 splits at each underscore, so 1_000 is no number here.
        return value if number(value[4:]) is not None and value.count("_") == 1 else None
    return number(value)


def magnitude(value: float | str) -> float:
    """Read a number, or the start of a schedule such as ``"lin_7e-4"``."""
    return float(value.removeprefix("lin_")) if isinstance(value, str) else value


def read_noise_std(value: object) -> NoiseStd | None:
    """Read the scale of a noise.

    >>> read_noise_std([0.05, "4e-1"])
    (0.05, 0.4)

    :param value: anything
    :return: a number of at least 0, a schedule's text, a range (low, high) above 0, or None where it is none of those
    """
    if isinstance(value, list | tuple):
        low, high = map(number, value) if len(value) == 2 else (None, None)
        return (low, high) if low is not None and high is not None and 0 < low <= high else None
    scale = number_or_linear(value)
    return scale if scale is not None and magnitude(scale) >= 0 else None


def noise_problem(noise_type: str | None, noise_std: NoiseStd | None, n_envs: int) -> str | None:
    """Check that noise type, scale and number of envs go together.

    :param noise_type: one of ``NOISE_TYPES``, or None
    :param noise_std: what ``read_noise_std`` gave
    :param n_envs: envs side by side
    :return: what is wrong, or None
    """
    shown = list(noise_std) if isinstance(noise_std, tuple) else repr(noise_std)
    if noise_type is not None and noise_std is None:
        return f"noise_type is '{noise_type}' without noise_std; set noise_std too, such as noise_std=0.1"
    if noise_type is None and noise_std is not None:
        return f"noise_std is {shown} without noise_type; set noise_type too, or noise_std=null"
    if noise_type == ADAPTIVE and (not isinstance(noise_std, int | float) or noise_std == 0):
        return f"noise_std is {shown}, but {ADAPTIVE} adapts by itself to one scale; write a number above 0"
    if isinstance(noise_std, str) and str(noise_type).endswith("-per-episode"):
        # One wrapper would hide the other from the training's progress reports.
        return f"noise_std is {shown}, but {noise_type} shrinks by itself; write a number"
    if isinstance(noise_std, tuple):
        if noise_type not in ("normal", "ornstein-uhlenbeck"):
            return f"noise_std is {shown}, but {noise_type} takes no range over envs; write a number"
        if n_envs == 1:
            return f"noise_std is {shown}, a range over envs, but n_envs is 1; write a number or raise n_envs"
    return None


def build_action_noise(
    noise_type: str | None, noise_std: NoiseStd | None, *, action_shape: tuple[int, ...], n_envs: int
) -> "ActionNoise | None":
    """Make the exploration noise, which is added to actions in the normalised [-1, 1] space.

    :param noise_type: one of ``NOISE_TYPES``, or None
    :param noise_std: its scale, see :func:`read_noise_std`
    :param action_shape: the action space's shape, which the noise of one env has too
    :param n_envs: envs side by side
    :return: the noise for one env, or for all where each has its own scale; None where nothing is added to actions
    :raises ValueError: where these do not go together
    """
    problem = noise_problem(noise_type, noise_std, n_envs)
    if problem is not None:
        raise ValueError(problem)
    if noise_type in (None, ADAPTIVE) or noise_std is None:
        return None

    import numpy as np
    from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise

    from sb3_ddpg_custom.acting.action_noise import (
        AnnealedActionNoise,
        EpisodeBias,
        EpisodeScaledActionNoise,
        PerEnvActionNoise,
    )

    scale = 1.0 if isinstance(noise_std, tuple) else magnitude(noise_std)
    mean, sigma = np.zeros(action_shape), np.full(action_shape, scale)
    noise: ActionNoise
    match noise_type:
        case "normal":
            noise = NormalActionNoise(mean, sigma)
        case "ornstein-uhlenbeck":
            # SB3's time step of 0.01, which the zoo's scales are tuned for: the noise forgets in some 667 steps.
            noise = OrnsteinUhlenbeckActionNoise(mean, sigma)
        case "normal-per-episode":
            noise = EpisodeScaledActionNoise(NormalActionNoise(mean, sigma))
        case "bias-per-episode":
            noise = EpisodeBias(action_shape, bias=scale)
        case unknown:
            raise ValueError(f"noise_type is '{unknown}'; write null or one of {', '.join(NOISE_TYPES)}")
    if isinstance(noise_std, tuple):
        return PerEnvActionNoise(noise, n_envs, low=noise_std[0], high=noise_std[1])
    return AnnealedActionNoise(noise) if isinstance(noise_std, str) else noise


def build_parameter_noise(noise_type: str | None, noise_std: NoiseStd | None) -> "ParameterNoise | None":
    """Make the noise on the actor's weights.

    :param noise_type: one of ``NOISE_TYPES``, or None
    :param noise_std: for ``"adaptive-param"`` the standard deviation of the actions to aim at
    :return: the noise; None for every other noise type
    :raises ValueError: where type and scale do not go together
    """
    if noise_type != ADAPTIVE:
        return None
    problem = noise_problem(noise_type, noise_std, n_envs=1)
    if problem is not None or not isinstance(noise_std, int | float):
        raise ValueError(problem)

    from sb3_ddpg_custom.acting.parameter_noise import ParameterNoise

    return ParameterNoise(noise_std)


def build_schedule(value: float | str) -> float | Callable[[float], float]:
    """Make a step size.

    :param value: a number, or such as ``"lin_7e-4"``
    :return: the number, or a function of the training that remains (1 to 0), which falls linearly to 0
    """
    if not isinstance(value, str):
        return float(value)

    from stable_baselines3.common.utils import LinearSchedule

    return LinearSchedule(magnitude(value), 0.0, 1.0)
