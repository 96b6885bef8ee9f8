"""Modules that fail, disks that are full, signals: what goes wrong on the way."""

import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import stable_baselines3
import torch as th
from helpers import Ddpg
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ddpg_custom.checkpoint import read_checkpoint, save_checkpoint


def test_a_module_that_fails(refused: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "needs_a_display.py").write_text("raise RuntimeError('no display')")
    monkeypatch.syspath_prepend(tmp_path)
    error = refused("train", "pendulum", "--import", "needs_a_display")
    assert "--import needs_a_display: no display (RuntimeError in " in error
    assert "needs_a_display.py, line 1)" in error


def test_from_with_normalisation_on_one_side_only(
    ddpg: Ddpg, small: tuple[str, ...], refused: Callable[..., str], tiny_run: Path, tmp_path: Path
) -> None:
    again = ("train", "Tiny-v0", "--video=none", *small)
    assert "--set normalize=false" in refused(*again, "--from", tiny_run, "--set", "normalize=true")
    ddpg(*again, "--out", tmp_path / "normalised", "--set", "normalize=true")
    start = tmp_path / "normalised" / "Tiny-v0" / "1"
    assert "--set normalize=true" in refused(*again, "--from", start)


def test_from_a_zip_of_sb3s_with_statistics_beside_it(
    ddpg: Ddpg, small: tuple[str, ...], refused: Callable[..., str], tmp_path: Path
) -> None:
    env = VecNormalize(make_vec_env("Tiny-v0", 2))
    zip_file, statistics = tmp_path / "z.zip", tmp_path / "vecnormalize.pkl"
    theirs = stable_baselines3.DDPG("MlpPolicy", env, policy_kwargs={"net_arch": [16, 16]}).learn(60)
    theirs.save(zip_file)
    env.save(str(statistics))
    train = ("train", "Tiny-v0", "--video=none", *small, "--set", "learning_starts=100")
    said = refused(*train, "--from", zip_file)
    assert "z.zip seems to have been trained under VecNormalize and does not hold its statistics; add --normal" in said
    assert "--set normalize=true" in refused(*train, "--from", zip_file, "--normalization", statistics)
    assert "--normalization is for the model that --from names" in refused(*train, "--normalization", "none")

    options = ("--from", zip_file, "--normalization", statistics, "--set", "normalize=true", "--out", tmp_path)
    ddpg(*train, *options)
    begun = read_checkpoint(tmp_path / "Tiny-v0" / "1" / "final.zip")
    for name, tensor in theirs.get_parameters()["policy"].items():  # nothing was updated
        assert th.equal(begun.parameters["policy"][name], tensor)
    assert begun.normalization is not None
    counts = [float(value) for name, value in begun.normalization.items() if name.endswith(".count")]
    assert max(counts) > 60  # it went on counting
    ddpg(*train, "--from", zip_file, "--normalization", "none", "--out", tmp_path)


def full_disk(monkeypatch: pytest.MonkeyPatch, *, after: int) -> None:
    """Let no checkpoint of the training be written after the first so many."""
    from sb3_ddpg_custom.cli.training import failures, run

    written: list[Path] = []

    def save(model: Any, path: Path, **kwargs: Any) -> None:
        if len(written) >= after:
            raise OSError(28, "No space left on device")
        written.append(path)
        save_checkpoint(model, path, **kwargs)

    for module in (run, failures):
        monkeypatch.setattr(module, "save_checkpoint", save)


def test_a_full_disk_at_the_end(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, after=0)
    error = ddpg("train", "Tiny-v0", "--out", tmp_path, *small, code=1).stderr.splitlines()[-1]
    assert error.startswith("ddpg: training ended at step 100, but ")
    assert "No space left on device" in error
    assert error.endswith(f"an earlier model is in {tmp_path / 'Tiny-v0' / '1' / 'best.zip'}")


def test_a_full_disk_does_not_hide_what_went_wrong_before(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full_disk(monkeypatch, after=0)
    settings = ("--set=env_kwargs.bad=reward", "--set=env_kwargs.bad_from=30")
    error = ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *settings, code=1).stderr.splitlines()[-1]
    assert error.startswith("ddpg: training stopped at step 29: the reward is nan in the env's step 30")
    assert "No space left on device" in error
    assert error.endswith("no model was saved")
    assert (tmp_path / "Tiny-v0" / "1" / "rewards.npz").exists()


def test_signals_do_what_they_always_do_while_the_model_is_built(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def build(*_: Any, **__: Any) -> None:
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr("sb3_ddpg_custom.cli.training.make.build_model", build)
    # Whoever runs the tests in the background may have told them to ignore it.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        ddpg("train", "Tiny-v0", "--out", tmp_path, *small, code=130)
    finally:
        signal.signal(signal.SIGINT, before)
    assert list((tmp_path / "Tiny-v0").iterdir()) == []


def test_a_failure_before_the_first_step_leaves_no_folder(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    settings = ("--set=env_kwargs.bad=reward", "--set=env_kwargs.bad_from=1")
    error = ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *settings, code=1).stderr.splitlines()[-1]
    assert error.startswith("ddpg: training failed at its first step: the reward is nan in the env's step 1")
    assert list((tmp_path / "Tiny-v0").iterdir()) == []
