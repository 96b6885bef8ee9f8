"""DDPG for Stable-Baselines3 pipelines.

Names are imported on first use, so that ``ddpg --help`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sb3_ddpg_custom.ddpg import DDPG
    from sb3_ddpg_custom.experience_replay import ExperienceReplay
    from sb3_ddpg_custom.exploration import (
        AnnealedActionNoise,
        EpisodeBias,
        EpisodeScaledActionNoise,
        PerEnvActionNoise,
    )
    from sb3_ddpg_custom.parameter_noise import ParameterNoise
    from sb3_ddpg_custom.replay_buffer import ReplayBuffer

__version__ = "0.1.0"

_HOME = {
    "DDPG": "ddpg",
    "ReplayBuffer": "replay_buffer",
    "ExperienceReplay": "experience_replay",
    "AnnealedActionNoise": "exploration",
    "EpisodeScaledActionNoise": "exploration",
    "EpisodeBias": "exploration",
    "PerEnvActionNoise": "exploration",
    "ParameterNoise": "parameter_noise",
}

__all__ = [
    "DDPG",
    "AnnealedActionNoise",
    "EpisodeBias",
    "EpisodeScaledActionNoise",
    "ExperienceReplay",
    "ParameterNoise",
    "PerEnvActionNoise",
    "ReplayBuffer",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
