"""A power cut at any moment leaves the old checkpoint or the new one.

What reaches the disk is what was flushed: a file's content by ``fsync`` on it, its name by ``fsync`` on its folder. All
else may be there, be missing, or be torn. The calls of a real training are recorded, and disks are made of them.
"""

import os
import random
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from helpers import make_model
from stable_baselines3.common.monitor import Monitor

from sb3_ddpg_custom.checkpoint.exact import ExactCheckpoint
from sb3_ddpg_custom.checkpoint.store import CheckpointStore
from sb3_ddpg_custom.wrappers import EpisodeReplayer

TOTAL, EVERY = 160, 20


class Disk(NamedTuple):
    """What a power cut at one moment may leave.

    :param names: file name to inode, those that were flushed, and those of the running system
    :param flushed: content by inode, as it was flushed last
    :param written: content by inode
    """

    names: tuple[dict[str, int], dict[str, int]]
    flushed: dict[int, bytes]
    written: dict[int, bytes]
    visible: int | None

    def states(self) -> Iterator[dict[str, bytes]]:
        """Each way in which the power can be cut here."""
        flushed, running = self.names
        # Names may reach the disk in any order: each new one alone, too.
        single = [{**flushed, name: inode} for name, inode in running.items() if flushed.get(name) != inode]
        for names in (flushed, running, *single):
            for torn in (False, True):
                yield {name: self._content(inode, torn=torn) for name, inode in names.items()}

    def _content(self, inode: int, *, torn: bool) -> bytes:
        if inode in self.flushed:
            return self.flushed[inode]
        written = self.written.get(inode, b"")
        return written[: len(written) // 2] if torn else b""


class Recorder:
    """Notes how the disk is before each call that changes what is on it."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self.disks: list[Disk] = []
        self.flushed_names: dict[str, int] = {}
        self.flushed: dict[int, bytes] = {}
        fsync, replace, unlink = os.fsync, Path.replace, Path.unlink

        def record_fsync(descriptor: int) -> None:
            self.note()
            status = os.fstat(descriptor)
            if stat.S_ISDIR(status.st_mode):
                self.flushed_names = self.names()
            else:
                self.flushed[status.st_ino] = self.contents().get(status.st_ino, b"")
            fsync(descriptor)

        def record_replace(path: Path, target: Any) -> Path:
            self.note()
            return replace(path, target)

        def record_unlink(path: Path, *, missing_ok: bool = False) -> None:
            self.note()
            unlink(path, missing_ok=missing_ok)

        patch.setattr(os, "fsync", record_fsync)
        patch.setattr(Path, "replace", record_replace)
        patch.setattr(Path, "unlink", record_unlink)

    def names(self) -> dict[str, int]:
        return {path.name: path.stat().st_ino for path in self.folder.iterdir()} if self.folder.is_dir() else {}

    def contents(self) -> dict[int, bytes]:
        return {path.stat().st_ino: path.read_bytes() for path in self.folder.iterdir()} if self.folder.is_dir() else {}

    def note(self) -> None:
        durable = [int(name[5:14]) for name in self.flushed_names if name.startswith("step-")]
        both = dict(self.flushed_names), self.names()
        self.disks.append(Disk(both, dict(self.flushed), self.contents(), max(durable, default=None)))


def make() -> Any:
    import gymnasium as gym

    env = EpisodeReplayer(Monitor(gym.make("Pendulum-v1", max_episode_steps=30)))
    return make_model(env, buffer_size=100, replay_buffer_kwargs={"priority_exponent": 0.6})


def weights(model: Any) -> list[bytes]:
    return [tensor.numpy().tobytes() for tensor in model.policy.state_dict().values()]


def put(state: dict[str, bytes], folder: Path) -> Path:
    folder.mkdir()
    for name, content in state.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Disk], list[bytes]]:
    folder = tmp_path_factory.mktemp("power") / "state"
    with pytest.MonkeyPatch.context() as patch:
        recorder = Recorder(folder, patch)
        model = ExactCheckpoint(folder, every_steps=EVERY).learn(make(), TOTAL)
    return recorder.disks, weights(model)


def test_the_old_checkpoint_or_the_new_one_is_whole(recorded: tuple[list[Disk], list[bytes]], tmp_path: Path) -> None:
    disks, _ = recorded
    assert len(disks) > 80
    assert {disk.visible for disk in disks} >= {None, *range(EVERY, TOTAL, EVERY)}
    for number, disk in enumerate(disks):
        for place, state in enumerate(disk.states()):
            manifest, _ = CheckpointStore(put(state, tmp_path / f"{number}-{place}")).newest()
            found = None if manifest is None else manifest.step
            # Nothing that was there for good is lost, and what is newer is whole.
            assert found == disk.visible or (found is not None and found >= (disk.visible or 0)), (number, place)


def test_training_goes_on_exactly_from_what_is_left(recorded: tuple[list[Disk], list[bytes]], tmp_path: Path) -> None:
    disks, whole = recorded
    moments = random.Random(0)
    for number in range(20):
        state = moments.choice(list(moments.choice(disks).states()))
        folder = put(state, tmp_path / str(number))
        model = ExactCheckpoint(folder, every_steps=EVERY).learn(make(), TOTAL)
        assert weights(model) == whole
        assert not [
            path for path in folder.iterdir() if path.name.endswith(".partial") and str(os.getpid()) in path.name
        ]
