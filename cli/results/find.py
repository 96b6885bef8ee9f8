"""From the words of a command to the runs that they mean: folders, studies, globs, files, each with a label or not."""

import glob
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.results.kept_result import PATTERN as KEPT
from sb3_ddpg_custom.cli.results.layout import CONFIG, EVALUATIONS, MONITOR_ENDING, STATISTICS, own_config
from sb3_ddpg_custom.cli.results.names import in_order, plain, plain_path

_MOST_DEPTH = 10
_MOST_FOLDERS = 50_000
_SIGNS = ("*", "?", "[")


@dataclass(frozen=True)
class Place:
    """Where a run lies.

    :param path: a run folder, an ``evaluations.npz`` under any name, a ``monitor.csv``, or a kept result
    :param label: what the user calls its setting; None without
    """

    path: Path
    label: str | None


def find_runs(words: Sequence[str]) -> tuple[list[Place], list[str]]:
    """Find the runs that are meant.

    :param words: ``PATH`` or ``LABEL=PATH`` each; a path may be a glob, a run folder, a folder of runs at any depth, or
        an evaluations file
    :return: the runs, each once, and a remark for each word that leads to none
    :raises UsageError: if a path does not exist, or nothing is named
    """
    if not words:
        raise UsageError("no runs are named; name run folders, folders of them, or files evaluations.npz")
    found: dict[tuple[Path, str | None], Place] = {}
    remarks = []
    for word in words:
        label, paths = _paths(word)
        for path in paths:
            places = [Place(one, label) for one in _runs_in(path)]
            if not places:
                remarks.append(f"no run in {plain_path(path)}")
            for place in places:
                found.setdefault((place.path.resolve(), label), place)
    return list(found.values()), remarks


def _paths(word: str) -> tuple[str | None, list[Path]]:
    """Read a word; a folder may have an equals sign in its name, so what exists comes before a label."""
    if paths := _existing(word):
        return None, paths
    label, equals, rest = word.partition("=")
    if equals and label and rest and not {"/", os.sep} & set(label):
        if paths := _existing(rest):
            return plain(label), paths
        word = rest
    what = "matches nothing" if any(sign in word for sign in _SIGNS) else "does not exist"
    raise UsageError(f"{plain(word) or 'an empty name'} {what}; name run folders, as PATH or LABEL=PATH")


def _existing(text: str) -> list[Path]:
    try:
        path = Path(text).expanduser()
        if text and path.exists():
            return [path]
        if any(sign in text for sign in _SIGNS):
            # Path.glob takes no absolute patterns.
            return sorted(map(Path, glob.glob(str(path), recursive=True)), key=in_order)  # noqa: PTH207
    except (OSError, ValueError, RuntimeError):  # a NUL character, a home of nobody
        return []
    return []


def _runs_in(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if path.is_file() and (path.suffix in (".npz", ".json") or path.name.endswith(MONITOR_ENDING)):
            yield path
        return
    seen: set[Path] = set()
    waiting = [(path, 0)]
    while waiting:
        folder, depth = waiting.pop()
        real = folder.resolve()
        if real in seen:  # links may lead round in circles
            continue
        seen.add(real)
        if len(seen) > _MOST_FOLDERS:
            raise UsageError(f"{plain_path(path)} holds more than {_MOST_FOLDERS:,} folders; name a smaller one")
        if is_run(folder):
            yield folder
        elif depth < _MOST_DEPTH:
            yield from sorted(folder.glob(KEPT), key=in_order)
            inner = [one for one in _listed(folder) if one.is_dir() and not one.name.startswith(".")]
            # The last one is taken first.
            waiting += [(one, depth + 1) for one in sorted(inner, key=in_order, reverse=True)]


def is_run(folder: Path) -> bool:
    """Say whether a folder is one run's: of ours, of rl_zoo3 or of SB3.

    :param folder: any
    """
    names = {path.name for path in _listed(folder)}
    if {EVALUATIONS, STATISTICS, f"{STATISTICS}.journal"} & names or any(
        name.endswith(MONITOR_ENDING) for name in names
    ):
        return True
    return CONFIG in names and own_config(folder) is not None


def _listed(folder: Path) -> list[Path]:
    try:
        return list(folder.iterdir())
    except OSError:
        return []
