"""Environments of other people: odd renderers, old contracts, failures of every kind."""

import collections
import decimal
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers import Ddpg

from sb3_ddpg_custom.wrappers import load_statistics

Register = Callable[..., None]
Train = Callable[..., subprocess.CompletedProcess[str]]


# ---- drawing


@pytest.mark.parametrize(
    ("drawn", "remark"),
    [
        (None, "render() answered None, not a picture"),
        ([np.zeros((4, 4, 3), np.uint8)], "render() answered a list, not a picture"),
        (np.zeros((4, 4, 5), np.uint8), "render() answered an array of shape (4, 4, 5), which no picture has"),
        (np.full((4, 4), 9.0), "render() answered an array of type float64 from 9 to 9"),
    ],
)
def test_what_is_no_picture_is_not_filmed_and_said_once(
    register: Register, train: Train, tmp_path: Path, drawn: Any, remark: str
) -> None:
    register(on_render=lambda _: drawn)
    printed = train().stderr
    assert printed.count("no videos: ") == 1
    assert remark in printed
    assert not (tmp_path / "Foreign-v0" / "1" / "videos").exists()
    assert (tmp_path / "Foreign-v0" / "1" / "final.zip").exists()
    error = train("--video", "1", code=2).stderr
    assert remark in error
    assert "--video none" in error


@pytest.mark.parametrize("drawn", [np.zeros((16, 16), np.uint8), np.zeros((16, 16, 4), np.uint8), np.ones((16, 16, 3))])
def test_grey_transparent_and_float_pictures_are_filmed(
    register: Register, train: Train, tmp_path: Path, drawn: Any
) -> None:
    register(on_render=lambda _: drawn)
    assert "no videos" not in train().stderr
    assert (tmp_path / "Foreign-v0" / "1" / "videos" / "episode-000000.mp4").exists()


@pytest.mark.filterwarnings("ignore:.*render_fps.* is 'fast':UserWarning")
def test_a_frame_rate_that_is_no_number(register: Register, train: Train, tmp_path: Path) -> None:
    register(metadata={"render_modes": ["rgb_array"], "render_fps": "fast"})
    train()
    assert (tmp_path / "Foreign-v0" / "1" / "videos" / "episode-000000.mp4").exists()


def test_a_renderer_that_fails_says_why_with_its_brackets(register: Register, train: Train) -> None:
    """The bracket in this message used to be taken for markup."""

    def fail(env: Any) -> None:
        raise RuntimeError("driver not found [/usr/lib/dri]")

    register(on_render=fail)
    printed = train().stderr
    assert "no videos: Foreign-v0 cannot draw here: driver not found [/usr/lib/dri] (RuntimeError in " in printed


def test_a_renderer_that_fails_on_the_way_ends_the_films_only(register: Register, train: Train, tmp_path: Path) -> None:
    drawn = 0

    def draw(env: Any) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn > 16:
            raise OSError("lost the screen")
        return np.zeros((16, 16, 3), np.uint8)

    register(on_render=draw)
    printed = train("--video", "1").stderr
    assert printed.count("no videos from here on: drawing failed (lost the screen (OSError in ") == 1
    videos = sorted(path.name for path in (tmp_path / "Foreign-v0" / "1" / "videos").iterdir())
    assert videos == ["episode-000000.mp4", "episode-000001.mp4"]
    assert len(load_statistics(tmp_path / "Foreign-v0" / "1" / "rewards.npz")["rewards"]) == 5


