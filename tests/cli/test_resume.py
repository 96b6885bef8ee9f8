"""``ddpg resume``: what was stopped goes on, and what cannot go on is said in one sentence."""

import os
import shutil
import signal
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import Ddpg
from helpers.zips import assert_same_run
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.checkpoint.plain_tree import read_tree, write_tree
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
            patch.setattr("sb3_ddpg_custom.cli.watching.training_progress.TrainingProgress._on_step", stop)
            ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *EVERY, "--name", "killed", *options, code=1)
        return tmp_path / "Tiny-v0" / "killed"

    return train


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--n-envs", 2),
        ("--set", "normalize=true", "--n-envs", 2),
        ("--set", "policy_kwargs.normalize_observations=true", "--n-envs", 2),
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


def points(run: Path) -> list[tuple[str, int]]:
    return sorted(
        (value.tag, event.step)
        for path in run.glob("events.out.tfevents.*")
        for event in EventFileLoader(str(path)).Load()
        for value in event.summary.value
    )


def test_tensorboard_has_the_points_of_a_run_that_nobody_killed(
    ddpg: Ddpg, small: tuple[str, ...], killed: Callable[..., Path], tmp_path: Path
) -> None:
    run = killed(at=73)
    ddpg("resume", run)
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *EVERY, "--name", "whole")
    assert points(run) == points(tmp_path / "Tiny-v0" / "whole")
    assert ("eval/mean_reward", 100) in points(run)


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
        patch.setattr("sb3_ddpg_custom.cli.watching.training_progress.TrainingProgress._on_step", interrupt)
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
    assert "no checkpoint is whole" in error
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
    assert "training stopped at step 49" in error  # where a checkpoint comes before an evaluation
    assert "No space left on device" in error
    ddpg("resume", tmp_path / "Tiny-v0" / "killed")
    ddpg(*options, "whole")
    assert_same_run(tmp_path / "Tiny-v0" / "whole", tmp_path / "Tiny-v0" / "killed")


def test_a_run_that_was_killed_behind_its_last_step_is_completed(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    for name in ("final.zip", "curve.png", "state/done"):
        (run / name).unlink()
    ddpg("resume", run, curve=True)
    assert (run / "curve.png").exists()
    assert_same_run(tiny_run, run)
    assert points(run) == points(tiny_run)
    # The final.zip of a shorter training does not count as that of the longer one.
    ddpg("resume", run, "--steps", 150)
    (run / "state" / "done").unlink()
    ddpg("resume", run)
    assert read_checkpoint(run / "final.zip").attributes["num_timesteps"] == 150


def test_stateful_wrappers_of_evaluations_go_on(
    ddpg: Ddpg, small: tuple[str, ...], killed: Callable[..., Path], tmp_path: Path
) -> None:
    options = ("--set", "env_wrapper=gymnasium.wrappers.NormalizeObservation", "--eval-every", 25)
    run = killed(*options)
    ddpg("resume", run)
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *EVERY, "--name", "whole", *options)
    with np.load(run / "evaluations.npz") as own, np.load(tmp_path / "Tiny-v0" / "whole" / "evaluations.npz") as other:
        np.testing.assert_array_equal(own["results"], other["results"])


@pytest.mark.parametrize("link", ["videos", "0.monitor.csv", "state/rows-100.zip", ".run.lock"])
def test_links_lead_nowhere(ddpg: Ddpg, tiny_run: Path, tmp_path: Path, link: str) -> None:
    """Resuming used to cut and delete what they led to."""
    run, outside = tmp_path / "run", tmp_path / "outside"
    shutil.copytree(tiny_run, run)
    outside.mkdir()
    (outside / "holiday.mp4").write_text("precious")
    path = run / link
    if path.is_file():
        path.unlink()
    path.symlink_to(outside if link == "videos" else outside / "holiday.mp4")
    assert f"{path} is a link" in ddpg("resume", run, "--steps", 120, code=2).stderr
    assert (outside / "holiday.mp4").read_text() == "precious"


def test_films_that_somebody_made_of_a_run_stay(ddpg: Ddpg, killed: Callable[..., Path]) -> None:
    run = killed()
    (run / "videos").mkdir(exist_ok=True)
    for name in ("learning.mp4", "episode-000099.mp4"):
        (run / "videos" / name).write_bytes(b"film")
    ddpg("resume", run)
    assert (run / "videos" / "learning.mp4").exists()
    assert not (run / "videos" / "episode-000099.mp4").exists()  # the training's own, of a time that comes again


def test_what_lies_beside_a_run_stays(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    shutil.copytree(tiny_run, tmp_path / "run")
    beside = tmp_path / "other" / ".download.123.partial"
    beside.parent.mkdir()
    beside.write_text("precious")
    os.utime(beside, (0, 0))
    ddpg("resume", tmp_path / "run", "--steps", 120)
    assert beside.exists()


def forged(run: Path, change: Callable[[Any], None]) -> None:
    """Change the newest state of a run, with checksums to match."""
    store = CheckpointStore(run / "state")
    manifest, _ = store.newest()
    assert manifest is not None
    name = f"state-{manifest.step}.zip"
    tree = read_tree(store.read(manifest, name))
    change(tree)
    others = {other: entry for other, entry in manifest.files.items() if other != name}
    store.commit(manifest.step, {name: partial(write_tree, tree)}, others, manifest.facts)


FORGERIES: dict[str, Callable[[Any], None]] = {
    "a function of NumPy's": lambda s: s["model"]["spaces"]["action_space"].update(bit_generator="test"),
    "one in an episode": lambda s: s["episodes"][0]["layers"][-1]["randoms"][""].update(bit_generator="seterr"),
    "no text": lambda s: s["also"]["files"].update(sizes="x"),
    "nothing of the evaluation": lambda s: s["also"].pop("evaluation"),
    "episodes that are none": lambda s: s.update(episodes=[3]),
    "another step": lambda s: s["model"]["counters"].update(num_timesteps=10**9),
    "a step that is text": lambda s: s["model"]["counters"].update(num_timesteps="a"),
    "no generators": lambda s: s["model"].update(random={}),
    "no observations": lambda s: s["model"]["buffered"].update(_last_obs=None),
}


@pytest.mark.parametrize("forgery", FORGERIES)
def test_a_forged_state_is_refused(ddpg: Ddpg, tiny_run: Path, tmp_path: Path, forgery: str) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    forged(run, FORGERIES[forgery])
    error = ddpg("resume", run, "--steps", 120, code=2).stderr
    assert "cannot go on" in error
    assert error.count("\n") == 1


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
        ({"seed": 99}, "unknown key"),
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


def test_another_seed_is_refused(ddpg: Ddpg, killed: Callable[..., Path]) -> None:
    run = killed()
    document = yaml.safe_load((run / "config.yml").read_text())
    document["run"]["seed"] = 99
    (run / "config.yml").write_text(yaml.safe_dump(document))
    assert "seed is 99 here and was 7" in ddpg("resume", run, code=2).stderr


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
    assert "is no run folder" in ddpg("resume", tmp_path, code=2).stderr
    assert "RUN is empty" in ddpg("resume", "", code=2).stderr
    shutil.copytree(tiny_run, tmp_path / "old", ignore=shutil.ignore_patterns("state"))
    assert "there is no state in it" in ddpg("resume", tmp_path / "old", code=2).stderr
