"""Finished episodes on their way to the process that writes the file."""

import os
from typing import NamedTuple


class FinishedEpisode(NamedTuple):
    """What one row of the statistics begins with.

    :param reward: the undiscounted return
    :param length_steps: the episode's length in steps
    """

    reward: float
    length_steps: int


class FinishedEpisodes:
    """What a ``StatsMonitor`` gets instead of a path where another process writes the file.

    It has the methods of :class:`sb3_ddpg_custom.wrappers.episode_log.EpisodeLog`, and keeps finished episodes until
    somebody takes them to an :class:`sb3_ddpg_custom.wrappers.EpisodeRecorder`, which alone knows the file's rows.

    :param env: the env's index in the file
    """

    def __init__(self, env: int) -> None:
        self.owner = os.getpid()
        self._env = env
        self._finished: list[FinishedEpisode] = []

    def take(self) -> list[FinishedEpisode]:
        """Give the episodes that finished since the last call."""
        taken, self._finished = self._finished, []
        return taken

    def join(self) -> int:
        """Answer the env's index."""
        return self._env

    def count_step(self) -> None:
        """Leave the counting to the recorder, which sees every env's steps."""

    def record(self, *, reward: float, length_steps: int, env: int) -> None:  # noqa: ARG002
        """Keep a finished episode; its row is not known here."""
        self._finished.append(FinishedEpisode(reward, length_steps))

    def put(self, row: int, values: dict[str, float]) -> None:
        """Refuse, as no row is known here.

        :raises RuntimeError: always
        """
        raise RuntimeError(f"row {row} is in another process, which has to annotate it with {values}")

    def position(self) -> dict[str, float]:
        """Know nothing of the file."""
        return {}

    def go_back(self, *, rows: int, timesteps: int, seconds: float) -> None:
        """Leave that to the recorder."""

    def leave(self) -> None:
        """Have nothing to close."""
