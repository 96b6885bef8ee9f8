"""Run folders and files that somebody has made up or damaged: a sentence or a right answer, and nothing is run."""

import os
import pickle
import random
import shutil
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Ddpg


class Touch:
    """What unpickling this does shows."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def with_pickle(source: Path, target: Path, proof: Path) -> None:
    """Copy a zip, and hide a pickle that creates a file wherever one might be read."""
    poison = pickle.dumps(Touch(proof))
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            is_pickle_to_somebody = name.endswith((".pth", ".npy", ".npz"))
            new.writestr(name, poison if is_pickle_to_somebody else old.read(name))


@pytest.fixture
def run(tiny_run: Path, tmp_path: Path) -> Path:
    """A copy of a finished run, which can go on."""
    shutil.copytree(tiny_run, tmp_path / "run")
    return tmp_path / "run"


def test_a_pickle_in_any_file_runs_nothing(ddpg: Ddpg, run: Path, tmp_path: Path, small: tuple[str, ...]) -> None:
    proof = tmp_path / "proof"
    for path in [*run.glob("*.zip"), *run.glob("state/*.zip"), *run.glob("*.npz")]:
        with_pickle(path, tmp_path / "poisoned", proof)
        (tmp_path / "poisoned").replace(path)
        ddpg("inspect", path, code=2)
    (run / "bare.pkl").write_bytes(pickle.dumps(Touch(proof)))
    ddpg("inspect", run / "bare.pkl", code=2)
    ddpg("inspect", run)
    ddpg("evaluate", "--checkpoint", run, code=2)
    ddpg("evaluate", "--checkpoint", run, "--normalization", run / "bare.pkl", code=2)
    ddpg("train", "Tiny-v0", "--from", run, "--out", tmp_path, *small, code=2)
    ddpg("resume", run, "--steps", 200, code=2)
    assert not proof.exists()


def test_only_the_users_word_unpickles(ddpg: Ddpg, tmp_path: Path, run: Path, capsys: Any) -> None:
    del capsys
    assert "mean return" in ddpg("evaluate", "--checkpoint", run, "--episodes", 2, "--trust-pickle").stdout


def mutated(content: bytes, moments: random.Random) -> bytes:
    changed = bytearray(content)
    match moments.randrange(4):
        case 0:
            return bytes(changed[: moments.randrange(len(changed) + 1)])
        case 1:
            for _ in range(moments.randrange(1, 30)):
                changed[moments.randrange(len(changed))] = moments.randrange(256)
        case 2:
            start = moments.randrange(len(changed))
            changed[start : start + moments.randrange(200)] = moments.randbytes(moments.randrange(200))
        case _:
            start = moments.randrange(len(changed))
            changed[start:start] = changed[: moments.randrange(min(len(changed), 4000))]
    return bytes(changed)


def snapshot(folder: Path) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.skipif(sys.platform == "win32", reason="has no such files")
@pytest.mark.timeout(20)
def test_pipes_and_devices_are_no_files(ddpg: Ddpg, run: Path, tmp_path: Path, small: tuple[str, ...]) -> None:
    """A pipe was waited for, and a device read until the memory was full."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    for path in (pipe, Path("/dev/zero")):
        assert "is no regular file" in ddpg("inspect", path, code=2).stderr
        assert "is no regular file" in ddpg("evaluate", "--checkpoint", path, code=2).stderr
        assert "is no regular file" in ddpg("evaluate", "--checkpoint", run, "--normalization", path, code=2).stderr
        assert (
            "is no regular file" in ddpg("train", "Tiny-v0", "--from", path, "--out", tmp_path, *small, code=2).stderr
        )
        assert "is no regular file" in ddpg("train", "Tiny-v0", "--config", path, code=2).stderr
    (run / "config.yml").unlink()
    os.mkfifo(run / "config.yml")
    assert "is no regular file" in ddpg("resume", run, code=2).stderr


FILES = ("best.zip", "final.zip", "config.yml", "rewards.npz", "evaluations.npz", "state/step-*.json", "state/*.zip")


def files(run: Path) -> Iterator[Path]:
    for pattern in FILES:
        yield from sorted(run.glob(pattern))


@pytest.fixture
def any_code(ddpg: Ddpg) -> Callable[..., str]:
    """Call a command that may do or refuse; it must say so in its own words. ``ddpg`` looks for tracebacks."""

    def call(*arguments: object) -> str:
        try:
            return ddpg(*arguments, code=2).stderr
        except AssertionError as error:  # another code; the message has what was printed
            if "Traceback" in str(error) or "unexpected" in str(error):
                raise
            return ""

    return call


def test_mutated_files_are_inspected_or_refused(any_code: Callable[..., str], run: Path, tmp_path: Path) -> None:
    moments = random.Random(0)
    outside = snapshot(run)
    for _ in range(40):
        for path in files(run):
            target = tmp_path / f"mutated{path.suffix}"
            target.write_bytes(mutated(path.read_bytes(), moments))
            assert any_code("inspect", target).count("\n") <= 1
    assert snapshot(run) == outside


@pytest.mark.parametrize("seed", range(12))
def test_mutated_runs_go_on_or_are_refused(any_code: Callable[..., str], run: Path, tmp_path: Path, seed: int) -> None:
    moments = random.Random(seed)
    (tmp_path / "beside").write_text("untouched")
    outside = {path: content for path, content in snapshot(tmp_path).items() if not path.is_relative_to(run)}
    for path in moments.sample(list(files(run)), 2):
        path.write_bytes(mutated(path.read_bytes(), moments))
    said = any_code("resume", run, "--steps", 120)
    assert "unexpected" not in said
    after = {path: content for path, content in snapshot(tmp_path).items() if not path.is_relative_to(run)}
    assert after == outside
