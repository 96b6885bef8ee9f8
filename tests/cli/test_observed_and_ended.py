"""What environments of other people observe, and how their episodes end."""

import csv
import json
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
from helpers import Ddpg

from sb3_ddpg_custom.cli.config.settings import validate
from sb3_ddpg_custom.cli.environments.monitors import monitored
from sb3_ddpg_custom.wrappers import load_statistics

Register = Callable[..., None]
Train = Callable[..., subprocess.CompletedProcess[str]]


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
    def step(env: Any) -> Any:
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
