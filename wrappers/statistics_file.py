"""The file of episode statistics: an npz with one column per statistic, and a journal of newer rows.

The journal, ``<file>.journal``, has one JSON line ``[row, {column: value, ...}]`` per change. Replaying
lines that the npz has already absorbed changes nothing, so a kill at any moment loses no row.
"""

import io
import json
import os
import re
import zipfile
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

# One letter per column, as the array module and NumPy both read it: d is float64, q is int64.
COLUMNS = {"rewards": "d", "lengths": "q", "timesteps": "q", "seconds": "d", "env": "q", "qmax": "d"}
# Statistics of many equal rows compress well, when somebody has compressed them.
_MOST_EXPANSION = 100
_LEAST_BOUND_BYTES = 16 * 2**20

RESERVED = frozenset({"rewards", "lengths", "timesteps", "seconds", "env"})


class StatisticsTable:
    """The rows of one file, stored by column.

    :param part_of: the name of the file that this one belongs to, when several processes share a path
    """

    def __init__(self, *, part_of: str = "") -> None:
        self.part_of = part_of
        self.columns: dict[str, array[Any]] = {name: array(kind) for name, kind in COLUMNS.items()}

    def __len__(self) -> int:
        return len(self.columns["rewards"])

    def put(self, row: int, values: Mapping[str, float]) -> None:
        """Append a row, or change values in an existing one; floats that are not given become NaN.

        :param row: the row's index, from 0 to the number of rows
        :param values: one value per column; a new name adds a column
        """
        if not 0 <= row <= len(self):
            raise ValueError(f"row {row} does not follow the {len(self)} rows before it")
        append = row == len(self)
        if append and not values.keys() >= RESERVED:
            raise ValueError(f"row {row} lacks {sorted(RESERVED - values.keys())}")
        for name in values.keys() - self.columns.keys():
            self.columns[name] = array("d", [np.nan]) * len(self)
        for name, column in self.columns.items():
            if append:
                column.append(values.get(name, np.nan))
            elif name in values:
                column[row] = values[name]

    def cut(self, rows: int) -> None:
        """Remove the rows behind the first so many."""
        for column in self.columns.values():
            del column[rows:]

    def arrays(self) -> dict[str, NDArray[Any]]:
        """Copy the columns to NumPy arrays of shape (rows,)."""
        return {name: np.array(column, dtype=column.typecode) for name, column in self.columns.items()}


def statistics_path(path: str | os.PathLike[str]) -> Path:
    """Make a path absolute and, as ``numpy.savez`` does, end it in ".npz".

    :param path: the path that the user gave
    """
    absolute = Path(path).resolve()
    return absolute if absolute.suffix == ".npz" else absolute.with_name(f"{absolute.name}.npz")


def journal_path(path: Path) -> Path:
    """Name the journal of a file.

    :param path: the npz
    """
    return path.with_name(f"{path.name}.journal")


def temporary_path(path: Path) -> Path:
    """Name the file in which a new npz grows.

    :param path: the npz
    """
    return path.with_name(f".{path.name}.tmp")


def part_paths(base: Path) -> Iterator[Path]:
    """List the files in which other processes continued a base file: base-1.npz, base-2.npz, ...

    A file that happens to have such a name, but was not begun for this base, is not one of them.

    :param base: the base npz
    """
    name = re.compile(re.escape(base.stem) + r"-([1-9]\d*)\.npz")
    matches = (name.fullmatch(path.name) for path in (base.parent.iterdir() if base.parent.is_dir() else ()))
    for number in sorted(int(match[1]) for match in matches if match):
        path = base.with_name(f"{base.stem}-{number}.npz")
        if is_part_of(path, base):
            yield path


def is_part_of(path: Path, base: Path) -> bool:
    """Say whether a file was begun by a second process that shares the base's path.

    :param path: the npz in question
    :param base: the base npz
    """
    try:
        with zipfile.ZipFile(path) as file:
            return file.comment == base.name.encode()
    except (OSError, zipfile.BadZipFile):
        return False


