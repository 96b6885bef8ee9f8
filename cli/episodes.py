"""Playing whole episodes without exploration noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv


class Predictor(Protocol):
    """What plays: an SB3 algorithm or policy."""

    def predict(self, observation: Any, *, deterministic: bool) -> tuple[Any, Any]:
        """Choose actions; see SB3's ``BasePolicy.predict``."""


@dataclass(frozen=True)
class Episodes:
    """What was played, in the order of the episodes' seeds.

    :param returns: undiscounted sums of rewards, (episodes,)
    :param lengths: env steps, (episodes,)
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]


def play(
    policy: Predictor, env: "VecEnv", episodes: int, *, on_step: Callable[[int], None] = lambda _: None
) -> Episodes:
    """Play a number of episodes, dealt out to the envs in turn.

    Each env plays a fixed share, so that quick (short) episodes are not preferred.

    :param policy: acts deterministically
    :param env: envs with SB3's ``Monitor``, whose count of the reward no wrapper has changed
    :param episodes: how many
    :param on_step: called after every step with the number of episodes finished; may raise to stop
    """
    played = Episodes(np.full(episodes, np.nan), np.zeros(episodes, dtype=np.int64))
    running = list(range(env.num_envs))  # which episode each env is at
    finished = 0
    observations = env.reset()
    while finished < episodes:
        actions, _ = policy.predict(observations, deterministic=True)
        observations, _, dones, infos = env.step(actions)
        for index in np.flatnonzero(dones):
            episode = running[index]
            running[index] += env.num_envs
            if episode < episodes:
                played.returns[episode] = infos[index]["episode"]["r"]
                played.lengths[episode] = infos[index]["episode"]["l"]
                finished += 1
        on_step(finished)
    return played
