"""DDPG for Stable-Baselines3 pipelines.

Names are imported on first use, so that ``ddpg --help`` does not wait for torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from sb3_ddpg_custom import moved

if TYPE_CHECKING:
    from sb3_ddpg_custom.acting.action_noise import (
        AnnealedActionNoise,
        EpisodeBias,
        EpisodeScaledActionNoise,
        PerEnvActionNoise,
    )
    from sb3_ddpg_custom.acting.parameter_noise import ParameterNoise
    from sb3_ddpg_custom.analysis.comparison import compare
    from sb3_ddpg_custom.analysis.plot_style import save_figure
    from sb3_ddpg_custom.analysis.plots import plot_curves, plot_intervals, plot_profile
    from sb3_ddpg_custom.analysis.runs import Run
    from sb3_ddpg_custom.ddpg import DDPG
    from sb3_ddpg_custom.export.write import export_policy
    from sb3_ddpg_custom.presets import PRESETS
    from sb3_ddpg_custom.replay.buffer import ReplayBuffer
    from sb3_ddpg_custom.replay.experience_replay import ExperienceReplay

__version__ = "0.1.0"
moved.install()

_HOME = {
    "DDPG": "ddpg",
    "ReplayBuffer": "replay.buffer",
    "ExperienceReplay": "replay.experience_replay",
    "AnnealedActionNoise": "acting.action_noise",
    "EpisodeScaledActionNoise": "acting.action_noise",
    "EpisodeBias": "acting.action_noise",
    "PerEnvActionNoise": "acting.action_noise",
    "ParameterNoise": "acting.parameter_noise",
    "PRESETS": "presets",
    "Run": "analysis.runs",
    "compare": "analysis.comparison",
    "export_policy": "export.write",
    "plot_curves": "analysis.plots",
    "plot_intervals": "analysis.plots",
    "plot_profile": "analysis.plots",
    "save_figure": "analysis.plot_style",
}

__all__ = [
    "DDPG",
    "PRESETS",
    "AnnealedActionNoise",
    "EpisodeBias",
    "EpisodeScaledActionNoise",
    "ExperienceReplay",
    "ParameterNoise",
    "PerEnvActionNoise",
    "ReplayBuffer",
    "Run",
    "compare",
    "export_policy",
    "plot_curves",
    "plot_intervals",
    "plot_profile",
    "save_figure",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
