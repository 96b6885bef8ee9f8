from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_ddpg_custom.wrappers.finite_guard import FiniteGuard, NonFiniteError


class Scripted(gym.Env[Any, Any]):
    """Gives back what it is told to."""

    observation_space = gym.spaces.Box(-np.inf, np.inf, (2,), np.float64)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float64)

    def __init__(self) -> None:
        self.observation: Any = np.zeros(2)
        self.reward: Any = 0.0
        self.actions: list[Any] = []
        self.arguments: list[Any] = []

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        self.arguments.append((seed, options))
        return self.observation, {"reset": 1}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.actions.append(action)
        return self.observation, self.reward, True, False, {"step": 1}


@pytest.fixture
def env() -> Scripted:
    return Scripted()


def test_finite_numbers_pass_unchanged(env: Scripted) -> None:
    guard = FiniteGuard(env)
    observation, info = guard.reset(seed=3, options={"a": 1})
    assert observation is env.observation
    assert info == {"reset": 1}
    assert env.arguments == [(3, {"a": 1})]
    action = np.array([0.5])
    observation, reward, terminated, truncated, info = guard.step(action)
    assert observation is env.observation
    assert (reward, terminated, truncated, info) == (0.0, True, False, {"step": 1})
    assert env.actions[0] is action


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_rewards(env: Scripted, bad: float) -> None:
    guard = FiniteGuard(env)
    guard.reset()
    guard.step(np.zeros(1))
    env.reward = bad
    with pytest.raises(
        NonFiniteError, match=r"^the reward is -?(nan|inf) in the env's step 2: the environment is at fault"
    ):
        guard.step(np.zeros(1))


@pytest.mark.parametrize(("bad", "shown"), [(None, "None"), ("much", "'much'")])
def test_a_reward_that_is_no_number(env: Scripted, bad: Any, shown: str) -> None:
    env.reward = bad
    with pytest.raises(
        NonFiniteError, match=f"^the reward is {shown} in the env's step 1: the environment is at fault"
    ):
        FiniteGuard(env).step(np.zeros(1))


def test_steps_are_counted_over_episodes(env: Scripted) -> None:
    guard = FiniteGuard(env)
    for _ in range(3):
        guard.reset()
        guard.step(np.zeros(1))
    env.observation = np.array([0.0, np.nan])
    with pytest.raises(NonFiniteError, match=r"^the observation is \[ 0\. nan\] at the reset after the env's step 3"):
        guard.reset()
    with pytest.raises(NonFiniteError, match=r"^the observation is \[ 0\. nan\] in the env's step 4"):
        guard.step(np.zeros(1))


def test_a_bad_action_does_not_reach_the_environment(env: Scripted) -> None:
    with pytest.raises(NonFiniteError, match=r"^the action is \[nan\] in the env's step 1: the policy has diverged"):
        FiniteGuard(env).step(np.array([np.nan]))
    assert env.actions == []


@pytest.mark.parametrize(
    ("observation", "name"),
    [({"a": np.zeros(2), "b": np.full(2, np.inf)}, "'b'"), ({"outer": {"inner": np.array(np.nan)}}, "'outer' 'inner'")],
)
def test_parts_of_dict_observations(env: Scripted, observation: Any, name: str) -> None:
    env.observation = observation
    with pytest.raises(NonFiniteError, match=f"observation {name} is .* at the env's first reset"):
        FiniteGuard(env).reset()


def test_integers_pass(env: Scripted) -> None:
    env.observation = {"count": 3, "image": np.zeros((2, 2), np.uint8)}
    assert FiniteGuard(env).reset()[0] is env.observation


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("place", [0, 4])
def test_the_largest_numbers_are_finite_and_what_lies_beside_them_is_not_overlooked(dtype: Any, place: int) -> None:
    env = Scripted()
    env.observation_space = gym.spaces.Box(-np.inf, np.inf, (5,), dtype)
    env.observation = np.full(5, np.finfo(dtype).max, dtype=dtype)
    guard = FiniteGuard(env)
    assert guard.reset()[0] is env.observation
    for bad in (np.nan, np.inf, -np.inf):
        env.observation[place] = bad
        with pytest.raises(NonFiniteError, match="the observation is"):
            guard.reset()
        env.observation[:] = 0
        env.observation[place] = bad
        with pytest.raises(NonFiniteError, match="the observation is"):
            guard.reset()
        env.observation[:] = np.finfo(dtype).max


def test_objects_that_are_no_numbers(env: Scripted) -> None:
    env.observation = np.array([None, 1.0], dtype=object)
    with pytest.raises(NonFiniteError, match="the observation is"):
        FiniteGuard(env).reset()
