"""The command line, called in this process, and small environments to train on."""

import contextlib
import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest

from sb3_ddpg_custom.cli.app import main

# Small nets, few steps before the first update, and no frames to draw.
SMALL = ("--set=policy_kwargs.net_arch=[16,16]", "--set=learning_starts=20", "--set=batch_size=16", "--set=gamma=0.9")


class IdentityEnv(gym.Env[Any, Any]):
    """One-step task: answer the observation; the reward is minus the squared difference."""

    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.asked = self.np_random.uniform(-1, 1, 1).astype(np.float32)
        return self.asked, {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        reward = -float((action - self.asked)[0] ** 2)
        return self.asked, reward, True, False, {}


class Tiny(gym.Env[Any, Any]):
    """Push a point to the origin within 20 steps.

    :param size: dimension of the observation
    :param bound: of the actions
    :param bad: what is NaN from step ``bad_from`` on: "reward", "observation" or nothing
    :param bad_from: counted over all episodes
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's declaration)

    def __init__(
        self, size: int = 1, bound: float = 1.0, bad: str = "", bad_from: int = 70, render_mode: str | None = None
    ) -> None:
        self.observation_space = gym.spaces.Box(-10.0, 10.0, (size,), np.float32)
        self.action_space = gym.spaces.Box(-bound, bound, (1,), np.float32)
        self.bad = bad
        self.bad_from = bad_from
        self.render_mode = render_mode
        self.steps = 0
        self.position = np.zeros(size, np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-1, 1, self.position.shape).astype(np.float32)
        return self.position.copy(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        self.position = np.clip(self.position + 0.2 * np.float32(action[0]), -10, 10)
        reward, observation = -float(np.abs(self.position).sum()), self.position.copy()
        if self.steps >= self.bad_from and self.bad == "reward":
            reward = float("nan")
        if self.steps >= self.bad_from and self.bad == "observation":
            observation[:] = np.nan
        return observation, reward, False, False, {}


@pytest.fixture(scope="session")
def ddpg() -> Iterator[Callable[..., subprocess.CompletedProcess[str]]]:
    """Call ``ddpg`` as the shell would, but in this process; ``code`` is the exit code to expect."""
    # Without Gymnasium's checker, whose warnings about NaN would be errors here.
    gym.register("Tiny-v0", lambda **kwargs: Tiny(**kwargs), max_episode_steps=20, disable_env_checker=True)

    def call(*arguments: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        command = ["ddpg", *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.object(sys, "argv", command),
            # --debug leaves a variable behind; rich must neither fold lines nor draw bars.
            mock.patch.dict(os.environ, {"DDPG_DEBUG": "", "COLUMNS": "200", "TERM": "dumb"}),
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as left,
        ):
            main()
        result = subprocess.CompletedProcess(command, int(left.value.code or 0), out.getvalue(), err.getvalue())
        assert result.returncode == code, f"{result.stdout}\n{result.stderr}"
        assert "Traceback" not in result.stderr
        return result

    yield call
    gym.registry.pop("Tiny-v0")


@pytest.fixture(scope="session")
def small() -> tuple[str, ...]:
    """Options that make a training on ``Tiny-v0`` take a second."""
    return ("--steps", "100", "--eval-every", "50", "--eval-episodes", "2", "--seed", "7", *SMALL)


@pytest.fixture(scope="session")
def tiny_run(
    ddpg: Callable[..., subprocess.CompletedProcess[str]],
    small: tuple[str, ...],
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """The folder of a finished run on ``Tiny-v0``; tests only read it."""
    out = tmp_path_factory.mktemp("tiny")
    ddpg("train", "Tiny-v0", "--out", out, *small)
    return out / "Tiny-v0" / "1"


@pytest.fixture(scope="session")
def pendulum_run(
    ddpg: Callable[..., subprocess.CompletedProcess[str]], tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The folder of a finished run on Pendulum with everything on, and what was printed; tests only read it."""
    out = tmp_path_factory.mktemp("runs")
    printed = ddpg(
        *("train", "pendulum", "--steps", 600, "--eval-every", 300, "--eval-episodes", 2, "--seed", 7),
        *("--out", out, "--video", "cubic", *SMALL),
    )
    return out / "Pendulum-v1" / "1", printed


@pytest.fixture
def identity_env() -> IdentityEnv:
    """The smallest thing to learn: answer what was asked."""
    return IdentityEnv()
