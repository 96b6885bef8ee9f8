"""The statistics file while a run writes it: shared inside one process, locked against others."""

import itertools
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeAlias

from sb3_ddpg_custom.wrappers.owned_file import OwnedFile, open_owned, remove_owned
from sb3_ddpg_custom.wrappers.statistics_file import (
    is_part_of,
    journal_path,
    part_paths,
    read_table,
    statistics_path,
    temporary_path,
    write_table,
)

Existing: TypeAlias = Literal["refuse", "continue"]

# Rewriting costs more as the file grows. Waiting this many times the last rewrite's duration before the next
# one keeps its share of the run below 2 %, whatever the number of episodes.
_REWRITE_PAUSE = 50
# How long another process may take to decide whether it keeps a file that it has locked.
_DECISION_SECONDS = 5.0

_open_logs: list["EpisodeLog"] = []


class EpisodeLog:
    """One statistics file, open for writing; made by ``open_log``.

    :param base: the path that the monitors share; where another process holds it, this log writes to
        <name>-1.npz, <name>-2.npz, ...
    :param existing: what to do with a file of an earlier run
    :param clock: answers the time in seconds
    """

    def __init__(self, base: Path, *, existing: Existing, clock: Callable[[], float] = time.monotonic) -> None:
        self.base = base
        self.owner = os.getpid()
        self._clock = clock
        base.parent.mkdir(parents=True, exist_ok=True)
        self.path, self._lock = _claim(base, existing)
        try:
            self._table = read_table(self.path)
            if self.path != base:
                self._table.part_of = base.name
            self._journal: OwnedFile | None = None
            self._begin = clock()
            self._rewritten = float("-inf")
            self._rewrite_seconds = 0.0
            self._env_count = 0
            self._users = 0
            self._timesteps = 0
            if len(self._table):
                self._timesteps = int(self._table.columns["timesteps"][-1])
                self._begin -= float(self._table.columns["seconds"][-1])
            if journal_path(self.path).exists() or (self._table.part_of and not self.path.exists()):
                # Absorb rows that a kill left, for a torn line must stay the last one; and mark at once
                # that this file is another one's part.
                self.rewrite()
            _confirm(self._lock)
        except BaseException:
            remove_owned(self._lock, _lock_path(self.path))
            raise

    def join(self) -> int:
        """Add a monitor and answer the index of its environment in this process."""
        self._users += 1
        self._env_count += 1
        return self._env_count - 1

    def count_step(self) -> None:
        """Count one environment step."""
        self._timesteps += 1

    def record(self, *, reward: float, length_steps: int, env: int) -> int:
        """Add the row of an episode that has just finished.

        :param reward: the undiscounted return
        :param length_steps: the episode's length in steps
        :param env: the index that ``join`` answered
        :return: the row's index
        """
        row = len(self._table)
        seconds = self._clock() - self._begin
        row_values = {"rewards": reward, "lengths": length_steps, "timesteps": self._timesteps}
        self.put(row, {**row_values, "seconds": seconds, "env": env})
        return row

    def put(self, row: int, values: dict[str, float]) -> None:
        """Change the table; the change is on disk when this returns.

        :param row: the row's index; the number of rows appends one
        :param values: one value per column
        """
        # The journal first: a kill, or a full disk, in the middle of a rewrite then costs nothing.
        if self._journal is None:
            self._journal = OwnedFile(journal_path(self.path))
        end = self._journal.seek(0, os.SEEK_END)
        try:
            self._journal.write(json.dumps([row, values]).encode() + b"\n")
        except OSError:
            self._journal.truncate(end)  # no further line may follow half a line
            raise
        self._table.put(row, values)
        if self._clock() - self._rewritten >= _REWRITE_PAUSE * self._rewrite_seconds:
            self.rewrite()

    def position(self) -> dict[str, float]:
        """Say how many rows, env steps and seconds there are so far."""
        return {"rows": len(self._table), "timesteps": self._timesteps, "seconds": self._clock() - self._begin}

    def go_back(self, *, rows: int, timesteps: int, seconds: float) -> None:
        """Remove what was recorded since an earlier :meth:`position`.

        :raises ValueError: if there are fewer rows than that
        """
        if rows > len(self._table):
            raise ValueError(f"{self.path} has {len(self._table)} episodes, fewer than the {rows} to go back to")
        self._timesteps = timesteps
        self._begin = self._clock() - seconds
        if rows < len(self._table):
            self._table.cut(rows)
            self.rewrite()

    def rewrite(self) -> None:
        """Write every row to the npz and drop the journal."""
        begin = self._clock()
        write_table(self._table, self.path)
        if self._journal is not None:
            self._journal.close()
            self._journal = None
        journal_path(self.path).unlink(missing_ok=True)
        self._rewritten = self._clock()
        self._rewrite_seconds = self._rewritten - begin

    def leave(self) -> None:
        """Remove a monitor; the last one rewrites the npz and closes the file."""
        self._users -= 1
        if self._users > 0 or self.owner != os.getpid():
            return
        _open_logs.remove(self)
        try:
            self.rewrite()
        finally:
            if self._journal is not None:
                self._journal.close()
            remove_owned(self._lock, _lock_path(self.path))


