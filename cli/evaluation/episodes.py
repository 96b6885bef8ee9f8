"""Playing whole episodes without exploration noise."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.action_spaces import as_type_of

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
    :param successes: 1 where the env's last info said ``is_success``, 0 where it said the opposite, NaN where it said
        nothing, (episodes,)
    """

    returns: NDArray[np.float64]
    lengths: NDArray[np.int64]
    successes: NDArray[np.float64]

    @property
    def success_rate(self) -> float | None:
        """The share of successes among the episodes that said, None where none did."""
        said = self.successes[~np.isnan(self.successes)]
        return float(said.mean()) if len(said) else None


def play(
    policy: Predictor, env: "VecEnv", episodes: int, *, on_step: Callable[[int], None] = lambda _: None
) -> Episodes:
    """Play a number of episodes, dealt out to the envs in turn.

    Each env plays a fixed share, so that quick (short) episodes are not preferred.

    :param policy: acts deterministically
    :param env: envs with SB3's ``Monitor``; where a vectorised wrapper ends an episode by itself, which ``Monitor``
        cannot see, the rewards count that the wrapper gave
    :param episodes: how many
    :param on_step: called after every step with the number of episodes finished; may raise to stop
    """
    from sb3_ddpg_custom.acting.envs_in_turn import own_envs, step_in_turn

    steps = np.zeros(env.num_envs, dtype=np.int64)  # of each env's episode
    rewards = np.zeros(env.num_envs)
    played = Episodes(np.full(episodes, np.nan), np.zeros(episodes, dtype=np.int64), np.full(episodes, np.nan))
    running = list(range(env.num_envs))  # which episode each env is at
    finished = 0
    observations = env.reset()
    own = own_envs(env)
    step: Any = env.step if own is None else partial(step_in_turn, own)
    while finished < episodes:
        actions, _ = policy.predict(observations, deterministic=True)
        observations, given, dones, infos = step(as_type_of(env.action_space, np.asarray(actions)))
        steps += 1
        rewards += given
        for index in np.flatnonzero(dones):
            episode = running[index]
            running[index] += env.num_envs
            if episode < episodes:
                counted = infos[index].get("episode") or {"r": rewards[index], "l": steps[index]}
                played.returns[episode] = counted["r"]
                played.lengths[episode] = counted["l"]
                played.successes[episode] = _success(infos[index].get("is_success"))
                finished += 1
            steps[index], rewards[index] = 0, 0.0
        on_step(finished)
    return played


def _success(said: Any) -> float:
    try:
        return math.nan if said is None or math.isnan(said) else float(bool(said))
    except (TypeError, ValueError):  # an array of several
        return math.nan
