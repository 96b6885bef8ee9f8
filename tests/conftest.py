"""The command line, called in this process, and small environments to train on."""

import atexit
import contextlib
import gc
import io
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common import policies
from stable_baselines3.common.preprocessing import preprocess_obs

from sb3_ddpg_custom.cli.app import main
from sb3_ddpg_custom.cli.child_processes import start_server
from sb3_ddpg_custom.cli.environments.processes import PRELOADED
from sb3_ddpg_custom.cli.experiments.engines.local import IMPORTED_ONCE
from sb3_ddpg_custom.wrappers import episode_log

# A shell ignores SIGINT in what it runs in the background, and processes inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# SB3 makes a folder for each training that logs nowhere: thousands of them.
os.environ["SB3_LOGDIR"] = tempfile.mkdtemp(prefix="sb3-logs-of-tests-")
atexit.register(shutil.rmtree, os.environ["SB3_LOGDIR"], ignore_errors=True)

# Small nets, few steps before the first update, and no frames to draw.
SMALL = ("--set=policy_kwargs.net_arch=[16,16]", "--set=learning_starts=20", "--set=batch_size=16", "--set=gamma=0.9")


def pytest_configure(config: pytest.Config) -> None:
    """Start the server from which processes are forked with all that any test needs; the first one would choose."""
    # Waiting for the disk, thousands of times, tells nothing without a power cut, and those are only played here.
    os.fsync = os.fstat  # type: ignore[assignment]  # which refuses what is no open file, too
    if hasattr(config, "workerinput"):
        start_server((*PRELOADED, *IMPORTED_ONCE))


DRAW_CURVE = "sb3_ddpg_custom.cli.figures.curve.draw_learning_curve"


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
    """Call ``ddpg`` as the shell would, but in this process.

    ``code`` is the exit code to expect; without ``curve`` no learning curve is drawn, which takes a third of the time.
    """
    # Without Gymnasium's checker, whose warnings about NaN would be errors here.
    gym.register("Tiny-v0", lambda **kwargs: Tiny(**kwargs), max_episode_steps=20, disable_env_checker=True)

    def call(*arguments: object, code: int = 0, curve: bool = False) -> subprocess.CompletedProcess[str]:
        command = ["ddpg", *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        drawn = contextlib.nullcontext() if curve else mock.patch(DRAW_CURVE, return_value=None)
        with (
            drawn,
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
    ddpg("train", "Tiny-v0", "--out", out, *small, curve=True)
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
        curve=True,
    )
    return out / "Pendulum-v1" / "1", printed


@pytest.fixture
def identity_env() -> IdentityEnv:
    """The smallest thing to learn: answer what was asked."""
    return IdentityEnv()


class Foreign(gym.Env[Any, Any]):
    """A small env of which a test changes one thing.

    :param changes: attributes, and functions that get the env and what the method gets
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's declaration)
    observation_space: spaces.Space[Any] = spaces.Box(-1, 1, (2,), np.float32)
    action_space = spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, render_mode: str | None = None, **changes: Any) -> None:
        self.render_mode = render_mode
        self.changes = changes
        self.steps = 0
        for name in ("observation_space", "metadata"):
            if name in changes:
                setattr(self, name, changes[name])
        self._change("made")

    def _change(self, name: str, default: Any = None) -> Any:
        return self.changes[name](self) if name in self.changes else default

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> Any:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self._change("on_reset", (self.observation_space.sample(), {}))

    def step(self, action: Any) -> Any:
        self.steps += 1
        return self._change("on_step", (self.observation_space.sample(), -1.0, False, False, {}))

    def render(self) -> Any:
        return self._change("on_render", np.zeros((16, 16, 3), np.uint8))

    def close(self) -> None:
        self._change("on_close")


@pytest.fixture
def register(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Register ``Foreign-v0`` with changes, for one test."""

    def call(max_episode_steps: int | None = 20, **changes: Any) -> None:
        spec = gym.envs.registration.EnvSpec(
            "Foreign-v0",
            entry_point=lambda **kwargs: Foreign(**changes, **kwargs),
            max_episode_steps=max_episode_steps,
            disable_env_checker=True,
        )
        monkeypatch.setitem(gym.registry, "Foreign-v0", spec)

    return call


@pytest.fixture
def train(
    ddpg: Callable[..., subprocess.CompletedProcess[str]], small: tuple[str, ...], tmp_path: Path
) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Train on ``Foreign-v0``; the run folder is ``tmp_path/Foreign-v0/1``."""

    def call(*options: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        return ddpg("train", "Foreign-v0", "--out", tmp_path, *small, *options, code=code)

    return call


@pytest.fixture
def display(monkeypatch: pytest.MonkeyPatch) -> None:
    """A display, for ``--render``; nothing is shown on it."""
    monkeypatch.setenv("DISPLAY", ":99")


@pytest.fixture
def refused(
    ddpg: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """Call a command that has to end with one sentence, code 2 and nothing on the disk; return the sentence."""
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)

    def call(*arguments: object) -> str:
        printed = ddpg(*arguments, code=2)
        assert printed.stdout == ""
        assert printed.stderr.startswith("ddpg: ")
        assert printed.stderr.count("\n") == 1
        assert [path for path in here.rglob("*") if not path.is_dir() or path.name == "1"] == []
        return printed.stderr

    return call


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Settings that stay the same while the shipped ones are tuned."""
    path = tmp_path / "base.yml"
    path.write_text(
        "default: {n_timesteps: 5, noise_type: normal, noise_std: 0.1, policy_kwargs: {net_arch: [64, 64]}}"
    )
    return path


@pytest.fixture
def a_processor_that_is_used_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is said of OpenBLAS differs from machine to machine."""
    monkeypatch.setattr("sb3_ddpg_custom.cli.training.blas.remarks_on_blas", list)


@pytest.fixture
def no_log_stays_open() -> Iterator[None]:
    """Episode logs are closed when the test is over."""
    yield
    gc.collect()  # a test that leaves its monitor to the garbage collector
    assert episode_log._open_logs == []


@pytest.fixture
def float64_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """SB3 casts observations to float32, which networks in float64 do not take."""

    def preprocess(*args: Any, **kwargs: Any) -> Any:
        return preprocess_obs(*args, **kwargs).double()  # type: ignore[union-attr]

    monkeypatch.setattr(policies, "preprocess_obs", preprocess)
