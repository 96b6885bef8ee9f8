"""A wrapper that records one row of statistics per episode."""

import os
import weakref
from collections.abc import Mapping
from typing import Any, SupportsFloat

import gymnasium as gym
from gymnasium.core import ActType, ObsType

from sb3_ddpg_custom.wrappers.episode_log import EpisodeLog, Existing, open_log
from sb3_ddpg_custom.wrappers.finished_episodes import FinishedEpisodes
from sb3_ddpg_custom.wrappers.statistics_file import RESERVED


class StatsMonitor(gym.Wrapper[ObsType, ActType, ObsType, ActType]):
    """Write one row per finished episode to an npz, so that a kill loses none but the running episode.

    The columns, each of shape (episodes,):

    - ``rewards`` (float64): the undiscounted return
    - ``lengths`` (int64): the episode's length in steps
    - ``timesteps`` (int64): environment steps taken by all monitors of the file when the episode ended
    - ``seconds`` (float64): wall-clock seconds since the recording began, going on when a run is continued
    - ``env`` (int64): the index of the environment in its process, in the order in which monitors were made
    - ``qmax`` (float64) and any further column: what ``annotate_episode`` supplied, NaN elsewhere

    Monitors of one process with the same path write one file. A second process (``SubprocVecEnv``) writes
    ``<name>-1.npz``, a third one ``<name>-2.npz``; ``load_statistics`` reads them all. One file for all of them takes
    an :class:`EpisodeRecorder`. Newer rows may wait in ``<name>.npz.journal`` until the npz is next rewritten, so read
    the file with ``load_statistics`` while a run goes on or after a kill. An episode that is cut off by ``reset`` is
    not recorded.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from sb3_ddpg_custom.wrappers import load_statistics
    >>> path = Path(tempfile.mkdtemp()) / "rewards.npz"
    >>> env = StatsMonitor(gym.make("Pendulum-v1", max_episode_steps=5), path)
    >>> _ = env.reset(seed=0)
    >>> for _ in range(5):
    ...     _ = env.step(env.action_space.sample())
    >>> _ = env.annotate_episode(qmax=-3.5)
    >>> env.close()
    >>> statistics = load_statistics(path)
    >>> statistics["lengths"].tolist(), statistics["qmax"].tolist()
    ([5], [-3.5])

    :param env: any environment
    :param path: the file; ".npz" is added when missing, and parent folders are created. Or what keeps the episodes for
        the process that writes the file
    :param existing: what to do with a file of an earlier run: "refuse" raises FileExistsError, "continue"
        keeps its rows and goes on from its last ``timesteps`` and ``seconds``. A monitor that shares an open
        file of its process joins it either way.
    """

    def __init__(
        self,
        env: gym.Env[ObsType, ActType],
        path: str | os.PathLike[str] | FinishedEpisodes,
        *,
        existing: Existing = "refuse",
    ) -> None:
        super().__init__(env)
        if existing not in ("refuse", "continue"):
            raise ValueError(f"existing is {existing!r}: pass 'refuse' or 'continue'")
        self._log: EpisodeLog | FinishedEpisodes
        self._log = path if isinstance(path, FinishedEpisodes) else open_log(path, existing=existing)
        self._env_index = self._log.join()
        # Also runs when the monitor is garbage-collected and when the interpreter exits.
        self._leave_log = weakref.finalize(self, self._log.leave)
        self._episode_is_running = False
        self._reward = 0.0
        self._length_steps = 0
        self._last_row: int | None = None
        self._env_is_closed = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Reset the environment and begin a new episode."""
        self._check_usable()
        answer = self.env.reset(seed=seed, options=options)
        if self._episode_is_running and self._length_steps:
            # Cut off from outside: whoever comes to annotate means that episode, and it has no row.
            self._last_row = None
        self._episode_is_running = True
        self._reward = 0.0
        self._length_steps = 0
        return answer

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Step the environment; when that ends the episode, write its row."""
        answer = self.env.step(action)
        if self._episode_is_running:
            self._reward += float(answer[1])
            self._length_steps += 1
            self._log.count_step()
            if answer[2] or answer[3]:
                self._check_usable()
                self._episode_is_running = False
                self._last_row = self._log.record(
                    reward=self._reward, length_steps=self._length_steps, env=self._env_index
                )
        return answer

    def annotate_episode(self, /, **statistics: SupportsFloat) -> bool:
        """Add values to the row of this environment's last finished episode, or replace them.

        Through Stable-Baselines3: ``vec_env.env_method("annotate_episode", indices=[i], qmax=1.5)``.

        :param statistics: one number per column; a new name adds a column, NaN in the earlier rows
        :return: False if there is no such row: no episode has ended yet, or the last one was reset half-way
        """
        self._check_usable()
        values = check_statistics(statistics)
        if self._last_row is None:
            # No error: in a subprocess of a VecEnv it would end the training.
            return False
        if values:
            self._log.put(self._last_row, values)
        return True

    def record_state(self) -> dict[str, float]:
        """Say how far the file is, for :meth:`restore_record`.

        :return: ``rows``, ``timesteps`` and ``seconds``, as the columns count them
        """
        return self._log.position()

    def restore_record(self, state: Mapping[str, float]) -> None:
        """Go back to where the file was: later rows are removed.

        :param state: which :meth:`record_state` gave, of this file
        :raises ValueError: if the file has fewer rows
        """
        self._check_usable()
        self._log.go_back(rows=int(state["rows"]), timesteps=int(state["timesteps"]), seconds=float(state["seconds"]))

    def close(self) -> None:
        """Write every row to the npz, then close the environment. Safe to call twice."""
        try:
            self._leave_log()
        finally:
            if not self._env_is_closed:
                self._env_is_closed = True
                self.env.close()

    def _check_usable(self) -> None:
        if self._log.owner != os.getpid():
            raise RuntimeError(
                f"this StatsMonitor belongs to process {self._log.owner}, this is process {os.getpid()}: build "
                "the environment and its monitor inside the process that runs them"
            )
        if not self._leave_log.alive:
            raise RuntimeError(
                "this StatsMonitor is closed: build a new one, with existing='continue' for the same file"
            )


def check_statistics(statistics: Mapping[str, Any]) -> dict[str, float]:
    """Check what is to be added to a row.

    :param statistics: one number per column
    :return: the same as floats
    :raises ValueError: if a name cannot be a column's, or is measured here
    :raises TypeError: if a value is no number
    """
    values = {}
    for name, value in statistics.items():
        if name in RESERVED:
            raise ValueError(f"{name!r} is measured by StatsMonitor itself: choose another name")
        if not name.isprintable() or not name or name.endswith(".npy") or "\\" in name:
            raise ValueError(f"{name!r} cannot name a column of an npz: choose another name")
        # A string is no number here, and an array of one element only is by a deprecated rule of NumPy's.
        if not isinstance(value, SupportsFloat) or getattr(value, "ndim", 0) != 0:
            raise TypeError(f"{name} is {value!r} ({type(value).__name__}): pass one number per statistic")
        values[name] = float(value)
    return values
