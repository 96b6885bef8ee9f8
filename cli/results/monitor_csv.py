"""The files of SB3's ``Monitor``: one row per training episode."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sb3_ddpg_custom.analysis.statistics import Array

MAX_BYTES = 256 * 2**20
# Steps and seconds that no training takes.
MOST_STEPS = 1e15
# SB3's names of a row's parts.
_RETURN, _LENGTH, _SECONDS = "r", "l", "t"


def read_monitors(paths: Sequence[Path]) -> tuple[dict[str, Array], str]:
    """Read the monitors of a run's environments as one table of episodes, in the order in which they ended.

    :param paths: one file per environment
    :return: columns ``steps`` of all environments, ``return``, ``length``, ``seconds``, (m,) each, and the
        environment's id, empty if none of the files names it
    :raises ValueError: if one is no monitor's file; a last line that a kill has cut is left out
    """
    tables, env_id = [], ""
    for path in paths:
        table, header = _read(path)
        tables.append(table)
        named = header.get("env_id")
        env_id = env_id or (named if isinstance(named, str) else "")
    together = np.concatenate(tables) if tables else np.empty((0, 3))
    together = together[np.argsort(together[:, 2], kind="stable")]
    seconds = together[:, 2] - (min((float(table[0, 3]) for table in tables if len(table)), default=0.0))
    columns = {"steps": np.cumsum(together[:, 1]), "return": together[:, 0], "length": together[:, 1]}
    return {**columns, "seconds": seconds}, env_id


def _read(path: Path) -> tuple[Array, dict[str, Any]]:
    """Read returns, lengths, times of the day and the time of the start: (episodes, 4)."""
    if not path.is_file():
        raise ValueError("it is no regular file")
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
    lines = path.read_text("utf-8", errors="replace").splitlines()
    header: Any = {}
    if lines and lines[0].startswith("#"):
        try:
            header = json.loads(lines.pop(0)[1:])
        except (ValueError, RecursionError):
            raise ValueError("its first line is not what SB3's Monitor writes") from None
    names = lines[0].split(",") if lines else []
    if not isinstance(header, dict) or not {_RETURN, _LENGTH, _SECONDS} <= set(names):
        raise ValueError("it has no columns r, l and t")
    start = header.get("t_start", 0.0)
    if not isinstance(start, int | float) or not abs(start) < MOST_STEPS:
        start = 0.0
    places = [names.index(name) for name in (_RETURN, _LENGTH, _SECONDS)]
    rows = []
    for line in lines[1:]:
        # Quoted words may hold commas, in columns behind these three only.
        words = line.split(",")
        try:
            episode_return, length, seconds = (float(words[place]) for place in places)
        except (ValueError, IndexError):
            continue  # a line that a kill has cut, or a second header where a run went on
        if 0 < length < MOST_STEPS and abs(seconds) < MOST_STEPS:
            rows.append((episode_return, length, start + seconds, start))
    return np.array(rows, np.float64).reshape(len(rows), 4), header
