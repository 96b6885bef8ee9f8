import base64
import contextlib
import json
import os
import pickle
import shutil
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch as th
import yaml
from helpers import Ddpg
from stable_baselines3.common.monitor import Monitor

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.cli.environments.seeds import evaluation_seeds
from sb3_ddpg_custom.cli.evaluation import evaluate as evaluation
from sb3_ddpg_custom.cli.evaluation.evaluate import EvaluateResult, bootstrap_interval
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest

KEYS = [
    *("env_id", "checkpoint", "episodes", "seed", "mean_return", "std_return", "ci95", "min_return", "max_return"),
    *("mean_length", "success_rate", "returns"),
]


class Marker:
    """Whoever unpickles this creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (os.mkdir, (str(self.path),))


def returns_of(ddpg: Ddpg, *arguments: object) -> list[float]:
    found: list[float] = json.loads(ddpg("evaluate", "--json", *arguments).stdout)["returns"]
    return found


def with_members(source: Path, target: Path, changes: Mapping[str, bytes | None]) -> Path:
    """Copy a zip, with some members replaced, added or (None) left out."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in dict.fromkeys([*old.namelist(), *changes]):
            content = changes[name] if name in changes else old.read(name)
            if content is not None:
                new.writestr(name, content)
    return target


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with zips that SB3 itself saved."""
    folder = tmp_path_factory.mktemp("sb3")
    for algorithm in (sb3.DDPG, sb3.TD3):
        model = algorithm("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [16, 16]}, seed=1, device="cpu")
        model.save(folder / algorithm.__name__)
    return folder


def test_json_is_one_object_with_these_keys(ddpg: Ddpg, tiny_run: Path) -> None:
    printed = ddpg("evaluate", "--checkpoint", tiny_run, "--episodes", 3, "--seed", 5, "--json")
    result = json.loads(printed.stdout)
    assert list(result) == KEYS
    assert printed.stderr == ""
    returns = result["returns"]
    assert len(returns) == 3
    assert len(set(returns)) == 3
    low, high = result.pop("ci95")
    assert min(returns) <= low < np.mean(returns) < high <= max(returns)
    assert result == {
        "env_id": "Tiny-v0",
        "checkpoint": str(tiny_run / "best.zip"),
        "episodes": 3,
        "seed": 5,
        "mean_return": pytest.approx(np.mean(returns)),
        "std_return": pytest.approx(np.std(returns)),
        "min_return": min(returns),
        "max_return": max(returns),
        "mean_length": 20.0,
        "success_rate": None,
        "returns": returns,
    }


def test_the_table_has_the_same_numbers(ddpg: Ddpg, tiny_run: Path) -> None:
    result = json.loads(ddpg("evaluate", "--checkpoint", tiny_run, "--episodes", 3, "--json").stdout)
    table = ddpg("evaluate", "--checkpoint", tiny_run, "--episodes", 3).stdout
    assert f"{result['mean_return']:.2f} ± {result['std_return']:.2f}" in table
    assert f"{result['ci95'][0]:.2f} to {result['ci95'][1]:.2f}" in table
    assert "95 %" not in ddpg("evaluate", "--checkpoint", tiny_run, "--episodes", 1).stdout


def test_same_command_same_numbers(ddpg: Ddpg, tiny_run: Path) -> None:
    command = ("evaluate", "--checkpoint", tiny_run, "--episodes", 20)
    assert ddpg(*command).stdout == ddpg(*command).stdout
    first = returns_of(ddpg, "--checkpoint", tiny_run, "--episodes", 20)
    assert returns_of(ddpg, "--checkpoint", tiny_run, "--episodes", 3) == pytest.approx(first[:3])
    assert set(returns_of(ddpg, "--checkpoint", tiny_run, "--episodes", 20, "--seed", 1)).isdisjoint(first)


def test_a_single_episode_has_no_interval(ddpg: Ddpg, tiny_run: Path) -> None:
    printed = ddpg("evaluate", "--checkpoint", tiny_run, "--episodes", 1, "--json").stdout
    assert '"ci95": null' in printed
    assert bootstrap_interval([3.0]) is None
    assert bootstrap_interval([3.0, 3.0]) == (3.0, 3.0)


def test_a_folder_a_zip_and_what_a_broken_off_run_leaves(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    best = returns_of(ddpg, "--checkpoint", tiny_run, "--episodes", 2)
    assert best == returns_of(ddpg, "--checkpoint", tiny_run / "best.zip", "--episodes", 2)
    (tmp_path / "checkpoints").mkdir()
    for name in ("step_000000050.zip", "step_000000100.zip"):
        shutil.copy(tiny_run / "checkpoints" / name, tmp_path / "checkpoints" / name)
    result = json.loads(ddpg("evaluate", "--checkpoint", tmp_path, "--episodes", 2, "--json").stdout)
    assert result["checkpoint"] == str(tmp_path / "checkpoints" / "step_000000100.zip")


@pytest.mark.parametrize("algorithm", ["DDPG", "TD3"])
def test_zips_of_sb3_give_the_returns_of_a_literal_loop(ddpg: Ddpg, foreign: Path, algorithm: str) -> None:
    path = foreign / f"{algorithm}.zip"
    assert "--env pendulum" in ddpg("evaluate", "--checkpoint", path, code=2).stderr
    returns = returns_of(ddpg, "--checkpoint", path, "--env", "pendulum", "--episodes", 3, "--seed", 4)

    model = getattr(sb3, algorithm).load(path, device="cpu")
    env = gym.make("Pendulum-v1")
    expected = []
    for seed in evaluation_seeds(4, 3):
        observation, _ = env.reset(seed=seed)
        total, over = 0.0, False
        while not over:
            action, _ = model.predict(observation, deterministic=True)
            observation, reward, terminated, truncated, _ = env.step(action)
            total += float(reward)
            over = terminated or truncated
        expected.append(total)
    env.close()
    assert returns == pytest.approx(expected, rel=1e-4)


def test_the_numbers_are_those_of_sb3s_evaluate_policy(ddpg: Ddpg, tiny_run: Path) -> None:
    class Starts(gym.Wrapper[Any, Any, Any, Any]):
        def reset(self, **kwargs: Any) -> Any:
            return self.env.reset(seed=seeds.pop(0) if seeds else None)

    seeds = evaluation_seeds(2, 4)
    model = DDPG.load(tiny_run / "best.zip", device="cpu")
    env = Monitor(Starts(gym.make("Tiny-v0")))
    expected, lengths = sb3.common.evaluation.evaluate_policy(model, env, 4, return_episode_rewards=True)
    assert lengths == [20] * 4
    returns = returns_of(ddpg, "--checkpoint", tiny_run, "--episodes", 4, "--seed", 2)
    assert returns == pytest.approx(expected, abs=1e-5)


def test_the_statistics_of_the_normalisation_are_used(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    # Observations of some hundredths: without the statistics, the policy hardly sees them.
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, "--set", "normalize=true", "--set", "env_kwargs.bound=0.1")
    final = tmp_path / "Tiny-v0" / "1" / "final.zip"
    with zipfile.ZipFile(final) as archive, archive.open("vec_normalize.npz") as file, np.load(file) as statistics:
        assert statistics["observations.count"] > 100
        assert statistics["observations.mean"].shape == (1,)
        assert statistics["observations.mean"][0] != 0
    without = with_members(final, tmp_path / "without.zip", {"vec_normalize.npz": None})
    returns = returns_of(ddpg, "--checkpoint", final, "--episodes", 3)
    assert returns != pytest.approx(returns_of(ddpg, "--checkpoint", without, "--episodes", 3), rel=1e-3)
    # It is the policy that sees other numbers; the reported rewards are the environment's own, unscaled.
    assert all(-40 < value < 0 for value in returns)
    other = ("evaluate", "--checkpoint", final, "--env", "pendulum")
    assert "shape" in ddpg(*other, code=2).stderr


def test_one_video_per_episode(ddpg: Ddpg, foreign: Path, tmp_path: Path) -> None:
    command = ("evaluate", "--checkpoint", foreign / "DDPG.zip", "--env", "pendulum", "--episodes", 2)
    filmed = json.loads(ddpg(*command, "--json", "--video", tmp_path / "films").stdout)
    videos = sorted(path.name for path in (tmp_path / "films").iterdir())
    assert videos == ["episode-000000.mp4", "episode-000001.mp4"]
    assert all((tmp_path / "films" / name).stat().st_size > 1000 for name in videos)
    assert filmed["returns"] == pytest.approx(json.loads(ddpg(*command, "--json").stdout)["returns"])


def test_a_full_command_line_becomes_one_request(ddpg: Ddpg, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":99")  # for --render; nothing is shown
    requests: list[EvaluateRequest] = []

    def evaluate(request: EvaluateRequest, console: Any) -> EvaluateResult:
        requests.append(request)
        return EvaluateResult(
            env_id="E-v0",
            checkpoint="c.zip",
            episodes=1,
            seed=2,
            mean_return=-1.0,
            std_return=0.0,
            ci95=None,
            min_return=-1.0,
            max_return=-1.0,
            mean_length=3.0,
            success_rate=None,
            returns=(-1.0,),
        )

    monkeypatch.setattr(evaluation, "evaluate", evaluate)
    ddpg("evaluate", "--checkpoint", "a")
    printed = ddpg(
        *("evaluate", "--checkpoint", "a.zip", "--episodes", 1, "--seed", 2, "--env", "pendulum", "--video", "v"),
        *("--render", "--import", "os", "--import", "re", "--json", "--normalization", "n.pkl", "--max-steps", 7),
    ).stdout
    assert json.loads(printed)["returns"] == [-1.0]
    assert requests == [
        EvaluateRequest(checkpoint=Path("a")),
        EvaluateRequest(
            checkpoint=Path("a.zip"),
            episodes=1,
            seed=2,
            env="pendulum",
            video=Path("v"),
            render=True,
            imports=("os", "re"),
            normalization=Path("n.pkl"),
            max_steps=7,
        ),
    ]


def test_a_pickle_that_would_run_in_data_does_not_run(ddpg: Ddpg, foreign: Path, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    pickled = base64.b64encode(pickle.dumps(Marker(marker))).decode()
    with zipfile.ZipFile(foreign / "DDPG.zip") as archive:
        data = json.loads(archive.read("data"))
    for attribute, value in data.items():
        if isinstance(value, dict) and ":serialized:" in value:
            data[attribute][":serialized:"] = pickled
    assert sum(pickled in json.dumps(value) for value in data.values()) > 3
    hostile = with_members(foreign / "DDPG.zip", tmp_path / "hostile.zip", {"data": json.dumps(data).encode()})
    arguments = ("--env", "pendulum", "--episodes", 2)
    assert returns_of(ddpg, "--checkpoint", hostile, *arguments) == pytest.approx(
        returns_of(ddpg, "--checkpoint", foreign / "DDPG.zip", *arguments)
    )
    ddpg(
        *("train", "pendulum", "--from", hostile, "--out", tmp_path, "--steps", 5, "--eval-episodes", 1),
        *("--video", "none", "--set", "policy_kwargs.net_arch=[16,16]", "--eval-every", 5),
    )
    assert not marker.exists()
    # The trap is a real one: SB3 itself walks into it.
    with contextlib.suppress(Exception):
        sb3.DDPG.load(hostile, device="cpu")
    assert marker.exists()


@pytest.mark.parametrize("member", ["policy.pth", "actor.optimizer.pth"])
def test_a_pickle_that_would_run_in_a_pth_is_refused(ddpg: Ddpg, foreign: Path, tmp_path: Path, member: str) -> None:
    marker = tmp_path / "marker"
    th.save({"weight": Marker(marker)}, tmp_path / "trap.pth")
    content = (tmp_path / "trap.pth").read_bytes()
    hostile = with_members(foreign / "DDPG.zip", tmp_path / "hostile.zip", {member: content})
    error = ddpg("evaluate", "--checkpoint", hostile, "--env", "pendulum", code=2).stderr
    assert error.count("\n") == 1
    assert f"{member} holds more than tensors" in error
    assert ddpg("train", "pendulum", "--from", hostile, "--out", tmp_path, code=2).stderr.startswith("ddpg: --from")
    assert not marker.exists()
    th.load(tmp_path / "trap.pth", weights_only=False)
    assert marker.exists()


@pytest.mark.parametrize("named", [(), ("--env", "Tiny-v0")], ids=["own env", "--env"])
@pytest.mark.parametrize(
    ("env_id", "extra"),
    [
        ("Tiny-v0", {"env_wrapper": ["evil_module.Wrapper"]}),
        ("Tiny-v0", {"vec_env_wrapper": ["evil_module.Wrapper"]}),
        ("evil_module:Env-v0", {}),
    ],
)
def test_a_checkpoint_cannot_have_a_module_imported(
    ddpg: Ddpg,
    tiny_run: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    env_id: str,
    extra: dict[str, Any],
    named: tuple[str, ...],
) -> None:
    """With --env, the wrappers of the checkpoint used to be imported unasked."""
    marker = tmp_path / "marker"
    (tmp_path / "evil_module.py").write_text(f"open({str(marker)!r}, 'w').close()")
    monkeypatch.syspath_prepend(tmp_path)
    entry = yaml.safe_load((tiny_run / "config.yml").read_text())["Tiny-v0"]
    config = yaml.safe_dump({env_id: {**entry, **extra}}).encode()
    hostile = with_members(tiny_run / "best.zip", tmp_path / "hostile.zip", {"config.yml": config})
    command = ("evaluate", "--checkpoint", hostile, "--episodes", 1, *named)
    if named and env_id != "Tiny-v0":
        ddpg(*command)  # --env has replaced it
    else:
        error = ddpg(*command, code=2).stderr
        assert error.count("\n") == 1
        assert "--import evil_module" in error
    assert not marker.exists()
    assert "evil_module" not in sys.modules


@pytest.mark.parametrize("wrapper", ["gymnasium.wrappers.RecordVideo", "gymnasium.wrappers.rendering.RecordVideo"])
def test_a_checkpoint_cannot_have_files_written(ddpg: Ddpg, tiny_run: Path, tmp_path: Path, wrapper: str) -> None:
    entry = yaml.safe_load((tiny_run / "config.yml").read_text())["Tiny-v0"]
    entry["env_wrapper"] = [{wrapper: {"video_folder": str(tmp_path / "videos")}}]
    config = yaml.safe_dump({"Tiny-v0": entry}).encode()
    hostile = with_members(tiny_run / "best.zip", tmp_path / "hostile.zip", {"config.yml": config})
    assert "--import" in ddpg("evaluate", "--checkpoint", hostile, code=2).stderr
    assert not (tmp_path / "videos").exists()
