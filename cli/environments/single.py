"""One env to train on, with its monitors."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gymnasium as gym

from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.filming import FilmLook
from sb3_ddpg_custom.cli.environments.monitors import closed_on_error, monitored
from sb3_ddpg_custom.cli.environments.registry import make_env
from sb3_ddpg_custom.wrappers import EpisodeReplayer, RenderError
from sb3_ddpg_custom.wrappers.finished_episodes import FinishedEpisodes
from sb3_ddpg_custom.wrappers.schedule import EpisodeSchedule


@dataclass(frozen=True, kw_only=True)
class TrainingEnv:
    """What an env to train on is made from: plain data, so that another process can make it, too.

    :param env_id: registered id
    :param settings: for everything about envs
    :param folder: the run's folder; gets ``rewards.npz``, ``*.monitor.csv`` and ``videos/``
    :param video: which episodes of the first env to record
    :param look: of the films
    :param render: show the env in a window
    :param goes_on: the folder's files are an earlier process's, to be continued
    """

    env_id: str
    settings: Settings
    folder: Path
    video: EpisodeSchedule
    look: FilmLook = field(default_factory=FilmLook)
    render: bool
    goes_on: bool

    @property
    def statistics(self) -> Path:
        """The file of all envs' episodes."""
        return self.folder / "rewards.npz"

    def make(
        self,
        rank: int,
        statistics: Path | FinishedEpisodes,
        on_render_error: Callable[[RenderError], None],
        q_value: Callable[[Any], float | None] | None = None,
    ) -> gym.Env[Any, Any]:
        """Make the env.

        :param rank: its index; the first is filmed
        :param statistics: where finished episodes go
        :param on_render_error: called once if a film cannot go on; the training does
        :param q_value: gives Q of an action of the first env, for films that show it
        """
        # SB3 wants one render mode in all envs; those that nobody films are never drawn.
        mode = "human" if self.render else "rgb_array" if self.video != "none" else None
        env = make_env(self.env_id, self.settings, mode)
        with closed_on_error(env):
            if rank == 0 and self.video != "none":
                videos = self.folder / "videos"
                look = self.look.of_training()
                env = look.filming(env, videos, q_value=q_value, schedule=self.video, on_render_error=on_render_error)
            files = (statistics, self.folder / str(rank))
            env = monitored(env, self.settings, files=files, goes_on=self.goes_on)
            return EpisodeReplayer(env)