# ---- the contract


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        (
            {"on_step": lambda env: (env.observation_space.sample(), -1.0, False, {})},
            ["step() of Foreign answered a tuple of 4 values", "terminated, truncated, info)", "GymV21Compatibility"],
        ),
        (
            {"on_reset": lambda env: env.observation_space.sample()},
            ["reset() of Foreign answered an array of shape (2,)", "(observation, info)", "GymV21Compatibility"],
        ),
        (
            {"on_step": lambda env: (env.observation_space.sample(), -1.0, False, False, None)},
            ["step() of Foreign answered None as info", "a dictionary", "{}"],
        ),
        (
            {"on_step": lambda env: (env.observation_space.sample(), np.array([-1.0]), False, False, {})},
            ["step() of Foreign answered an array of shape (1,) as reward", "one number", "LinearReward"],
        ),
        (
            {"on_step": lambda env: (env.observation_space.sample(), -1.0, "False", False, {})},
            ["step() of Foreign answered a value of type str as terminated", "True or False"],
        ),
        (
            {"on_step": lambda env: (env.observation_space.sample(), -1.0, False, np.zeros(2, bool), {})},
            ["step() of Foreign answered an array of shape (2,) as truncated", "True or False"],
        ),
        (
            {"on_step": lambda env: (np.float32(0.5), 0.0, False, False, {})},
            ["the observation has shape () in the env's step 1, but its space says (2,)"],
        ),
        (
            {"on_step": lambda env: (np.zeros(3, np.float32), 0.0, False, False, {})},
            ["the observation has shape (3,) in the env's step 1, but its space says (2,)"],
        ),
    ],
)
def test_a_broken_contract_is_a_sentence(
    register: Register, train: Train, tmp_path: Path, changes: dict[str, Any], parts: list[str]
) -> None:
    register(**changes)
    error = train("--video=none", code=1).stderr.splitlines()[-1]
    assert error.startswith("ddpg: training failed at its first step: ")
    assert [part for part in parts if part not in error] == []
    assert list((tmp_path / "Foreign-v0").iterdir()) == []


@pytest.mark.parametrize("error", [TypeError, MemoryError, KeyError("x"), ValueError("no good")])
def test_an_error_names_its_place(register: Register, train: Train, tmp_path: Path, error: Any) -> None:
    def step(env: Any) -> Any:
        if env.steps == 30:
            raise error
        return env.observation_space.sample(), -1.0, False, False, {}

    register(on_step=step)
    line = step.__code__.co_firstlineno + 2
    last = train("--video=none", code=1).stderr.splitlines()[-1]
    assert "training stopped at step 29: " in last or "training stopped at step 30: " in last
    assert f"{type(error()).__name__ if isinstance(error, type) else type(error).__name__} in " in last
    assert f"test_foreign_envs.py, line {line}" in last
    assert "the model as it was is in " in last


def test_a_constructor_that_fails_without_a_word(register: Register, train: Train) -> None:
    def made(env: Any) -> None:
        raise AssertionError

    register(made=made)
    error = train(code=2).stderr
    assert "Foreign-v0 cannot be made (AssertionError in " in error
    assert f"test_foreign_envs.py, line {made.__code__.co_firstlineno + 1})" in error


