"""Paths of a command: absolute inside, for an environment may change the folder, and short on the screen."""

from pathlib import Path
from typing import overload


@overload
def absolute(path: Path) -> Path: ...
@overload
def absolute(path: None) -> None: ...
def absolute(path: Path | None) -> Path | None:
    """Tie a path to the folder that a command is started in.

    :param path: as the user wrote it; None stays None
    """
    return None if path is None else _start() / path


def shown(path: Path) -> Path:
    """Shorten a path for the screen: relative to the folder that the command was started in, where it is inside.

    :param path: absolute, or as the user wrote it
    """
    return path.relative_to(_start()) if path != _start() and path.is_relative_to(_start()) else path


def remember_start() -> None:
    """Take the current folder for the one that the command is started in."""
    _folder[:] = [Path.cwd()]


_folder: list[Path] = []


def _start() -> Path:
    if not _folder:
        remember_start()
    return _folder[0]
