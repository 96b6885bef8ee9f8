"""A film of what a training has learned: one episode of the best policy, without exploration."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from stable_baselines3.common.vec_env import sync_envs_normalization

from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.checkpoint.normalization import restore
from sb3_ddpg_custom.cli.blame import exits_are_errors
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.filming import FilmLook
from sb3_ddpg_custom.cli.environments.q_readout import QReadout
from sb3_ddpg_custom.cli.environments.seeds import evaluation_seeds
from sb3_ddpg_custom.cli.environments.vectorised import evaluation_envs, normalizer
from sb3_ddpg_custom.cli.evaluation.episodes import play

if TYPE_CHECKING:
    from sb3_ddpg_custom.ddpg import DDPG

_MOST_STEPS = 1000  # of the film, a minute or less


def film_best(
    model: "DDPG", checkpoint: Path, env_id: str, settings: Settings, folder: Path, look: FilmLook
) -> Path | None:
    """Play and film the first episode of the evaluations.

    :param model: gets the checkpoint's networks
    :param checkpoint: whose policy plays
    :param env_id: registered id
    :param settings: for everything about envs
    :param folder: of the films
    :param look: of them
    :return: the film; None if the env drew nothing
    """
    read = read_checkpoint(checkpoint)
    model.set_parameters(dict(read.parameters))
    q_value = QReadout()
    envs = evaluation_envs(
        env_id,
        settings,
        evaluation_seeds(0, 1),
        n_envs=1,
        most_steps=_MOST_STEPS,
        video=folder,
        film_name="trained",
        look=look,
        q_value=q_value,
        normalize=normalizer(settings, training=False),
    )
    try:
        statistics = model.get_vec_normalize_env()
        if read.normalization is not None and statistics is not None:
            restore(read.normalization, statistics)
            sync_envs_normalization(statistics, envs)
        play(q_value.playing(model), envs, 1)
    finally:
        with suppress(Exception), exits_are_errors():  # the film is written before the env is closed
            envs.close()
    return next(folder.glob("trained-*.mp4"), None)