def write_table(table: StatisticsTable, path: Path) -> None:
    """Replace the npz in one step: a reader, or a kill, sees the old file or the new one.

    :param table: what to write
    :param path: the npz; only one process may write it at a time
    """
    temporary = temporary_path(path)
    try:
        with temporary.open("wb") as file:
            with zipfile.ZipFile(file, "w") as archive:
                archive.comment = table.part_of.encode()
                for name, values in table.arrays().items():
                    with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                        np.lib.format.write_array(member, values, allow_pickle=False)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)  # noqa: PTH105  # one call to watch in the tests of atomicity
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def read_table(path: Path) -> StatisticsTable:
    """Read an npz, if it exists, and the rows of its journal.

    :param path: the npz
    :raises ValueError: when either is not what a ``StatsMonitor`` writes
    """
    while True:
        version = _version(path)
        table = _read_npz(path) if version else StatisticsTable()
        lines = _read_journal(journal_path(path))
        if version == _version(path):  # else a live writer replaced the file between our two reads
            break
    for number, line in enumerate(lines, start=1):
        try:
            row, values = json.loads(line)
            table.put(row, values)
        except (ValueError, TypeError, AttributeError, OverflowError) as error:
            if number == len(lines) and isinstance(error, (json.JSONDecodeError, UnicodeDecodeError)):
                break  # cut off by a kill
            raise ValueError(
                f"{journal_path(path)} is not the journal of {path.name} (line {number}: {error}): "
                "move it away to go on with the npz alone"
            ) from error
    return table


def load_statistics(path: str | os.PathLike[str]) -> dict[str, NDArray[Any]]:
    """Read what ``StatsMonitor`` has recorded, up to the last finished episode, even after a kill.

    Where several processes shared the path (``SubprocVecEnv``), their files ``<name>-1.npz``,
    ``<name>-2.npz``, ... are merged in: rows are sorted by ``seconds``, and the environments of each further
    file are numbered after those of the files before it. ``timesteps`` counts the steps of a row's own file.

    :param path: the path that was given to ``StatsMonitor``
    :return: one array of shape (episodes,) per column; floats that nobody supplied are NaN
    """
    base = statistics_path(path)
    paths = [base] if base.exists() or journal_path(base).exists() else []
    paths.extend(part_paths(base))
    if not paths:
        raise FileNotFoundError(f"there are no episode statistics at {base}: check the path")
    tables = [read_table(file).arrays() for file in paths]
    if len(tables) == 1:
        return tables[0]
    env_count = 0
    for table in tables:
        table["env"] += env_count
        env_count = max([env_count, *(table["env"] + 1).tolist()])
    names = list(dict.fromkeys(name for table in tables for name in table))
    missing = [np.full(len(table["rewards"]), np.nan) for table in tables]
    merged = {
        name: np.concatenate([table.get(name, nan) for table, nan in zip(tables, missing, strict=True)])
        for name in names
    }
    order = np.argsort(merged["seconds"], kind="stable")
    return {name: values[order] for name, values in merged.items()}


def _read_npz(path: Path) -> StatisticsTable:
    try:
        arrays, comment = read_npz(path)
        table = StatisticsTable(part_of=comment)
        rows = arrays["rewards"].shape[0]
        for name in {**COLUMNS, **arrays}:
            kind = np.dtype(COLUMNS.get(name, "d"))
            values = arrays[name] if name in arrays or name in RESERVED else np.full(rows, np.nan)
            if values.shape != (rows,) or not np.can_cast(values.dtype, kind, casting="same_kind"):
                raise ValueError(f"{name} has shape {values.shape} and type {values.dtype}")
            table.columns[name] = array(kind.char, values.astype(kind).tobytes())
    except OSError:
        raise
    except Exception as error:  # a foreign file can fail in any layer: zip, zlib, npy, our own checks
        raise ValueError(
            f"{path} is not a file of episode statistics ({error}): choose another path or move it away"
        ) from error
    return table


def read_npz(path: Path) -> tuple[dict[str, NDArray[Any]], str]:
    """Read arrays of numbers, and never more of them than a file of its size can honestly hold.

    :param path: an npz
    :return: the arrays by name, and the zip's comment
    :raises ValueError: if it is no npz, holds objects, or would unpack to much more than its own size
    """
    if path.exists() and not path.is_file():  # a pipe would be waited for
        raise ValueError("it is no regular file")
    content = path.read_bytes()
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            announced = sum(part.file_size for part in archive.infolist())
            comment = archive.comment.decode()
    except (zipfile.BadZipFile, NotImplementedError) as error:
        raise ValueError(f"it is no npz ({error})") from error
    if announced > _MOST_EXPANSION * len(content) + _LEAST_BOUND_BYTES:
        raise ValueError(f"it announces {announced:,} bytes, and has {len(content):,}")
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except Exception as error:  # zip, zlib, npy: a damaged file can fail in any layer
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error
    if not all(isinstance(one, np.ndarray) for one in arrays.values()):  # other members come as bytes
        raise ValueError("it holds something else than arrays")
    return arrays, comment


def _read_journal(path: Path) -> list[bytes]:
    if path.exists() and not path.is_file():
        raise ValueError(f"{path} is no regular file")
    try:
        return path.read_bytes().splitlines()
    except FileNotFoundError:
        return []


def _version(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_mtime_ns, status.st_ino
