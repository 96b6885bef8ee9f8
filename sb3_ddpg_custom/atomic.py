"""Replacing a file so that a reader finds the old one or the whole new one."""

import os
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

if sys.platform != "win32":
    import fcntl

_PARTIAL_NAME = re.compile(r"\..+\.(\d+)\.partial")
_YOUNG_SECONDS = 1.0  # between a partial file's beginning and its lock


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """Open a hidden file that takes the place of ``path`` when the block ends well, and vanishes when it does not.

    What a killed process has left of such files in the same folder goes first.

    :param path: file to replace or create; its folder is created
    :raises OSError: if it cannot be written; then the old file is untouched
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    remove_partials(path.parent)
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        with partial.open("w+b") as file:
            _lock(file)
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
        sync_folder(path.parent)
    finally:
        partial.unlink(missing_ok=True)


def sync_folder(folder: Path) -> None:
    """Bring the names in a folder to the disk, so that a power cut does not take a file's new name away.

    :param folder: whose files were renamed or deleted
    """
    if sys.platform == "win32":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some network file systems cannot
        pass
    finally:
        os.close(descriptor)


def remove_partials(folder: Path) -> None:
    """Delete the unfinished files of processes that are dead: a live one holds the lock of its own.

    :param folder: need not exist
    """
    with suppress(OSError):  # another process may be cleaning the same folder
        for path in folder.iterdir():
            name = _PARTIAL_NAME.fullmatch(path.name)
            if name is not None and int(name[1]) != os.getpid():
                _remove_unless_locked(path)


def _remove_unless_locked(path: Path) -> None:
    with suppress(OSError):
        if time.time() - path.stat().st_mtime < _YOUNG_SECONDS:
            return
        with path.open("r+b") as file:
            if _lock(file) and sys.platform != "win32":
                path.unlink()
        if sys.platform == "win32":
            path.unlink()  # fails where the file is open


def _lock(file: BinaryIO) -> bool:
    """Lock a file for this process, until it is closed; say whether that worked."""
    if sys.platform == "win32":
        return True
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:  # held by another process, or a file system without locks
        return False
    return True
