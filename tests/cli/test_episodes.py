from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ddpg_custom.cli.environments.vectorised import SeededEpisodes
from sb3_ddpg_custom.cli.evaluation.episodes import play


class Told(gym.Env[Any, Any]):
    """An episode lasts 1 + seed % 10 steps and gives its seed as the reward of each."""

    observation_space = gym.spaces.Box(0, 2**32, (1,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float64)

    def __init__(self) -> None:
        self.seeds: list[int | None] = []
        self.left = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.seeds.append(seed)
        self.left = 1 + (seed or 0) % 10
        return np.zeros(1), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert action.shape == (1,)
        self.left -= 1
        return np.zeros(1), float(self.seeds[-1] or 0), self.left == 0, False, {}


class Still:
    """Does nothing, and insists on being asked without noise."""

    def predict(self, observation: Any, *, deterministic: bool) -> tuple[Any, Any]:
        assert deterministic
        return np.zeros((len(observation), 1)), None


def envs(seeds: list[int], n_envs: int) -> DummyVecEnv:
    def make(rank: int) -> gym.Env[Any, Any]:
        return Monitor(SeededEpisodes(Told(), seeds[rank::n_envs]))

    return DummyVecEnv([partial(make, rank) for rank in range(n_envs)])


@pytest.mark.parametrize("n_envs", [1, 2, 3, 7])
def test_every_seed_is_played_once_and_answers_in_order(n_envs: int) -> None:
    # Env 0 of 2 has the long episodes: quick ones of its neighbour must not take their places.
    seeds = [19, 10, 29, 20, 39, 30, 49]
    progress: list[int] = []
    played = play(Still(), envs(seeds, n_envs), len(seeds), on_step=progress.append)
    assert played.lengths.tolist() == [10, 1, 10, 1, 10, 1, 10]
    assert played.returns.tolist() == [190, 10, 290, 20, 390, 30, 490]
    assert progress == sorted(progress)
    assert progress[-1] == len(seeds)
    assert progress[-2] < len(seeds)


def test_on_step_can_stop_it() -> None:
    def stop(finished: int) -> None:
        if finished == 1:
            raise InterruptedError

    with pytest.raises(InterruptedError):
        play(Still(), envs([5, 5], 1), 2, on_step=stop)


def test_seeds_begin_again_on_restart() -> None:
    env = SeededEpisodes(Told(), [3, 4])
    for _ in range(3):
        env.reset()
    env.restart()
    env.reset(seed=99)
    told = env.unwrapped
    assert isinstance(told, Told)
    assert told.seeds == [3, 4, None, 3]
    env.reset()
    env.reset(seed=99)  # behind the end of its list, as the caller likes
    assert told.seeds[-2:] == [4, 99]
