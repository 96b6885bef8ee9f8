"""What the names of folders and files say: setting, seed, order. Names of others are made fit for a terminal."""

import re
from pathlib import Path

from sb3_ddpg_custom.cli.paths import shown

_SEED = re.compile(r"(?i)[-_. ]*(?:seed|run|trial)[-_ ]?(\d+)$")
_NUMBER = re.compile(r"(\d+)$")
_DIGITS = re.compile(r"(\d+)")


def plain(text: object, *, most: int = 80) -> str:
    """Write a name of others so that it can be printed: no control characters, no line breaks, not endlessly long.

    >>> plain("red \\x1b[31m name")
    'red \\\\x1b[31m name'

    :param text: a name
    :param most: characters
    """
    shown = "".join(sign if sign.isprintable() else repr(sign)[1:-1] for sign in str(text))
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def plain_path(path: Path) -> str:
    """Write a path for the screen: short where it lies in the current folder, and as :func:`plain` otherwise.

    :param path: absolute, or as the user wrote it
    """
    return plain(shown(path), most=5_000)


def seed_of(name: str) -> str | None:
    """Read the number that a name ends in.

    >>> seed_of("hopper-n1-seed3"), seed_of("Pendulum-v1_12"), seed_of("best")
    ('3', '12', None)

    :param name: of a folder, or of a file without its suffix
    """
    found = _SEED.search(name) or _NUMBER.search(name)
    return found[1] if found else None


def without_seed(path: Path) -> str:
    """Name the setting of a run by its path: what is in front of the seed, or the folder above.

    A number is no seed without a word such as seed or run in front: ``net_256`` and ``net_400`` are two settings.

    >>> without_seed(Path("logs/hopper-n1-seed3")), without_seed(Path("sac/seed-0")), without_seed(Path("td3/2"))
    ('hopper-n1', 'sac', 'td3')

    :param path: of a folder, or of a file without its suffix
    """
    name = "" if path.name.isdecimal() else _SEED.sub("", path.name)
    return name or path.parent.name or path.name


def in_order(path: Path) -> list[tuple[int, int | str]]:
    """Sort paths so that run 10 comes behind run 9.

    :param path: any
    """
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in _DIGITS.split(str(path)) if part]
