"""The films that a page carries in itself: few, and not too large."""

import base64
from pathlib import Path
from typing import NamedTuple

_FOLDER = "videos"
_MOST_BYTES = 4_000_000
#: bytes of films that a page may carry
MOST_IN_ALL = 24_000_000


class Film(NamedTuple):
    """A film.

    :param name: of its file
    :param source: a data URL
    """

    name: str
    source: str


def films_of(run: Path, *, left: int = MOST_IN_ALL) -> tuple[list[Film], list[str]]:
    """Take the first film of a training, its last one, that of the trained policy, and that of the learning.

    :param run: its folder
    :param left: bytes that the page has left for films
    :return: the films, and the names of those that are left out
    """
    paths = [path for path in sorted((run / _FOLDER).glob("*.mp4")) if path.is_file() and path.stat().st_size]
    trained = [path for path in paths if path.name.startswith("trained")]
    learning = [path for path in paths if path.name.startswith("learning")]
    training = [path for path in paths if path not in (*trained, *learning)]
    chosen = list(dict.fromkeys([*learning[-1:], *training[:1], *training[-1:], *trained[-1:]]))
    films, taken = [], 0
    for path in chosen:
        size = path.stat().st_size
        if size <= _MOST_BYTES and taken + size <= left:
            taken += size
            films.append(Film(path.name, f"data:video/mp4;base64,{base64.b64encode(path.read_bytes()).decode()}"))
    shown = {film.name for film in films}
    return films, [path.name for path in paths if path.name not in shown]


def bytes_of(films: list[Film]) -> int:
    """Tell about how much of a page films are."""
    return sum(len(film.source) * 3 // 4 for film in films)
