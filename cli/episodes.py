"""Playing whole episodes without exploration noise."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.action_spaces import as_type_of
from sb3_ddpg_custom.cli.errors import RunError

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
    policy: Predictor,
    env: "VecEnv",
    episodes: int,
    *,
    max_steps: int = 100_000,
    on_step: Callable[[int], None] = lambda _: None,
) -> Episodes:
    """Play a number of episodes, dealt out to the envs in turn.

    Each env plays a fixed share, so that quick (short) episodes are not preferred.

    :param policy: acts deterministically
    :param env: envs with SB3's ``Monitor``, whose count of the reward no wrapper has changed
    :param episodes: how many
    :param max_steps: an episode that lasts longer counts as one without an end, where the env declares no higher limit
    :param on_step: called after every step with the number of episodes finished; may raise to stop
    :raises RunError: if an episode has no end
    """
    max_steps = max(max_steps, _declared_limit(env))
    steps = np.zeros(env.num_envs, dtype=np.int64)  # of each env's episode
    played = Episodes(np.full(episodes, np.nan), np.zeros(episodes, dtype=np.int64))
    running = list(range(env.num_envs))  # which episode each env is at
    finished = 0
    observations = env.reset()
    while finished < episodes:
        actions, _ = policy.predict(observations, deterministic=True)
        observations, _, dones, infos = env.step(as_type_of(env.action_space, np.asarray(actions)))
        steps += 1
        for index in np.flatnonzero(dones):
            episode = running[index]
            running[index] += env.num_envs
            steps[index] = 0
            if episode < episodes:
                played.returns[episode] = infos[index]["episode"]["r"]
                played.lengths[episode] = infos[index]["episode"]["l"]
                finished += 1
        if any(lasted >= max_steps and episode < episodes for lasted, episode in zip(steps, running, strict=True)):
            raise RunError(
                f"an episode played for evaluation has no end after {max_steps:,} steps: give the environment a time "
                "limit with env_kwargs.max_episode_steps"
            )
        on_step(finished)
    return played


def _declared_limit(env: "VecEnv") -> int:
    return max(spec.max_episode_steps or 0 if spec is not None else 0 for spec in env.get_attr("spec"))
