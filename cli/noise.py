"""Settings to the objects that vary during training: exploration noise and learning-rate schedules."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.settings import Settings, noise_problem

if TYPE_CHECKING:
    from stable_baselines3.common.noise import ActionNoise


def build_action_noise(settings: Settings, action_dim: int) -> "ActionNoise | None":
    """Make the exploration noise, which is added to actions in the normalised [-1, 1] space.

    :param settings: its ``noise_type`` and ``noise_std``
    :param action_dim: dimension of the action
    :return: the noise for one environment, or None
    :raises UsageError: where the two do not go together
    """
    problem = noise_problem(settings)
    if problem is not None:
        raise UsageError(problem)
    if settings.noise_type is None or settings.noise_std is None:
        return None

    import numpy as np
    from stable_baselines3.common.noise import ActionNoise, NormalActionNoise, OrnsteinUhlenbeckActionNoise

    from sb3_ddpg_custom.exploration import AnnealedActionNoise, EpisodeBias, EpisodeScaledActionNoise

    start = _linear_start(settings.noise_std)
    scale = float(settings.noise_std) if start is None else start
    mean, sigma = np.zeros(action_dim), np.full(action_dim, scale)
    noise: ActionNoise
    match settings.noise_type:
        case "normal":
            noise = NormalActionNoise(mean, sigma)
        case "ornstein-uhlenbeck":
            # SB3's time step of 0.01, which the zoo's scales are tuned for: the noise forgets in some 667 steps.
            noise = OrnsteinUhlenbeckActionNoise(mean, sigma)
        case "normal-per-episode":
            noise = EpisodeScaledActionNoise(NormalActionNoise(mean, sigma))
        case "bias-per-episode":
            noise = EpisodeBias(action_dim, bias=scale)
        case unknown:
            raise UsageError(f"noise_type is '{unknown}'; no such noise is built")
    return noise if start is None else AnnealedActionNoise(noise)


def build_schedule(value: float | str) -> float | Callable[[float], float]:
    """Make a learning rate.

    :param value: a number, or such as ``"lin_7e-4"``
    :return: the number, or a function of the training that remains (1 to 0), which falls linearly to 0
    """
    start = _linear_start(value)
    if start is None:
        return float(value)

    from stable_baselines3.common.utils import LinearSchedule

    return LinearSchedule(start, 0.0, 1.0)


def _linear_start(value: float | str) -> float | None:
    """Read the 7e-4 of ``"lin_7e-4"``; None for a number."""
    return float(value.removeprefix("lin_")) if isinstance(value, str) else None
