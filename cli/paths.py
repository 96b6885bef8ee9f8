"""Paths of a command: absolute inside, for an environment may change the folder, and short on the screen."""

from dataclasses import fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def shown_in(text: object, path: Path) -> str:
    """Shorten a path inside of a sentence.

    :param text: a sentence, or an error
    :param path: absolute
    """
    return str(text).replace(str(path), str(shown(path)))


Request = TypeVar("Request", bound="DataclassInstance")


def tied_to_start(request: Request) -> Request:
    """Take the current folder for the one that the command is started in, and make a request's paths absolute.

    :param request: a dataclass, whose paths are as the user wrote them
    """
    tied_to(Path.cwd())
    paths = {field.name: getattr(request, field.name) for field in fields(request)}
    return replace(request, **{name: started_in() / path for name, path in paths.items() if isinstance(path, Path)})


def shown(path: Path) -> Path:
    """Shorten a path for the screen: relative to the folder that the command was started in, where it is inside.

    :param path: absolute, or as the user wrote it
    """
    return path.relative_to(started_in()) if path != started_in() and path.is_relative_to(started_in()) else path


def started_in() -> Path:
    """Give the folder that the command was started in."""
    return _folder[0] if _folder else Path.cwd()


def tied_to(folder: Path) -> None:
    """Take a folder for the one that the command was started in, in a process that the command has started.

    :param folder: which :func:`started_in` gave there
    """
    _folder[:] = [folder]


_folder: list[Path] = []
