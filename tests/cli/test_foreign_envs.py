"""Environments of other people: odd renderers, old contracts, observations of every kind, failures of every kind."""

import collections
import csv
import decimal
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from gymnasium import spaces

from sb3_ddpg_custom.cli.config.settings import validate
from sb3_ddpg_custom.cli.environments.monitors import monitored
from sb3_ddpg_custom.wrappers import load_statistics

Ddpg = Callable[..., subprocess.CompletedProcess[str]]
Register = Callable[..., None]


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
def register(monkeypatch: pytest.MonkeyPatch) -> Register:
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
def train(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Train on ``Foreign-v0``; the run folder is ``tmp_path/Foreign-v0/1``."""

    def call(*options: object, code: int = 0) -> subprocess.CompletedProcess[str]:
        return ddpg("train", "Foreign-v0", "--out", tmp_path, *small, *options, code=code)

    return call


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

    def fail(env: Foreign) -> None:
        raise RuntimeError("driver not found [/usr/lib/dri]")

    register(on_render=fail)
    printed = train().stderr
    assert "no videos: Foreign-v0 cannot draw here: driver not found [/usr/lib/dri] (RuntimeError in " in printed


def test_a_renderer_that_fails_on_the_way_ends_the_films_only(register: Register, train: Train, tmp_path: Path) -> None:
    drawn = 0

    def draw(env: Foreign) -> Any:
        nonlocal drawn
        drawn += 1
        if drawn > 30:
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
    def step(env: Foreign) -> Any:
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
    def made(env: Foreign) -> None:
        raise AssertionError

    register(made=made)
    error = train(code=2).stderr
    assert "Foreign-v0 cannot be made (AssertionError in " in error
    assert f"test_foreign_envs.py, line {made.__code__.co_firstlineno + 1})" in error


@pytest.mark.parametrize("where", ["on_step", "on_reset"])
def test_an_environment_that_leaves_is_an_error(register: Register, train: Train, tmp_path: Path, where: str) -> None:
    """``sys.exit`` in an env used to end the command with the env's own code, without a word and a model."""
    calls = 0

    def leave(env: Foreign) -> Any:
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
    register: Register, train: Train, tmp_path: Path, error: BaseException
) -> None:
    def close(env: Foreign) -> None:
        raise error

    register(on_close=close)
    done = train()
    assert "the training is over and saved, but the environment could not be closed: " in done.stderr
    assert "final.zip" in done.stdout
    assert (tmp_path / "Foreign-v0" / "1" / "videos" / "trained-000000.mp4").exists()


class NoException(BaseException):
    pass


class NoTextError(Exception):
    def __str__(self) -> str:
        raise ValueError("no text")


@pytest.mark.parametrize("error", [GeneratorExit(), NoException("x"), NoTextError(), KeyboardInterrupt()])
def test_whatever_an_environment_raises_the_model_is_saved(
    register: Register, train: Train, error: BaseException
) -> None:
    def step(env: Foreign) -> Any:
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

    def step(env: Foreign) -> Any:
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


# ---- observations


def box(*shape: int) -> spaces.Box:
    return spaces.Box(-1, 1, shape, np.float32)


IMAGE = spaces.Box(0, 255, (40, 40, 3), np.uint8)


