"""Actions whose space has no bounds, or too wide ones: ``action_bounds``."""

import io
import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from conftest import SMALL
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ddpg_custom import DDPG, export_policy
from sb3_ddpg_custom.action_bounds import bounded_space
from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.export.player import Policy

INF = np.inf


class Free(gym.Env[Any, Any]):
    """Actions without bounds, the second without an upper one; all that are taken are kept."""

    taken: list[Any] = []  # noqa: RUF012

    def __init__(self, render_mode: str | None = None) -> None:
        self.render_mode = render_mode
        self.observation_space = spaces.Box(-1, 1, (3,), np.float32)
        self.action_space = spaces.Box(np.array([-INF, 0.0], np.float32), np.array([INF, INF], np.float32))

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.taken.append(np.array(action))
        return self.np_random.uniform(-1, 1, 3).astype(np.float32), float(-np.abs(action).sum()), False, False, {}


@pytest.fixture
def registered() -> Any:
    gym.register("Free-v0", lambda **kwargs: Free(**kwargs), max_episode_steps=20)
    Free.taken.clear()
    yield "Free-v0"
    gym.registry.pop("Free-v0")


def model(env: Any = None, **kwargs: Any) -> Any:
    options: dict[str, Any] = {"action_bounds": (-3, [4, 5]), "learning_starts": 10, "seed": 0, **kwargs}
    return DDPG("MlpPolicy", Free() if env is None else env, policy_kwargs={"net_arch": [8]}, **options)


def test_bounds_are_narrowed_to_those_that_the_space_has() -> None:
    free = Free().action_space
    assert bounded_space(free, (-3, [4, 5])) == spaces.Box(np.array([-3, 0], np.float32), np.array([4, 5], np.float32))
    assert bounded_space(spaces.Box(-1, 1, (2, 2)), (-7, 0.5)) == spaces.Box(-1, 0.5, (2, 2))
    assert bounded_space(free, None) is free


