"""Gymnasium wrappers that record what happens in an environment: videos and episode statistics.

They need Gymnasium, NumPy and, for videos only, PyAV and Pillow: no Stable-Baselines3 and no torch, so that any
algorithm can use them.
"""

from sb3_ddpg_custom.wrappers.contract_guard import ContractError, ContractGuard
from sb3_ddpg_custom.wrappers.episode_recorder import EpisodeRecorder
from sb3_ddpg_custom.wrappers.episode_replayer import EpisodeReplayer
from sb3_ddpg_custom.wrappers.finite_guard import FiniteGuard, NonFiniteError
from sb3_ddpg_custom.wrappers.headless import has_display, prepare_headless_rendering, rendering_advice
from sb3_ddpg_custom.wrappers.statistics_file import load_statistics
from sb3_ddpg_custom.wrappers.stats_monitor import StatsMonitor
from sb3_ddpg_custom.wrappers.step_overlay import Moment, StepOverlay
from sb3_ddpg_custom.wrappers.video_monitor import RenderError, VideoMonitor

__all__ = [
    "ContractError",
    "ContractGuard",
    "EpisodeRecorder",
    "EpisodeReplayer",
    "FiniteGuard",
    "Moment",
    "NonFiniteError",
    "RenderError",
    "StatsMonitor",
    "StepOverlay",
    "VideoMonitor",
    "has_display",
    "load_statistics",
    "prepare_headless_rendering",
    "rendering_advice",
]
