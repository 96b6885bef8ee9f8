"""``ddpg resume``: what was stopped goes on, and what cannot go on is said in one sentence."""

import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import Ddpg
from helpers.zips import assert_same_run
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.checkpoint.store import CheckpointStore
from sb3_ddpg_custom.cli.training.run_files import owned
from sb3_ddpg_custom.wrappers import load_statistics

EVERY = ("--checkpoint-every", "20", "--video", "none")


@pytest.fixture
def killed(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Train on ``Tiny-v0``, and fail at a step; the run folder. Real kills are those of ``benchmarks/kills.py``."""

    def train(*options: object, at: int = 73) -> Path:
        def stop(progress: Any) -> bool:
            if progress.num_timesteps >= at:
                raise RuntimeError("out of memory, say")
            return True

        with monkeypatch.context() as patch:
            patch.setattr("sb3_ddpg_custom.cli.progress.TrainingProgress._on_step", stop)
            ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *EVERY, "--name", "killed", *options, code=1)
        return tmp_path / "Tiny-v0" / "killed"

    return train


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--n-envs", 2),
        ("--set", "normalize=true", "--n-envs", 2),
        ("--set", "noise_type=ornstein-uhlenbeck", "--set", "noise_std=0.2"),
        ("--set", "noise_type=adaptive-param", "--set", "noise_std=0.2"),
        ("--set", "replay_buffer_kwargs.priority_exponent=0.6", "--set", "n_steps=3", "--set", "frame_stack=2"),
        ("--set", "train_freq=[1, episode]", "--set", "gradient_steps=-1"),
        ("--set", "env_wrapper=gymnasium.wrappers.TimeAwareObservation"),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Box (low|high)'s precision lowered")
def test_a_killed_run_ends_as_if_nobody_had_killed_it(
    ddpg: Ddpg, small: tuple[str, ...], killed: Callable[..., Path], tmp_path: Path, options: tuple[object, ...]
) -> None:
    run = killed(*options)
    printed = ddpg("resume", run).stderr
    assert "not exactly" not in printed
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *EVERY, "--name", "whole", *options)
    whole = tmp_path / "Tiny-v0" / "whole"
    assert_same_run(whole, run)
    ours, theirs = load_statistics(run / "rewards.npz"), load_statistics(whole / "rewards.npz")
    for name in ("rewards", "lengths", "timesteps", "env", "qmax"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    with np.load(run / "evaluations.npz") as own, np.load(whole / "evaluations.npz") as other:
        for name in other.files:
            np.testing.assert_array_equal(own[name], other[name])
    assert monitored(run) == monitored(whole)
    assert sorted(path.name for path in (run / "checkpoints").iterdir()) == sorted(
        path.name for path in (whole / "checkpoints").iterdir()
    )


def monitored(run: Path) -> list[list[str]]:
    lines = [path.read_text().splitlines()[1:] for path in sorted(run.glob("*.monitor.csv"))]
    return [[line.rpartition(",")[0] for line in file] for file in lines]


def test_tensorboard_has_each_point_once(ddpg: Ddpg, killed: Callable[..., Path]) -> None:
    run = killed(at=73)
    ddpg("resume", run)
    points = [
        (value.tag, event.step)
        for path in sorted(run.glob("events.out.tfevents.*"))
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
        if not value.tag.startswith(("_hparams_", "custom_scalars"))
    ]
    assert {step for tag, step in points if tag == "eval/mean_reward"} == {50, 100}
    assert len(points) == len(set(points))


def test_steps_go_further(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    assert "100 steps; add --steps to go on further" in ddpg("resume", run, code=2).stderr
    assert "--steps 90 is not above the 100 steps" in ddpg("resume", run, "--steps", 90, code=2).stderr
    out = ddpg("resume", run, "--steps", 160).stdout
    assert "160 of 160" in out
    assert read_checkpoint(run / "final.zip").attributes["num_timesteps"] == 160
    assert yaml.safe_load((run / "config.yml").read_text())["Tiny-v0"]["n_timesteps"] == 160
    with np.load(run / "evaluations.npz") as evaluations:
        assert evaluations["timesteps"].tolist() == [50, 100, 150, 160]


def test_a_signal_saves_the_state(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(progress: Any) -> bool:
        if progress.num_timesteps == 33:
            signal.raise_signal(signal.SIGTERM)
        return True

    with monkeypatch.context() as patch:
        patch.setattr("sb3_ddpg_custom.cli.progress.TrainingProgress._on_step", interrupt)
        ddpg("train", "Tiny-v0", "--out", tmp_path, *small, "--video", "none", code=143)
    assert (tmp_path / "Tiny-v0" / "1" / "state" / "step-000000033.json").exists()


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(
    ddpg: Ddpg, small: tuple[str, ...], killed: Callable[..., Path], tmp_path: Path, caplog: Any
) -> None:
    run = killed()
    newest = run / "state" / "state-60.zip"
    newest.write_bytes(newest.read_bytes()[:-100] + bytes(100))
    ddpg("resume", run)
    assert f"{newest} is damaged: it is not what step-000000060.json says" in caplog.text
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *EVERY, "--name", "whole")
    assert_same_run(tmp_path / "Tiny-v0" / "whole", run)


def test_without_any_whole_checkpoint_nothing_is_touched(ddpg: Ddpg, killed: Callable[..., Path]) -> None:
    run = killed()
    for path in (run / "state").glob("state-*.zip"):
        path.write_bytes(b"")
    before = {path: path.read_bytes() for path in run.rglob("*") if path.is_file()}
    error = ddpg("resume", run, code=2).stderr
    assert "no checkpoint in" in error
    assert error.count("\n") == 1
    assert {path: path.read_bytes() for path in before} == before


def test_a_full_disk_leaves_the_last_checkpoint(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    commit, commits = CheckpointStore.commit, 0

    def fill(store: CheckpointStore, *arguments: Any) -> Any:
        nonlocal commits
        commits += 1
        if commits == 3:
            raise OSError(28, "No space left on device")
        return commit(store, *arguments)

    options = ("train", "Tiny-v0", "--out", tmp_path, *small, *EVERY, "--name")
    with monkeypatch.context() as patch:
        patch.setattr(CheckpointStore, "commit", fill)
        error = ddpg(*options, "killed", code=1).stderr.splitlines()[-1]
    assert "training stopped at step 60" in error
    assert "No space left on device" in error
    ddpg("resume", tmp_path / "Tiny-v0" / "killed")
    ddpg(*options, "whole")
    assert_same_run(tmp_path / "Tiny-v0" / "whole", tmp_path / "Tiny-v0" / "killed")


def test_two_processes_cannot_go_on_with_one_run(ddpg: Ddpg, killed: Callable[..., Path], monkeypatch: Any) -> None:
    run = killed()
    # Locks do not see their own process: another one would be told this.
    monkeypatch.setattr("sb3_ddpg_custom.cli.training.run_files.open_owned", lambda path: None)
    assert "is being trained by another process" in ddpg("resume", run, code=2).stderr

    def read_only(path: Path) -> None:
        raise OSError(30, "Read-only file system", str(path))

    monkeypatch.setattr("sb3_ddpg_custom.cli.training.run_files.open_owned", read_only)
    assert f"{run} cannot be written: Read-only file system" in ddpg("resume", run, code=2).stderr
    monkeypatch.undo()
    with owned(run):
        assert (run / ".run.lock").exists()
    assert not (run / ".run.lock").exists()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"env_wrapper": ["evil.Wrapper"]}, "wants to import evil, which could run anything"),
        ({"policy": "evil.Policy"}, "wants to import evil"),
        ({"replay_buffer_class": "evil.Buffer"}, "wants to import evil"),
        (
            {"callback": [{"stable_baselines3.common.callbacks.CheckpointCallback": {"save_freq": 1}}]},
            "wants to import stable_baselines3.common.callbacks",
        ),
        ({"env_wrapper": ["gymnasium.wrappers.RecordVideo"]}, "wants to import gymnasium.wrappers"),
        ({"tau": 7}, "tau is 7"),
        ({"policy_kwargs": {"net_arch": [9]}}, "does not fit this model"),
        ({"gamma": 0.5}, "gamma is 0.5 here and was 0.9"),
        ({"buffer_size": 77}, "buffer_size is 77 here"),
        ({"nope": 1}, "unknown key"),
    ],
)
def test_a_configuration_that_somebody_changed(
    ddpg: Ddpg, killed: Callable[..., Path], changes: dict[str, Any], part: str
) -> None:
    run = killed()
    document = yaml.safe_load((run / "config.yml").read_text())
    document["Tiny-v0"] |= changes
    (run / "config.yml").write_text(yaml.safe_dump(document))
    error = ddpg("resume", run, code=2).stderr
    assert part in error
    assert error.count("\n") == 1
    assert (run / "state").is_dir()


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "is not what ddpg train has written"),
        ("run: {}", "is not what ddpg train has written"),
        ("[1, 2]", "is not what ddpg train has written"),
        ("Tiny-v0: {n_timesteps: 5}\nrun: {seed: [1]}", "run.seed is [1]"),
        ("Tiny-v0: {n_timesteps: 5}\nrun: {video: {a: b}}", "run.video is"),
        ("evil:Env-v0: {n_timesteps: 5}\nrun: {}", "wants to import evil"),
        ("a: !!python/object/apply:os.system [x]\nrun: {}", "the tag"),
    ],
)
def test_a_configuration_that_is_none(ddpg: Ddpg, killed: Callable[..., Path], text: str, part: str) -> None:
    run = killed()
    (run / "config.yml").write_text(text)
    assert part in ddpg("resume", run, code=2).stderr


def test_what_is_no_run(ddpg: Ddpg, tmp_path: Path, tiny_run: Path) -> None:
    assert "is no run folder" in ddpg("resume", tmp_path / "nope", code=2).stderr
    assert "RUN is empty" in ddpg("resume", "", code=2).stderr
    assert "config.yml` does not exist" in ddpg("resume", tmp_path, code=2).stderr
    shutil.copytree(tiny_run, tmp_path / "old", ignore=shutil.ignore_patterns("state"))
    assert "holds no state to go on from" in ddpg("resume", tmp_path / "old", code=2).stderr