@pytest.mark.parametrize(
    ("space", "bounds", "why"),
    [
        (Free().action_space, (-1, [1, 2, 3]), r"do not fit actions of shape \(2,\): give low and high"),
        (Free().action_space, (1,), "do not fit"),
        (Free().action_space, ("a", 1), "do not fit"),
        (Free().action_space, (1, -1), "leave no room between low and high"),
        (Free().action_space, (-2, 0), "leave no room"),  # the second begins at 0
        (Free().action_space, (-INF, 1), "are not all finite"),
        (spaces.Discrete(3), (0, 1), "are for a Box of continuous actions"),
    ],
)
def test_bounds_that_do_not_fit(space: Any, bounds: Any, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        bounded_space(space, bounds)


def test_without_them_the_error_names_the_argument(registered: str) -> None:
    for env in (registered, Free(), DummyVecEnv([lambda: Free()])):
        with pytest.raises(ValueError, match=r"actions have no bounds .* pass action_bounds=\(low, high\)"):
            DDPG("MlpPolicy", env)


def test_a_training_keeps_to_them() -> None:
    Free.taken.clear()
    trained = model()
    trained.learn(60)
    assert len(Free.taken) == 60
    taken = np.array(Free.taken)
    assert (taken >= [-3, 0]).all()
    assert (taken <= [4, 5]).all()
    assert (np.ptp(taken, axis=0) > 1).all()
    assert trained.action_space == bounded_space(Free().action_space, (-3, [4, 5]))


def test_they_are_saved_and_put_around_each_env_that_comes(tmp_path: Path) -> None:
    trained = model()
    trained.learn(30)
    trained.save(tmp_path / "m.zip")
    content = io.BytesIO((tmp_path / "m.zip").read_bytes())
    observation = np.zeros(3, np.float32)
    wanted = trained.predict(observation, deterministic=True)[0]
    for path in (tmp_path / "m.zip", tmp_path / "m", str(tmp_path / "m"), content):
        again = DDPG.load(path, env=Free())  # without bounds of its own
        assert again.action_bounds == [-3, [4, 5]]
        np.testing.assert_array_equal(again.predict(observation, deterministic=True)[0], wanted)
        again.learn(15)
    again.set_env(DummyVecEnv([lambda: Free()]))
    again.learn(15)
    assert DDPG.load(tmp_path / "m.zip").action_space == trained.action_space
    assert stable_baselines3.DDPG.load(tmp_path / "m.zip").action_space == trained.action_space


def test_under_a_vec_normalize(tmp_path: Path) -> None:
    trained = model(VecNormalize(DummyVecEnv([lambda: Free(), lambda: Free()])))
    trained.learn(60)
    assert trained.get_vec_normalize_env() is not None
    exported = export_policy(trained, tmp_path / "p.npz")
    assert exported.largest_difference < 1e-5


def test_a_checkpoint_of_the_whole_state_is_exact(ddpg: Any, tmp_path: Path) -> None:
    """A run in two halves ends with the networks of one that was not interrupted."""
    shared = ("--eval-every", 50, "--eval-episodes", 1, "--seed", 2, "--video", "none", "--out", tmp_path, *SMALL)
    options = (*shared, "--action-bounds", "-1,0.5")
    begun = ddpg("train", "pendulum", "--steps", 60, *options, "--name", "halves")
    assert "exact" not in begun.stderr
    ddpg("resume", tmp_path / "Pendulum-v1" / "halves", "--steps", 120)
    ddpg("train", "pendulum", "--steps", 120, *options, "--name", "whole")
    halves, whole = (
        read_checkpoint(tmp_path / "Pendulum-v1" / name / "final.zip").parameters["policy"]
        for name in ("halves", "whole")
    )
    assert halves.keys() == whole.keys()
    assert all(th.equal(halves[name], whole[name]) for name in whole)


def test_without_bounds_and_with_a_bounded_env_nothing_changes() -> None:
    plain = DDPG("MlpPolicy", "Pendulum-v1", seed=0, policy_kwargs={"net_arch": [8]})
    narrower = DDPG("MlpPolicy", "Pendulum-v1", seed=0, policy_kwargs={"net_arch": [8]}, action_bounds=(-1, 1))
    assert plain.action_bounds is None
    assert type(plain.env) is DummyVecEnv
    observation = np.array([1.0, 0.0, 3.0], np.float32)
    both = [one.predict(observation, deterministic=True)[0] for one in (plain, narrower)]
    np.testing.assert_allclose(both[0], 2 * both[1], rtol=1e-6)


def test_the_command(ddpg: Any, registered: str, tmp_path: Path) -> None:
    small: tuple[Any, ...] = (
        "--eval-every",
        50,
        "--eval-episodes",
        2,
        "--seed",
        1,
        "--video",
        "none",
        "--out",
        tmp_path,
    )
    small = (*small, "--set", "policy_kwargs.net_arch=[8]", "--set", "learning_starts=10")
    told = ddpg("train", registered, "--steps", 100, *small, code=2).stderr
    assert "DDPG's tanh needs finite bounds; add --action-bounds LOW,HIGH" in told
    ddpg("train", registered, "--steps", 100, *small, "--action-bounds", "-3,[4,5]")
    run = tmp_path / "Free-v0" / "1"
    taken = np.array(Free.taken)
    assert (taken >= [-3, 0]).all()
    assert (taken <= [4, 5]).all()
    ddpg("resume", run, "--steps", 150)
    ddpg("evaluate", "--checkpoint", run, "--episodes", 2)
    ddpg("export", run, "--out", tmp_path / "p.npz")
    policy = Policy(tmp_path / "p.npz")
    assert policy.metadata["action_space"]["high"] == [4.0, 5.0]
    returns = [
        json.loads(ddpg("evaluate", *who, "--episodes", 3, "--json").stdout)["returns"]
        for who in (("--checkpoint", run), ("--policy", tmp_path / "p.npz"))
    ]
    np.testing.assert_allclose(returns[0], returns[1], rtol=1e-4)
    again = ddpg(
        "train", registered, "--config", run / "config.yml", "--steps", 60, "--out", tmp_path, "--video", "none"
    )
    assert "env" in again.stdout


@pytest.mark.parametrize("text", ["1", "a,b", "[1,2],", "1,2,3", "{},1", "!!python/object:os.system,1"])
def test_what_are_no_bounds(refused: Any, text: str) -> None:
    assert "is no low and high; write such as -1,1 or [-1,-2],[1,2]" in refused(
        "train", "pendulum", "--action-bounds", text
    )
    assert "expected low and high" in refused("train", "pendulum", "--set", "action_bounds=[1]")
