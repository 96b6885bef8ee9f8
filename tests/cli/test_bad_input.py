import json
import os
import subprocess
import sys
import traceback
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from helpers import Ddpg

from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.cli.app import main
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.wrappers import load_statistics

CALLBACKS = "stable_baselines3.common.callbacks"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["pendulmu"], ["unknown environment 'pendulmu'", "did you mean 'pendulum'?"]),
        (["CartPole-v1"], ["CartPole-v1", "Discrete(2)", "Box"]),
        (["pendulum", "--set", "learning_rat=1"], ["--set learning_rat", "did you mean 'learning_rate'?"]),
        (["pendulum", "--set", "batch_size=many"], ["--set batch_size is 'many'", "whole number"]),
        (["pendulum", "--set", "batch_size"], ["--set 'batch_size' is not key=value"]),
        (["pendulum", "--set", "tau=[1"], ["--set tau", "line 1", "not valid YAML"]),
        (["pendulum", "--steps", "-5"], ["--steps is -5", "at least 1"]),
        (["pendulum", "--n-envs", "0"], ["--n-envs is 0", "at least 1"]),
        (["pendulum", "--seed", "-1"], ["--seed -1 is out of range", "from 0 to"]),
        (["pendulum", "--seed", "4294967295"], ["--seed 4294967295 is out of range"]),
        (["pendulum", "--device", "nonsense"], ["--device nonsense", "cpu"]),
        (["pendulum", "--device", "meta"], ["--device meta cannot be used here", "--device cpu"]),
        (["pendulum", "--video", "often"], ["--video often", "cubic"]),
        (["pendulum", "--video", "0"], ["--video 0", "at least 1"]),
        (["pendulum", "--video", "\N{ARABIC-INDIC DIGIT THREE}"], ["--video \N{ARABIC-INDIC DIGIT THREE} is neither"]),
        (["pendulum", "--config", ""], ["--config is empty"]),
        (["pendulum", "--from", ""], ["--from is empty"]),
        (["pendulum", "--out", ""], ["--out is empty"]),
        (["pendulum", "--name", "a/b"], ["--name 'a/b'"]),
        (["pendulum", "--name", ".."], ["--name '..'"]),
        (["pendulum", "--config", "missing.yml"], ["`missing.yml` does not exist"]),
        (["pendulum", "--from", "missing.zip"], ["--from missing.zip does not exist"]),
        (["pendulum", "--import", "no_such_module"], ["--import no_such_module", "No module named"]),
        (["pendulum", "--set", "env_wrapper=no_such_module.Wrapper"], ["env_wrapper", "no_such_module"]),
        (["pendulum", "--set", "env_wrapper=builtins.str"], ["env_wrapper builtins.str makes a str", "name a wrapper"]),
        (["pendulum", "--set", "env_wrapper={gymnasium.wrappers.ClipAction: {nope: 5}}"], ["ClipAction", "'nope'"]),
        (["pendulum", "--set", "callback=no_such_module.Callback"], ["callback", "no_such_module"]),
        (["pendulum", "--set", "policy=no_such_module.Policy"], ["policy", "no_such_module"]),
        (["pendulum", "--import", ""], ["--import ''"]),
        (["pendulum", "--import", ".."], ["--import .."]),
        (["pendulum", "--video=none", "--threads", "100000"], ["--threads 100000 is out of range"]),
        (["pendulum", "--render", "--n-envs", "2"], ["--render", "n_envs is 2"]),
        (["Tiny-v0", "--video=none", "--set", "policy_kwargs.nope=1"], ["policy_kwargs.nope is no argument"]),
        (["Tiny-v0", "--video=none", "--set", "policy=CnnPolicy"], ["policy is CnnPolicy", "policy=MlpPolicy"]),
        (
            ["Tiny-v0", "--video=none", "--set", "policy=MultiInputPolicy"],
            ["policy is MultiInputPolicy", "policy=MlpPolicy"],
        ),
        (["Tiny-v0", "--video=none", "--set", "replay_buffer_class=HerReplayBuffer"], ["replay_buffer_class", "goals"]),
        (
            ["Tiny-v0", "--video=none", "--set", "replay_buffer_kwargs.nope=1"],
            ["replay_buffer_kwargs.nope is no argument"],
        ),
        (
            ["Tiny-v0", "--video=none", "--set", "replay_buffer_kwargs.priority_exponent=-1"],
            ["replay_buffer_kwargs", "at least 0"],
        ),
        (["Tiny-v0", "--video=none", "--set", f"callback={CALLBACKS}.CheckpointCallback"], ["callback", "save_freq"]),
        (["Tiny-v0", "--video=none", "--set", "callback=pathlib.Path"], ["callback pathlib.Path is no callback"]),
        (["Tiny-v0", "--video=none", "--set", "buffer_size=1e15"], ["buffer_size is 1000000000000000", "lower it"]),
        (
            [
                "Tiny-v0",
                "--video=none",
                "--set",
                "policy_kwargs.optimizer_class=Adam",
                "--set",
                "policy_kwargs.optimizer_kwargs.lr_=1",
            ],
            ["policy_kwargs", "lr_"],
        ),
        (
            ["Tiny-v0", "--video=none", "--set", "update=analytic", "--set", "policy_kwargs.optimizer_class=SGD"],
            ["update='analytic'"],
        ),
        (["pendulum", "--set", "env_kwargs.gravity=3"], ["Pendulum-v1 refuses", "gravity"]),
        (["no_such_module:Env-v0"], ["no_such_module"]),
        (["Tiny-v0", "--video=none", "--set", "env_kwargs.bound=.inf"], ["unbounded", "finite"]),
        (["Tiny-v0", "--video", "cubic"], ["--video: Tiny-v0 cannot draw images", "--video none"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and value[0] in ("pendulum", "Tiny-v0") else None,
)
def test_train_refuses(
    refused: Callable[..., str], arguments: list[str], parts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DISPLAY", ":99")  # for --render; nothing is shown
    error = refused("train", *arguments)
    assert [part for part in parts if part not in error] == []


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("Pendulum-v1:\n  n_timesteps: 5\n  gama: 0.9\n", ["unknown key 'gama'", "did you mean 'gamma'?"]),
        ("Pendulum-v1:\n  n_timesteps: 5\n  gamma: [0.9\n  tau: 1\n", ["line 4", "not valid YAML"]),
        ("Pendulum-v1:\n  n_timesteps: 5\n  gamma: high\n", ["gamma is 'high'", "a number from 0 to 1"]),
        ("Pendulum-v1: !!python/object/apply:os.mkdir [x]\n", ["!!python/object/apply:os.mkdir is refused"]),
    ],
)
def test_config_files(refused: Callable[..., str], tmp_path: Path, text: str, parts: list[str]) -> None:
    (tmp_path / "my.yml").write_text(text)
    for command in ("train", "config"):
        error = refused(command, "pendulum", "--config", tmp_path / "my.yml")
        assert str(tmp_path / "my.yml") in error
        assert [part for part in parts if part not in error] == []