@pytest.mark.parametrize("where", ["on_step", "on_reset"])
def test_an_environment_that_leaves_is_an_error(register: Register, train: Train, tmp_path: Path, where: str) -> None:
    """``sys.exit`` in an env used to end the command with the env's own code, without a word and a model."""
    calls = 0

    def leave(env: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 30:
            sys.exit(3)
        observation = env.observation_space.sample()
        return (observation, {}) if where == "on_reset" else (observation, -1.0, False, False, {})

    register(**{where: leave})
    error = train("--video=none", "--steps=800", "--eval-every=700", code=1).stderr.splitlines()[-1]
    assert "sys.exit(3) was called (" in error
    assert "test_foreign_envs.py, line " in error
    assert list((tmp_path / "Foreign-v0" / "1").rglob("*.zip"))


@pytest.mark.parametrize("error", [SystemExit(5), RuntimeError("stuck [/bold]")])
def test_an_environment_that_fails_to_close_is_a_note(
    ddpg: Ddpg, register: Register, train: Train, tmp_path: Path, error: BaseException
) -> None:
    def close(env: Any) -> None:
        raise error

    register(on_close=close)
    done = train()
    assert "the training is over and saved, but the environment could not be closed: " in done.stderr
    assert "final.zip" in done.stdout
    assert (tmp_path / "Foreign-v0" / "1" / "videos" / "trained-000000.mp4").exists()
    played = ddpg("evaluate", "--checkpoint", tmp_path / "Foreign-v0" / "1", "--episodes", 2)
    assert "mean return" in played.stdout
    assert "the environment could not be closed: " in played.stderr


class Leaves(gym.Wrapper[Any, Any, Any, Any]):
    def __init__(self, env: gym.Env[Any, Any]) -> None:
        sys.exit(4)


def test_a_wrapper_that_leaves_is_a_sentence(register: Register, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "wrapper_that_leaves", sys.modules[Leaves.__module__])
    register()
    error = train("--set=env_wrapper=wrapper_that_leaves.Leaves", code=2).stderr
    assert (
        "env_wrapper wrapper_that_leaves.Leaves cannot be put around the environment: sys.exit(4) was called" in error
    )


class NoException(BaseException):
    pass


class NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("error", [GeneratorExit(), NoException("x"), NoTextError(), KeyboardInterrupt()])
def test_whatever_an_environment_raises_the_model_is_saved(
    register: Register, train: Train, error: BaseException
) -> None:
    def step(env: Any) -> Any:
        if env.steps == 30:
            raise error
        return env.observation_space.sample(), -1.0, False, False, {}

    register(on_step=step)
    last = train("--video=none", code=1).stderr.splitlines()[-1]
    assert last.startswith("ddpg: training stopped at step ")
    assert type(error).__name__ in last
    assert "the model as it was is in " in last


Five = collections.namedtuple("Five", "observation reward terminated truncated info")


@pytest.mark.parametrize(
    "changes",
    [
        {"on_step": lambda env: Five(env.observation_space.sample(), -1.0, False, False, {})},
        {"on_reset": lambda env: [env.observation_space.sample(), {}]},
        {"on_step": lambda env: (env.observation_space.sample(), decimal.Decimal("1.5"), False, False, {})},
        {"on_step": lambda env: (env.observation_space.sample(), -1.0, np.array([False]), None, {})},
        {"on_step": lambda env: (env.observation_space.sample(), -1.0, False, False, {"episode": 3})},
    ],
)
def test_what_sb3_trains_trains(register: Register, train: Train, tmp_path: Path, changes: dict[str, Any]) -> None:
    register(**changes)
    train("--video=none")
    assert load_statistics(tmp_path / "Foreign-v0" / "1" / "rewards.npz")["lengths"].tolist() == [20] * 5


def test_a_probe_may_fail_to_close(register: Register, train: Train, tmp_path: Path) -> None:
    """SB3 never closes an env that it has not reset, so ``close`` may use what ``reset`` makes."""

    def close(env: Any) -> None:
        assert env.np_random_seed is not None
        if env.steps == 0:
            raise AttributeError("no window yet")

    register(on_close=close)
    train("--video=none")
    assert (tmp_path / "Foreign-v0" / "1" / "final.zip").exists()


def test_an_environment_that_changes_the_folder(
    ddpg: Ddpg, register: Register, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, elsewhere = tmp_path / "start", tmp_path / "elsewhere"
    start.mkdir()
    elsewhere.mkdir()
    monkeypatch.chdir(start)

    def step(env: Any) -> Any:
        os.chdir("/")
        return env.observation_space.sample(), -1.0, False, False, {}

    register(made=lambda _: os.chdir(elsewhere), on_step=step)
    printed = ddpg("train", "Foreign-v0", "--out", "runs", *small).stdout
    assert list(elsewhere.iterdir()) == []
    run = start / "runs" / "Foreign-v0" / "1"
    assert {"config.yml", "best.zip", "final.zip", "rewards.npz", "0.monitor.csv", "videos"} <= {
        path.name for path in run.iterdir()
    }
    assert "ddpg evaluate --checkpoint runs/Foreign-v0/1\n" in printed
