"""A wrapper that films episodes."""

import math
import os
import tempfile
import warnings
import weakref
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.core import ActType, ObsType
from numpy.typing import NDArray

from sb3_ddpg_custom.wrappers.headless import prepare_headless_rendering, rendering_advice
from sb3_ddpg_custom.wrappers.mujoco_camera import follow_robot
from sb3_ddpg_custom.wrappers.pictures import as_picture
from sb3_ddpg_custom.wrappers.schedule import EpisodeSchedule, episode_selector
from sb3_ddpg_custom.wrappers.step_overlay import Moment, Picture
from sb3_ddpg_custom.wrappers.video_file import VideoFile, remove_abandoned, require_av

_DEFAULT_FPS = 30


class RenderError(RuntimeError):
    """The environment drew no picture; ``__cause__`` is its own error, or says what it drew instead."""


class VideoMonitor(gym.Wrapper[ObsType, ActType, ObsType, ActType]):
    """Record episodes as MP4 files (H.264) while the environment runs.

    A video shows the reset frame and the frames after steps, at the pace of the environment's
    ``metadata["render_fps"]`` (30 when missing). Its name carries the episode's index, counted from 0 in
    resets of this wrapper: ``episode-000008.mp4``. No file is ever replaced: when the name is taken, by
    another environment or by an earlier run, the next one is ``episode-000008-1.mp4``. A recording that a
    killed process left behind keeps a hidden name and is removed when a monitor next opens the folder.

    >>> import tempfile
    >>> folder = tempfile.mkdtemp()
    >>> env = VideoMonitor(gym.make("Pendulum-v1", render_mode="rgb_array"), folder, schedule=100)
    >>> _ = env.reset(seed=0)
    >>> for _ in range(3):
    ...     _ = env.step(env.action_space.sample())
    >>> env.close()
    >>> [video.name for video in env.videos]
    ['episode-000000.mp4']

    Where the environment draws many more pictures a second than ``fps`` says (MuJoCo's up to 125), only every k-th step
    is drawn, and the last one, and the film keeps the environment's pace.

    A picture may be in colour, with or without transparency, or grey, in bytes or in floats from 0 to 1. Where the
    environment's ``render_fps`` is no number above 0, a warning says so and the film has 30 frames a second.

    :param env: an environment with ``render_mode="rgb_array"``
    :param folder: where the videos go; created with its parents
    :param schedule: "cubic" (episodes 0, 1, 8, 27, ..., 729, then 1000, 2000, 3000, ...), "none" (no video;
        any render mode will do), an integer N (episodes 0, N, 2N, ...) or a function that gets the episode's
        index and answers whether to record it
    :param name: how the files begin, instead of "episode"
    :param fps: about how many pictures a second of the environment's time the film has; never more than it draws. None
        films every step. Where the environment states no ``render_fps``, its pace is taken for 30 steps a second
    :param draw_on: changes each picture before it is filmed, all of an episode to one size; such as
        :class:`~sb3_ddpg_custom.wrappers.StepOverlay`
    :param on_render_error: what to do when the environment draws no picture: None raises :class:`RenderError`; a
        function gets that error once, and from then on nothing is filmed
    """

    def __init__(
        self,
        env: gym.Env[ObsType, ActType],
        folder: str | os.PathLike[str],
        *,
        schedule: EpisodeSchedule = "cubic",
        name: str = "episode",
        fps: float | None = 30.0,
        draw_on: Callable[[Picture, Moment], Picture] | None = None,
        on_render_error: Callable[[RenderError], None] | None = None,
    ) -> None:
        super().__init__(env)
        self._is_selected = episode_selector(schedule)
        self._on_render_error = on_render_error
        self._folder = Path(folder).absolute()  # a later chdir must not move the videos
        self._name = name
        self._draw_on = draw_on
        self._episode = -1
        self._moment = Moment(0, None, 0.0)
        self._recording: VideoFile | None = None
        self._finish_at_exit: weakref.finalize[..., VideoMonitor[ObsType, ActType]] | None = None
        self._videos: list[Path] = []
        self._env_is_closed = False
        if schedule == "none":
            return
        if env.render_mode != "rgb_array":
            raise ValueError(
                f"VideoMonitor cannot film an environment whose render_mode is {env.render_mode!r}: "
                "build it with render_mode='rgb_array'"
            )
        if fps is not None and not 0 < fps < math.inf:
            raise ValueError(f"fps is {fps}: pass a number above 0, or None to film every step")
        pace = _frames_per_second(env)
        self._every = 1 if fps is None else max(round(pace / Fraction(fps)), 1)
        self._fps = pace / self._every
        require_av()
        prepare_headless_rendering()
        follow_robot(env)
        _open_folder(self._folder)

    @property
    def videos(self) -> list[Path]:
        """The videos that this monitor has finished, in order."""
        return list(self._videos)

    @property
    def is_recording(self) -> bool:
        """Whether the running episode is being filmed, which takes its time."""
        return self._recording is not None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Finish a running recording, reset the environment and begin the next recording if it is due."""
        if self._recording is not None and self._moment.step % self._every:
            self._capture(self._recording)  # where the episode was cut
        self._finish()
        answer = self.env.reset(seed=seed, options=options)
        self._env_is_closed = False
        self._episode += 1
        if self._is_selected(self._episode):
            recording = VideoFile(self._folder, f"{self._name}-{self._episode:06d}", fps=self._fps)
            self._recording = recording
            # Also runs when the monitor is garbage-collected and when the interpreter exits.
            self._finish_at_exit = weakref.finalize(self, recording.finish)
            self._moment = Moment(0, None, 0.0)
            self._capture(recording)
        return answer

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment and record the frame after the step, where it is one of those to be drawn."""
        answer = self.env.step(action)
        if self._recording is not None:
            before = self._moment
            self._moment = Moment(before.step + 1, action, before.return_so_far + _number(answer[1]))
            is_over = answer[2] or answer[3]
            if is_over or self._moment.step % self._every == 0:
                self._capture(self._recording)
            if is_over:
                self._finish()
        return answer

    def close(self) -> None:
        """Finish a running recording, then close the environment. Safe to call twice."""
        try:
            self._finish()
        finally:
            if not self._env_is_closed:
                self._env_is_closed = True
                self.env.close()

    def _capture(self, recording: VideoFile) -> None:
        if recording.owner != os.getpid():
            self._recording = None  # a fork took us along in mid-episode: the recording is the parent's
            return
        try:
            frame = _draw(self.env)
        except RenderError as error:
            self._finish()
            if self._on_render_error is None:
                raise
            self._is_selected = episode_selector("none")
            self._on_render_error(error)
            return
        try:
            recording.add(frame if self._draw_on is None else self._draw_on(frame, self._moment))
        except BaseException:
            self._finish()
            raise

    def _finish(self) -> None:
        finish, self._recording, self._finish_at_exit = self._finish_at_exit, None, None
        video = finish() if finish is not None else None
        if video is not None:
            self._videos.append(video)