@pytest.mark.parametrize(
    ("space", "policy", "is_flattened"),
    [
        (spaces.Dict(a=box(2), b=spaces.Discrete(3)), "MultiInputPolicy", False),
        (IMAGE, "CnnPolicy", False),
        (spaces.Box(0, 255, (8, 8, 3), np.uint8), "MlpPolicy", False),
        (spaces.Tuple([box(2), box(3, 1)]), "MlpPolicy", True),
        (spaces.Dict(a=box(), b=box(2)), "MlpPolicy", True),
        (spaces.Dict(a=spaces.Dict(b=box(2)), c=spaces.Discrete(2)), "MlpPolicy", True),
        (box(), "MlpPolicy", True),
        (spaces.MultiDiscrete(np.full((2, 2), 3)), "MlpPolicy", True),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Box (low|high)'s precision lowered")
def test_the_policy_follows_the_observations(
    ddpg: Ddpg,
    register: Register,
    train: Train,
    tmp_path: Path,
    space: spaces.Space[Any],
    policy: str,
    is_flattened: bool,
) -> None:
    register(observation_space=space)
    small_buffer = ("--set=buffer_size=200", "--set=batch_size=4", "--steps=40", "--set=learning_starts=36")
    printed = train(*small_buffer, "--eval-every=40", "--eval-episodes=1", "--video=none").stderr
    assert (f"policy: {policy}, which fits the observations" in printed) == (policy != "MlpPolicy")
    assert ("env_wrapper: gymnasium.wrappers.FlattenObservation" in printed) == is_flattened
    run = tmp_path / "Foreign-v0" / "1"
    assert yaml.safe_load((run / "config.yml").read_text())["Foreign-v0"]["policy"] == policy
    assert "mean return" in ddpg("evaluate", "--checkpoint", run, "--episodes", 1).stdout


@pytest.fixture
def this_module(monkeypatch: pytest.MonkeyPatch) -> str:
    """The name under which settings may name the wrappers of this file."""
    monkeypatch.setitem(sys.modules, "wrappers_of_a_test", sys.modules[SecondPart.__module__])
    return "wrappers_of_a_test"


class SecondPart(gym.ObservationWrapper[Any, Any, Any]):
    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.observation_space = env.observation_space[1]  # type: ignore[index]

    def observation(self, observation: Any) -> Any:
        return observation[1]


class SumOfRewards(gym.RewardWrapper[Any, Any]):
    def reward(self, reward: Any) -> float:
        return float(reward.sum())


def test_text_needs_a_wrapper_which_then_trains(register: Register, train: Train, this_module: str) -> None:
    """The guard against NaN used to take text, and tuples of unequal parts, for numbers."""
    register(observation_space=spaces.Tuple([spaces.Text(9), box(2)]))
    assert "for which SB3 has no policy" in train("--video=none", code=2).stderr
    train("--video=none", f"--set=env_wrapper={this_module}.SecondPart")


def test_a_vector_reward_trains_with_a_wrapper_that_makes_it_a_number(
    register: Register, train: Train, this_module: str, tmp_path: Path
) -> None:
    register(on_step=lambda env: (env.observation_space.sample(), np.array([1.0, 2.0]), False, False, {}))
    assert "LinearReward" in train("--video=none", code=1).stderr
    train("--video=none", f"--set=env_wrapper={this_module}.SumOfRewards")
    assert set(load_statistics(tmp_path / "Foreign-v0" / "1" / "rewards.npz")["rewards"]) == {60.0}


# ---- episodes


class EndsAfterSeven(gym.Wrapper[Any, Any, Any, Any]):
    """Ends episodes by itself, and doubles rewards."""

    def reset(self, **kwargs: Any) -> Any:
        self.left = 7
        return self.env.reset(**kwargs)

    def step(self, action: Any) -> Any:
        observation, reward, _, _, info = self.env.step(action)
        self.left -= 1
        return observation, 2 * float(reward), False, self.left == 0, info


def test_an_episode_is_what_the_outermost_env_says(
    ddpg: Ddpg, register: Register, train: Train, tmp_path: Path, this_module: str
) -> None:
    """It used to end with "training stopped at step 60: 'episode'"."""
    register()
    train(f"--set=env_wrapper={this_module}.EndsAfterSeven")
    run = tmp_path / "Foreign-v0" / "1"
    assert set(load_statistics(run / "rewards.npz")["lengths"]) == {7}
    assert set(load_statistics(run / "rewards.npz")["rewards"]) == {-7.0}
    with np.load(run / "evaluations.npz") as results:
        assert set(results["ep_lengths"].ravel()) == {7}
    evaluate = ("evaluate", "--checkpoint", run, "--episodes", 2, "--import", this_module, "--json")
    assert json.loads(ddpg(*evaluate).stdout)["returns"] == [-7.0, -7.0]
    train("--set=env_wrapper={gymnasium.wrappers.TimeLimit: {max_episode_steps: 5}}", "--name=limit")
    assert set(load_statistics(tmp_path / "Foreign-v0" / "limit" / "rewards.npz")["lengths"]) == {5}


def test_an_evaluation_of_an_endless_environment_is_bounded(
    ddpg: Ddpg, register: Register, train: Train, tmp_path: Path
) -> None:
    register(max_episode_steps=None)
    printed = train("--video=none").stderr
    cut = "evaluation episodes that have no end after 100 steps are cut there (--eval-max-steps"
    assert printed.count(cut) == 1
    run = tmp_path / "Foreign-v0" / "1"
    with np.load(run / "evaluations.npz") as results:
        assert set(results["ep_lengths"].ravel()) == {100}
    done = ddpg("evaluate", "--checkpoint", run, "--episodes", 2, "--json")
    assert json.loads(done.stdout)["mean_length"] == 100
    assert "after 100 steps are cut there (--max-steps" in done.stderr
    done = ddpg("evaluate", "--checkpoint", run, "--episodes", 2, "--json", "--max-steps", 30)
    assert json.loads(done.stdout)["mean_length"] == 30
    assert "after 33 steps" in train("--video=none", "--eval-max-steps=33").stderr


def test_episodes_as_the_unit_of_training_end_where_the_training_does(
    register: Register, train: Train, tmp_path: Path
) -> None:
    register(max_episode_steps=None)
    printed = train("--video=none", "--set=train_freq=[1, episode]").stdout
    assert "100 of 100" in printed


def test_success_is_recorded_and_evaluated(ddpg: Ddpg, register: Register, train: Train, tmp_path: Path) -> None:
    def step(env: Foreign) -> Any:
        return env.observation_space.sample(), -1.0, False, False, {"is_success": env.steps % 40 == 20}

    register(on_step=step)
    printed = train("--video=none", "--set=monitor_kwargs.info_keywords=[is_success]").stderr
    assert "success 50 %" in printed or "success 100 %" in printed
    run = tmp_path / "Foreign-v0" / "1"
    rows = list(csv.DictReader((run / "0.monitor.csv").read_text().splitlines()[1:]))
    assert {row["is_success"] for row in rows} == {"True", "False"}
    with np.load(run / "evaluations.npz") as results:
        assert results["successes"].shape == results["results"].shape
    done = ddpg("evaluate", "--checkpoint", run, "--episodes", 2)
    assert "success rate" in done.stdout
    assert json.loads(ddpg("evaluate", "--checkpoint", run, "--episodes", 2, "--json").stdout)["success_rate"] == 1.0
    error = train("--set=monitor_kwargs=dict(info_keywords=('speed',))", code=1).stderr.splitlines()[-1]
    assert "info_keywords has 'speed', which is not in the info at an episode's end; there is is_success" in error


def test_an_episode_that_is_cut_is_no_success_and_no_failure(register: Register, train: Train, tmp_path: Path) -> None:
    register(max_episode_steps=None)
    printed = train("--video=none", "--set=monitor_kwargs.info_keywords=is_success").stderr
    assert "success" not in printed
    with np.load(tmp_path / "Foreign-v0" / "1" / "evaluations.npz") as results:
        assert "successes" not in results


def test_a_new_monitor_file_has_a_header(register: Register, train: Train, tmp_path: Path) -> None:
    register()
    train("--set=monitor_kwargs.override_existing=false")
    comment, header, *rows = (tmp_path / "Foreign-v0" / "1" / "0.monitor.csv").read_text().splitlines()
    assert json.loads(comment.removeprefix("#"))["env_id"] == "Foreign-v0"
    assert header == "r,l,t"
    assert len(rows) == 5


def test_an_old_monitor_file_goes_on_without_a_second_header(register: Register, tmp_path: Path) -> None:
    register()
    kwargs = {"monitor_kwargs": {"override_existing": False}}
    for _ in range(2):
        env = monitored(
            gym.make("Foreign-v0"),
            validate({"n_timesteps": 1, **kwargs}, "x"),
            files=(tmp_path / "r.npz", tmp_path / "0"),
        )
        env.reset(seed=0)
        for _ in range(20):
            env.step(env.action_space.sample())
        env.close()
        (tmp_path / "r.npz").unlink()
    comment, header, *rows = (tmp_path / "0.monitor.csv").read_text().splitlines()
    assert comment.startswith("#")
    assert header == "r,l,t"
    assert [row.split(",")[1] for row in rows] == ["20", "20"]


# ---- packages


@pytest.mark.parametrize(("name", "code"), [("registry_of_a_test:register_envs", 0), ("registry_of_a_test:nothing", 2)])
def test_a_package_may_register_by_a_function(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, code: int
) -> None:
    (tmp_path / "registry_of_a_test.py").write_text(
        "import gymnasium\n"
        "def register_envs():\n"
        "    gymnasium.register('Called-v0', gymnasium.spec('Pendulum-v1').entry_point, max_episode_steps=20)\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    command = ("train", "Called-v0", "--import", name, "--out", tmp_path, "--video=none", *small)
    printed = ddpg(*command, code=code)
    if code:
        assert "registry_of_a_test has no function 'nothing'" in printed.stderr
    else:
        assert f"--import {name}" in printed.stdout
    gym.registry.pop("Called-v0", None)
    sys.modules.pop("registry_of_a_test", None)


def test_the_files_of_a_run_hold_what_was_chosen(register: Register, train: Train, tmp_path: Path) -> None:
    register(observation_space=spaces.Tuple([box(1), box(1)]))
    train("--video=none")
    with zipfile.ZipFile(tmp_path / "Foreign-v0" / "1" / "final.zip") as archive:
        config = yaml.safe_load(archive.read("config.yml"))
    assert config["Foreign-v0"]["env_wrapper"] == ["gymnasium.wrappers.FlattenObservation"]