def open_log(path: str | os.PathLike[str], *, existing: Existing) -> EpisodeLog:
    """Open a statistics file, or share it with the monitors of this process that have it open.

    :param path: the file, with or without ".npz"
    :param existing: what to do with a file of an earlier run
    """
    base = statistics_path(path)
    if base.is_dir():
        raise IsADirectoryError(f"{base} is a folder: name the file to write in it, such as rewards.npz")
    for log in _open_logs:
        if log.owner == os.getpid() and base in (log.base, log.path):
            return log
    log = EpisodeLog(base, existing=existing)
    _open_logs.append(log)
    return log


def remove_abandoned_lock(path: Path) -> None:
    """Delete what a killed process leaves beside its statistics: its lock, and a half-written npz.

    The journal stays, for it has episodes that the npz has not.

    :param path: the npz
    """
    lock_path = _lock_path(path)
    if not lock_path.exists() or any(log.path == path for log in _open_logs):
        return
    lock = open_owned(lock_path)
    if lock is not None:  # else its owner lives
        temporary_path(path).unlink(missing_ok=True)
        remove_owned(lock, lock_path)


def _claim(base: Path, existing: Existing) -> tuple[Path, OwnedFile]:
    """Lock the base or, where other processes hold it, the first free file beside it."""
    mine = {log.path for log in _open_logs if log.owner == os.getpid()}
    for number in itertools.count():
        path = base.with_name(f"{base.stem}-{number}.npz") if number else base
        # Somebody else's file may bear such a number; and locks do not see their own process.
        if path in mine or (number and path.exists() and not is_part_of(path, base)):
            continue
        lock = _lock_unless_held(_lock_path(path))
        if lock is None:
            continue
        try:
            if existing == "refuse":
                _refuse_existing([path] if number else [path, *part_paths(path)])
        except BaseException:
            remove_owned(lock, _lock_path(path))
            raise
        return path, lock
    raise AssertionError("unreachable: itertools.count never ends")


def _refuse_existing(paths: list[Path]) -> None:
    for path in paths:
        for file in (path, journal_path(path)):
            if file.exists():
                raise FileExistsError(
                    f"{file} already holds episode statistics: pass existing='continue' to add to them, "
                    "choose another path, or move the file away"
                )


def _lock_path(path: Path) -> Path:
    return path.with_name(f".{path.name}.lock")


def _lock_unless_held(path: Path) -> OwnedFile | None:
    """Lock a file unless another process holds it *and* has confirmed that it keeps it.

    Several processes of one run start together. Without the confirmation, one of them could mistake the
    brief lock of another, which is about to refuse an old file, for a run in progress.
    """
    deadline = time.monotonic() + _DECISION_SECONDS
    while True:
        lock = open_owned(path)
        if lock is not None:
            lock.truncate(0)
            return lock
        try:
            if path.read_bytes() or time.monotonic() > deadline:
                return None
        except FileNotFoundError:
            continue
        time.sleep(0.005)


def _confirm(lock: OwnedFile) -> None:
    lock.write(f"{os.getpid()}\n".encode())