def test_out_that_cannot_be_written(refused: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        error = refused("train", "pendulum", "--video", "none", "--out", out)
        assert str(out) in error
        assert "choose another" in error


def test_a_missing_extra_names_its_install(refused: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    def make(*_: Any, **__: Any) -> None:
        raise gym.error.DependencyNotInstalled("MuJoCo is not installed")

    monkeypatch.setattr(gym, "make", make)
    error = refused("train", "half_cheetah")
    assert 'pip install "sb3-ddpg-custom[mujoco]"' in error
    assert "MuJoCo is not installed" in error
    assert 'pip install "sb3-ddpg-custom[box2d]"' in refused("train", "lunar_lander")
    assert "sb3-ddpg-custom[" not in refused("train", "pendulum")


def test_unusable_checkpoints(refused: Callable[..., str], tiny_run: Path, tmp_path: Path) -> None:
    sound = (tiny_run / "best.zip").read_bytes()
    files = {
        "truncated.zip": (sound[: len(sound) // 2], "only a part of"),
        "flipped.zip": (sound[:3000] + bytes([sound[3000] ^ 255]) + sound[3001:], "damaged"),
        "empty.zip": (b"", "zip file"),
        "text.zip": (b"weights", "zip file"),
    }
    for name, (content, part) in files.items():
        (tmp_path / name).write_bytes(content)
        error = refused("evaluate", "--checkpoint", tmp_path / name)
        assert name in error
        assert part in error
        assert part in refused("train", "Tiny-v0", "--video", "none", "--from", tmp_path / name)
    assert "does not exist" in refused("evaluate", "--checkpoint", tmp_path / "missing.zip")
    assert "without best.zip" in refused("evaluate", "--checkpoint", tmp_path)
    with zipfile.ZipFile(tmp_path / "other.zip", "w") as archive:
        archive.writestr("photo.jpg", b"...")
    assert "another kind of zip file" in refused("evaluate", "--checkpoint", tmp_path / "other.zip")


def test_a_checkpoint_of_another_environment(refused: Callable[..., str], tiny_run: Path) -> None:
    error = refused("evaluate", "--checkpoint", tiny_run, "--env", "pendulum")
    assert "observations of shape (1,)" in error
    assert "(3,)" in error
    error = refused(
        "train", "pendulum", "--from", tiny_run, "--video", "none", "--set", "policy_kwargs.net_arch=[16,16]"
    )
    assert "--from" in error
    assert "does not fit" in error
    # Another network, the same environment.
    error = refused("train", "Tiny-v0", "--video", "none", "--from", tiny_run)
    assert "does not fit these settings: its actor.mu.0.weight is of shape (16, 1), and has to be (" in error


def test_a_checkpoint_of_another_algorithm(refused: Callable[..., str], tmp_path: Path) -> None:
    stable_baselines3.PPO("MlpPolicy", "Pendulum-v1", device="cpu").save(tmp_path / "ppo.zip")
    error = refused("train", "pendulum", "--video", "none", "--from", tmp_path / "ppo.zip", "--normalization", "none")
    assert "ppo.zip does not fit these settings: it lacks actor.mu.0.weight" in error


def test_empty_paths(refused: Callable[..., str], tiny_run: Path) -> None:
    """Python reads them as the current folder."""
    assert "--checkpoint is empty" in refused("evaluate", "--checkpoint", "")
    assert "--video is empty" in refused("evaluate", "--checkpoint", tiny_run, "--video", "")
    assert "--config is empty" in refused("config", "pendulum", "--config", "")


@pytest.mark.usefixtures("display")
def test_what_cannot_be_shown(refused: Callable[..., str], tiny_run: Path) -> None:
    assert "--render shows the env in a window" in refused("train", "pendulum", "--render", "--video", "5")
    assert "--render: Tiny-v0 cannot show a window" in refused("train", "Tiny-v0", "--render")
    assert "--render: Tiny-v0 cannot show a window" in refused("evaluate", "--checkpoint", tiny_run, "--render")


def test_render_without_a_display(
    refused: Callable[..., str], pendulum_run: tuple[Path, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.delenv("DISPLAY", raising=False)
    monkeypatch.setenv("WAYLAND_DISPLAY", "")
    assert "--render needs a display" in refused("train", "pendulum", "--render")
    assert "--render needs a display" in refused("evaluate", "--checkpoint", pendulum_run[0], "--render")


def test_films_that_cannot_be_written(
    refused: Callable[..., str], pendulum_run: tuple[Path, object], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "below", Path("/proc/nowhere")):
        error = refused("evaluate", "--checkpoint", pendulum_run[0], "--episodes", 1, "--video", folder)
        assert error.startswith(f"ddpg: --video {folder}: VideoMonitor cannot write videos into {folder}")


def test_a_renderer_that_fails_on_the_way(
    ddpg: Ddpg, pendulum_run: tuple[Path, object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = 0

    def render(_: object) -> Any:
        nonlocal calls
        calls += 1
        if calls == 5:  # two of them are the command's own trial
            raise OSError("lost the\nscreen")
        return np.zeros((16, 16, 3), np.uint8)

    monkeypatch.setattr("gymnasium.envs.classic_control.pendulum.PendulumEnv.render", render)
    command = ("evaluate", "--checkpoint", pendulum_run[0], "--episodes", 1, "--video", tmp_path / "films")
    assert ddpg(*command, code=1).stderr == (
        "ddpg: evaluation stopped: the environment failed to render (OSError: lost the screen); leave out --video\n"
    )


def test_evaluate_refuses(refused: Callable[..., str], tiny_run: Path, tmp_path: Path) -> None:
    run = ("evaluate", "--checkpoint", tiny_run)
    assert "--video: Tiny-v0 cannot draw images" in refused(*run, "--video", tmp_path / "films")
    assert "did you mean 'pendulum'?" in refused(*run, "--env", "pendulun")
    assert "Box" in refused(*run, "--env", "CartPole-v1")
    assert not (tmp_path / "films").exists()


@pytest.mark.parametrize("what", ["reward", "observation"])
@pytest.mark.parametrize("n_envs", [1, 2])
def test_nan_from_the_environment(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, what: str, n_envs: int) -> None:
    settings = ("--set", f"env_kwargs.bad={what}", "--set", "env_kwargs.bad_from=75", "--n-envs", n_envs)
    printed = ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *settings, "--steps", 1000, code=1)
    assert printed.stdout == ""
    sentence = printed.stderr.splitlines()[-1]
    assert sentence.startswith(f"ddpg: training stopped at step {74 * n_envs}: the {what} is ")
    assert " in the env's step 75: " in sentence
    assert "nan" in sentence
    folder = tmp_path / "Tiny-v0" / "1"
    checkpoints = sorted((folder / "checkpoints").iterdir())
    assert checkpoints[-1].name == f"step_{74 * n_envs:09d}.zip"
    assert str(checkpoints[-1]) in sentence
    for path in checkpoints:
        weights = read_checkpoint(path).parameters["policy"]
        assert all(bool(tensor.isfinite().all()) for tensor in weights.values())
    rewards = load_statistics(folder / "rewards.npz")["rewards"]
    assert len(rewards) == 3 * n_envs
    assert np.isfinite(rewards).all()
    assert not (folder / "final.zip").exists()
    assert ddpg("evaluate", "--checkpoint", folder, "--episodes", 1).returncode == 0


def test_nan_in_an_evaluation(ddpg: Ddpg, small: tuple[str, ...], tiny_run: Path, tmp_path: Path) -> None:
    settings = ("--set", "env_kwargs.bad=reward", "--set", "env_kwargs.bad_from=30")
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, "--steps", 25, "--eval-every", 5, *settings, code=1)
    best = tmp_path / "Tiny-v0" / "1" / "best.zip"
    error = ddpg("evaluate", "--checkpoint", best, "--episodes", 30, code=1).stderr
    assert error.startswith("ddpg: evaluation stopped: the reward is nan in the env's step 30: ")
    assert error.count("\n") == 1


def test_debug_shows_the_traceback(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["ddpg", "train", "pendulmu", "--out", str(tmp_path), "--debug"])
    monkeypatch.setenv("DDPG_DEBUG", "")
    with pytest.raises(UsageError) as caught:
        main()
    assert "in resolve" in "".join(traceback.format_exception(caught.value))


def test_a_bug_is_one_sentence_too(ddpg: Ddpg, monkeypatch: pytest.MonkeyPatch) -> None:
    def aliases() -> None:
        raise ZeroDivisionError("on\ntwo lines")

    monkeypatch.setattr("sb3_ddpg_custom.cli.config.resolve.aliases", aliases)
    error = ddpg("list", code=1).stderr
    assert error == "ddpg: unexpected ZeroDivisionError: on two lines; --debug shows where it happened\n"


@pytest.mark.parametrize(
    "arguments",
    [["train"], ["train", "pendulum", "--steps", "many"], ["evaluate"], ["trian"], ["train", "pendulum", "--sed", "1"]],
    ids=" ".join,
)
def test_what_typer_refuses(ddpg: Ddpg, arguments: list[str]) -> None:
    printed = ddpg(*arguments, code=2)
    assert printed.stdout == ""
    assert "ddpg" in printed.stderr


def test_in_a_real_process(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sb3_ddpg_custom.cli", "evaluate", "--checkpoint", "nothing.zip"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    printed = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert (printed.returncode, printed.stdout) == (2, "")
    assert printed.stderr == "ddpg: --checkpoint nothing.zip does not exist; name a run folder or a .zip file\n"
    printed = subprocess.run(
        [*command, "--debug"], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert printed.returncode == 1
    assert "Traceback" in printed.stderr


def test_hostile_configs_in_a_checkpoint(refused: Callable[..., str], tiny_run: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tiny_run / "best.zip") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for config, part in {
        "Tiny-v0: !!python/object/apply:os.mkdir [x]": "refused",
        "Tiny-v0: {n_timesteps: 5, nonsense: 1}": "unknown key 'nonsense'",
        "[1, 2]": "--env",
        "A-v0: {n_timesteps: 5}\nB-v0: {n_timesteps: 5}": "--env",
        "Gone-v0: {n_timesteps: 5}": "Gone-v0 is not registered",
        "\x00": "config.yml",
        "Tiny-v0: {n_timesteps: 5, env_kwargs: text}": "env_kwargs is 'text'; expected a mapping",
        "Tiny-v0: {n_timesteps: 5, env_kwargs: {max_episode_steps: -1}}": "expected for max_episode_steps",
        "Tiny-v0: {n_timesteps: 5, env_wrapper: gymnasium.wrappers.no_class}": "has no class 'no_class'",
        "Tiny-v0: {n_timesteps: 5, env_wrapper: gymnasium.wrappers.utils.RunningMeanStd}": "name a wrapper",
        "Tiny-v0: {n_timesteps: 5, frame_stack: 1000000000}": "would take about 4.0 GB of memory",
    }.items():
        path = tmp_path / "odd.zip"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, "config.yml": config.encode()}.items():
                archive.writestr(name, content)
        assert part in refused("evaluate", "--checkpoint", path)
    for data in (b"", b"[]", b"\xff", json.dumps({"policy_class": 3}).encode()):
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, "data": data}.items():
                archive.writestr(name, content)
        assert "odd.zip" in refused("evaluate", "--checkpoint", path)
