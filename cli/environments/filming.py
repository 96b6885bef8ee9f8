"""How films look, and the wrapper that makes them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_ddpg_custom.cli.errors import UsageError

if TYPE_CHECKING:
    import gymnasium as gym

    from sb3_ddpg_custom.wrappers import VideoMonitor

_SMOOTH_FPS = 30.0
# Drawing is half of what filming costs, and Pendulum's first episodes are filmed while nothing else takes long.
_FPS_IN_TRAINING = 15.0


@dataclass(frozen=True, kw_only=True)
class FilmLook:
    """How films look.

    :param fps: about how many pictures a second; None for 30, and for 15 in training
    :param overlay: whether they show step, return, action and Q
    """

    fps: float | None = None
    overlay: bool = False

    def refuse_without_films(self, instead: str) -> None:
        """Check that nobody chooses a look of films that are not made.

        :param instead: what to add, such as ``--video cubic``
        :raises UsageError: if somebody did
        """
        flag = "--overlay" if self.overlay else "--fps" if self.fps is not None else None
        if flag is not None:
            raise UsageError(f"{flag} is about films, and none are made; add {instead}, or leave it out")

    def of_training(self) -> "FilmLook":
        """Give the look of films whose drawing the training waits for."""
        return FilmLook(fps=self.fps or _FPS_IN_TRAINING, overlay=self.overlay)

    def filming(
        self,
        env: "gym.Env[Any, Any]",
        folder: Path,
        *,
        q_value: Callable[[Any], float | None] | None = None,
        **kwargs: Any,
    ) -> "VideoMonitor[Any, Any]":
        """Put the wrapper around an env.

        :param env: that can be drawn
        :param folder: of the films
        :param q_value: gives Q of an action, see :class:`~sb3_ddpg_custom.wrappers.StepOverlay`
        :param kwargs: of ``VideoMonitor``
        """
        from sb3_ddpg_custom.wrappers import StepOverlay, VideoMonitor

        draw_on = StepOverlay(env.action_space, q_value=q_value) if self.overlay else None
        return VideoMonitor(env, folder, fps=self.fps or _SMOOTH_FPS, draw_on=draw_on, **kwargs)
