"""The statistics of environments in other processes, in one file."""

import os
import weakref
from collections.abc import Iterable, Mapping, Sequence
from typing import SupportsFloat

from sb3_ddpg_custom.wrappers.episode_log import Existing, open_log
from sb3_ddpg_custom.wrappers.finished_episodes import FinishedEpisode
from sb3_ddpg_custom.wrappers.stats_monitor import check_statistics


class EpisodeRecorder:
    """Write the file that the monitors of several environments would write if all were in this process.

    The environments, each in a process of its own, have a :class:`StatsMonitor` around
    :class:`~sb3_ddpg_custom.wrappers.finished_episodes.FinishedEpisodes`; what that keeps is handed in here.

    >>> import tempfile
    >>> from pathlib import Path
    >>> from sb3_ddpg_custom.wrappers import load_statistics
    >>> path = Path(tempfile.mkdtemp()) / "rewards.npz"
    >>> recorder = EpisodeRecorder(path, 2)
    >>> recorder.stepped([[], [FinishedEpisode(reward=1.5, length_steps=1)]])
    >>> recorder.annotate(1, qmax=0.5)
    True
    >>> recorder.close()
    >>> {name: column.tolist() for name, column in load_statistics(path).items() if name != "seconds"}
    {'rewards': [1.5], 'lengths': [1], 'timesteps': [2], 'env': [1], 'qmax': [0.5]}

    :param path: the file; ".npz" is added when missing, and parent folders are created
    :param env_count: how many environments there are
    :param existing: what to do with a file of an earlier run, as of :class:`StatsMonitor`
    """

    def __init__(self, path: str | os.PathLike[str], env_count: int, *, existing: Existing = "refuse") -> None:
        self._log = open_log(path, existing=existing)
        self._log.join()
        # Also runs when the recorder is garbage-collected and when the interpreter exits.
        self._leave_log = weakref.finalize(self, self._log.leave)
        self._last_rows: list[int | None] = [None] * env_count

    def stepped(self, finished: Iterable[Sequence[FinishedEpisode]]) -> None:
        """Count a step of each environment, and write a row for each episode that ended with it.

        :param finished: for each environment, what finished
        """
        for env, episodes in enumerate(finished):
            self._log.count_step()
            for episode in episodes:
                row = self._log.record(reward=episode.reward, length_steps=episode.length_steps, env=env)
                self._last_rows[env] = row

    def annotate(self, env: int, **statistics: SupportsFloat) -> bool:
        """Add values to the row of an environment's last finished episode, as :meth:`StatsMonitor.annotate_episode`.

        :param env: its index
        :param statistics: one number per column
        :return: False if there is no such row
        """
        values = check_statistics(statistics)
        row = self._last_rows[env]
        if row is None:
            return False
        if values:
            self._log.put(row, values)
        return True

    def record_state(self) -> dict[str, float]:
        """Say how far the file is, as :meth:`StatsMonitor.record_state`."""
        return self._log.position()

    def restore_record(self, state: Mapping[str, float]) -> None:
        """Go back to where the file was, as :meth:`StatsMonitor.restore_record`.

        :param state: which :meth:`record_state` gave, or a monitor's that wrote the same file
        :raises ValueError: if the file has fewer rows
        """
        self._last_rows = [None] * len(self._last_rows)
        self._log.go_back(rows=int(state["rows"]), timesteps=int(state["timesteps"]), seconds=float(state["seconds"]))

    def close(self) -> None:
        """Write every row to the npz. Safe to call twice."""
        self._leave_log()
