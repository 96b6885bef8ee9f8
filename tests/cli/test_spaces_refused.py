"""Spaces that DDPG cannot be trained on, and unusual ones that it can."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers import Ddpg


class Odd(gym.Env[Any, Any]):
    """Any spaces, for a training that must not begin, or that has to cope."""

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's declaration)

    def __init__(self, observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
        self.observation_space, self.action_space = observation_space, action_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        assert np.shape(action) == self.action_space.shape
        return self.observation_space.sample(), 0.0, False, False, {}


def box(*shape: int, low: Any = -1, dtype: Any = np.float32) -> gym.spaces.Box:
    return gym.spaces.Box(np.broadcast_to(low, shape).astype(dtype), np.ones(shape, dtype), shape, dtype)


@pytest.fixture
def odd(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Register ``Odd-v0`` with the given spaces, for one test."""

    def register(observation_space: gym.Space[Any], action_space: gym.Space[Any]) -> None:
        spec = gym.envs.registration.EnvSpec(
            "Odd-v0",
            entry_point=lambda **_: Odd(observation_space, action_space),
            max_episode_steps=10,
            disable_env_checker=True,
        )
        monkeypatch.setitem(gym.registry, "Odd-v0", spec)

    return register


DICT = gym.spaces.Dict({"a": box(2), "b": gym.spaces.Discrete(3)})


@pytest.mark.parametrize(
    ("observations", "actions", "settings", "parts"),
    [
        (box(2), box(2, low=[1, -1]), [], ["without room between low and high"]),
        (box(2), box(0), [], ["actions of shape (0,)"]),
        (box(2), box(), [], ["actions of shape ()"]),
        (box(2), box(2, low=0, dtype=np.bool_), [], ["type bool", "float32"]),
        (box(0), box(1), [], ["observations of shape (0,)"]),
        (gym.spaces.Dict({}), box(1), [], ["without parts"]),
        (gym.spaces.Text(5), box(1), [], ["Text", "for which SB3 has no policy", "env_wrapper"]),
        (gym.spaces.Tuple([box(1), gym.spaces.Text(5)]), box(1), [], ["for which SB3 has no policy"]),
        (DICT, box(1), ["policy=MlpPolicy"], ["--set policy=MultiInputPolicy"]),
        (DICT, box(1), ["policy=MultiInputPolicy", "normalize=true"], ["normalize.norm_obs_keys"]),
        (DICT, box(1), ["policy=MultiInputPolicy", "update=analytic"], ["update='analytic'"]),
    ],
)
def test_spaces_that_cannot_be_trained_on(
    refused: Callable[..., str],
    odd: Callable[..., None],
    observations: gym.Space[Any],
    actions: gym.Space[Any],
    settings: list[str],
    parts: list[str],
) -> None:
    odd(observations, actions)
    error = refused("train", "Odd-v0", "--video=none", *(f"--set={setting}" for setting in settings))
    assert [part for part in parts if part not in error] == []


@pytest.mark.parametrize("noise_type", ["normal", "adaptive-param"])
def test_actions_of_two_dimensions(
    ddpg: Ddpg, small: tuple[str, ...], odd: Callable[..., None], tmp_path: Path, noise_type: str
) -> None:
    odd(box(2), box(2, 3))
    ddpg("train", "Odd-v0", "--out", tmp_path, *small, f"--set=noise_type={noise_type}", "--set=noise_std=0.1")
    assert (tmp_path / "Odd-v0" / "1" / "final.zip").exists()


def test_actions_of_integers(ddpg: Ddpg, small: tuple[str, ...], odd: Callable[..., None], tmp_path: Path) -> None:
    odd(box(2), gym.spaces.Box(0, 9, (2,), np.int64))
    ddpg("train", "Odd-v0", "--out", tmp_path, *small)
    assert "mean return" in ddpg("evaluate", "--checkpoint", tmp_path / "Odd-v0" / "1", "--episodes", 1).stdout