def _number(reward: Any) -> float:
    try:
        return float(reward)
    except (TypeError, ValueError):  # several objectives, say
        return math.nan


def _draw(env: gym.Env[Any, Any]) -> NDArray[np.uint8]:
    try:
        drawn: Any = env.render()
    except (Exception, SystemExit) as error:
        advice = rendering_advice(error)
        raise RenderError(
            f"the environment failed to render ({type(error).__name__}: {error}); "
            + (f"{advice}, " if advice else "")
            + "or turn the video off (schedule='none')"
        ) from error
    try:
        return as_picture(drawn)
    except (TypeError, ValueError) as error:
        raise RenderError(
            f"{error}: VideoMonitor needs one per step, as render_mode='rgb_array' promises; "
            "draw one, or turn the video off (schedule='none')"
        ) from error


def _frames_per_second(env: gym.Env[Any, Any]) -> Fraction:
    fps = env.metadata.get("render_fps")
    if fps is None:
        return Fraction(_DEFAULT_FPS)
    try:
        exact = Fraction(float(fps)).limit_denominator(1001)  # 1001: television's 30000/1001
    except (TypeError, ValueError, OverflowError):
        exact = Fraction(0)
    if exact > 0:
        return exact
    warnings.warn(
        f"the environment's metadata['render_fps'] is {fps!r}, no number above 0; "
        f"its films have {_DEFAULT_FPS} frames per second",
        stacklevel=3,
    )
    return Fraction(_DEFAULT_FPS)


def _open_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise type(error)(
            error.errno,
            f"VideoMonitor cannot write videos into {folder} ({error.strerror}): "
            "choose a folder that this user can write to",
        ) from error
    remove_abandoned(folder)
