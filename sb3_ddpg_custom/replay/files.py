"""Replay buffers as files: a zip with a JSON header and plain numbers, which costs what is filled and runs nothing.

Members, none compressed: ``header.json``; ``rows``, the filled records; ``final_observations`` in memory-saving
mode and with n-step returns; ``priorities`` in prioritised replay. The zip's checksums tell damage.
"""

import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.save_util import open_path

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.replay.buffer import ReplayBuffer
from sb3_ddpg_custom.replay.records import Field
from sb3_ddpg_custom.replay.storage import Stored

PathOrFile: TypeAlias = str | Path | io.BufferedIOBase

FORMAT = "sb3-ddpg-custom replay buffer"
VERSION = 1
HEADER = "header.json"
_ZIP_MAGIC = b"PK\x03\x04"
_PICKLE_MAGIC = b"\x80"
_CHUNK_BYTES = 1 << 24
_MOST_HEADER_BYTES = 1_000_000


def save_replay_buffer(buffer: ReplayBuffer, path: PathOrFile) -> None:
    """Write a buffer; a file on the disk is replaced whole or not at all.

    :param buffer: what to write
    :param path: file to write, ``.pkl`` is added where there is no suffix (SB3's rule, whatever the content), and its
        folder is made; or a binary file object
    """
    if isinstance(path, (str, Path)):
        with replacing(Path(path) if Path(path).suffix else Path(f"{path}.pkl")) as file:
            _write(buffer, file)
    else:
        _write(buffer, path)  # type: ignore[arg-type]  # both are binary files


def kind_of(path: PathOrFile) -> Literal["ours", "pickle", "unknown"]:
    """Tell by the first bytes how a file must be read.

    :param path: as for :func:`load_replay_buffer`
    """
    with opened(path) as file:
        start = file.tell()
        magic = file.read(len(_ZIP_MAGIC))
        file.seek(start)
    if magic == _ZIP_MAGIC:
        return "ours"
    return "pickle" if magic.startswith(_PICKLE_MAGIC) else "unknown"


def load_replay_buffer(path: PathOrFile, like: ReplayBuffer) -> ReplayBuffer:
    """Read a buffer without unpickling.

    :param path: file that :func:`save_replay_buffer` wrote, with or without ``.pkl``; or a binary file object
    :param like: an own buffer, which says what the file must fit; its content does not matter
    :return: a new buffer with the file's capacity, which gives the batches that the saved one would have given
    :raises ValueError: if the file is damaged, of another kind, or does not fit
    """
    name = path if isinstance(path, (str, Path)) else "the replay buffer's file"
    with opened(path) as file:
        try:
            with zipfile.ZipFile(file) as archive:
                header = _read_header(archive, name)
                check_fit(name, header["layout"], layout(like))
                return _read(archive, header, like)
        except _MisfitError:
            raise
        except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, TypeError) as error:
            raise ValueError(f"{name} is damaged, or only a part of a replay buffer ({error})") from error
        except (KeyError, ValueError, OverflowError, MemoryError) as error:
            raise ValueError(f"{name} is damaged: its parts do not belong together ({error})") from error


def read_header(path: PathOrFile) -> dict[str, Any]:
    """Read what a file of :func:`save_replay_buffer` says of itself.

    :param path: as for :func:`load_replay_buffer`
    :raises ValueError: if it is another kind of file, or damaged
    """
    try:
        with opened(path) as file, zipfile.ZipFile(file) as archive:
            return _read_header(archive, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError, KeyError) as error:
        raise ValueError(f"{path} is damaged, or no replay buffer ({error})") from error


class _MisfitError(ValueError):
    """The file is sound, but not for this model."""


def layout(buffer: ReplayBuffer) -> dict[str, Any]:
    """Say in plain data what a buffer's content must fit.

    :param buffer: an own buffer
    """
    fields = buffer.records.fields
    names = [name for name in fields if name == "actions" or name.partition(":")[0] == "observations"]
    options: dict[str, Any] = {
        "n_envs": buffer.n_envs,
        **{name: describe(fields[name]) for name in names},
        "optimize_memory_usage": buffer.optimize_memory_usage,
        "handle_timeout_termination": buffer.handle_timeout_termination,
        "n_steps": buffer.n_steps,
        "priority_exponent": buffer.priority_exponent,
    }
    if buffer.n_steps > 1:
        options["gamma"] = buffer.gamma
    if buffer.priority_exponent is not None:
        options |= {"importance_exponent": buffer.importance_exponent, "priority_epsilon": buffer.priority_epsilon}
    return options


def describe(field: Field) -> str:
    """Give a field's type, byte order and shape, such as ``<f8 (17,)``."""
    return f"{np.dtype(field.dtype).str} {tuple(field.shape)}"


def check_fit(name: object, theirs: Mapping[str, Any], ours: Mapping[str, Any]) -> None:
    """Compare two layouts.

    :param name: what to call the file
    :param theirs: the file's
    :param ours: the model's
    :raises ValueError: if they differ; it names what differs
    """
    for key in [*ours, *theirs]:
        there, here = theirs.get(key, "nothing of that name"), ours.get(key, "nothing of that name")
        if there != here:
            raise _MisfitError(
                f"{name} does not fit this model: {key} is {there} in the file and {here} in the model; "
                "build the model with what the file has, or start with an empty replay buffer"
            )


def _write(buffer: ReplayBuffer, file: BinaryIO) -> None:
    stored = buffer.stored()
    header = {
        "format": FORMAT,
        "version": VERSION,
        "buffer_size": buffer.buffer_size,
        "row_bytes": buffer.records.row_bytes,
        "layout": layout(buffer),
        **{name: value for name, value in stored._asdict().items() if not isinstance(value, np.ndarray)},
    }
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(HEADER, json.dumps(header, indent=1))
        for name, value in stored._asdict().items():
            if isinstance(value, np.ndarray):
                with archive.open(name, "w", force_zip64=True) as member:
                    content = _bytes_of(value)
                    for start in range(0, len(content), _CHUNK_BYTES):
                        member.write(content[start : start + _CHUNK_BYTES].data)


def _read_header(archive: zipfile.ZipFile, name: object) -> dict[str, Any]:
    if HEADER not in archive.namelist():
        raise _MisfitError(f"{name} is a zip file of another kind: save_replay_buffer writes what can be loaded here")
    part = archive.getinfo(HEADER)
    if part.file_size > _MOST_HEADER_BYTES:
        raise _MisfitError(f"{name} has a header of {part.file_size:,} bytes, which no replay buffer has")
    header = json.loads(archive.read(HEADER))
    if not isinstance(header, dict) or header.get("format") != FORMAT or not isinstance(header.get("layout"), dict):
        raise _MisfitError(f"{name} is a zip file of another kind: save_replay_buffer writes what can be loaded here")
    if header["version"] != VERSION:
        raise _MisfitError(f"{name} has version {header['version']}, but this release reads version {VERSION}")
    return header


def _read(archive: zipfile.ZipFile, header: Mapping[str, Any], like: ReplayBuffer) -> ReplayBuffer:
    buffer_size, pos, full = int(header["buffer_size"]), int(header["pos"]), bool(header["full"])
    if not 0 <= pos < buffer_size:
        raise ValueError(f"pos {pos} is outside of {buffer_size} rows")
    if header["row_bytes"] != like.records.row_bytes:
        raise ValueError(f"rows of {header['row_bytes']} bytes are announced instead of {like.records.row_bytes}")
    filled = (buffer_size if full else pos) * like.n_envs
    if archive.getinfo("rows").file_size != filled * like.records.row_bytes:
        raise ValueError(f"{filled} rows of {like.records.row_bytes} bytes are announced")
    buffer = like.emptied(buffer_size)
    rows = buffer.records.rows[:filled]
    _fill(archive, "rows", rows)
    finals = priorities = None
    if buffer.final_observations is not None:
        dtype = buffer.final_observations.rows.dtype
        finals = np.zeros(archive.getinfo("final_observations").file_size // dtype.itemsize, dtype)
        _fill(archive, "final_observations", finals)
        slots = rows["final_slots"] if buffer.optimize_memory_usage else np.empty(0, np.int32)
        if len(finals) < like.n_envs or ((slots < -1) | (slots >= len(finals))).any():
            raise ValueError("rows refer to final observations that are not there")
    if buffer.priorities is not None:
        priorities = np.zeros(filled)
        _fill(archive, "priorities", priorities)
        if not (np.isfinite(priorities) & (priorities >= 0)).all():
            raise ValueError("priorities must be finite and not negative")
    buffer.restore(
        Stored(
            rows, pos, full, finals, priorities, float(header["largest_priority"]), float(header["progress_remaining"])
        )
    )
    return buffer


def _fill(archive: zipfile.ZipFile, name: str, array: NDArray[Any]) -> None:
    """Read a member into an array, a piece at a time: a buffer may take half of the memory."""
    content = _bytes_of(array)
    if archive.getinfo(name).file_size != len(content):
        raise ValueError(f"{name} has {archive.getinfo(name).file_size} bytes instead of {len(content)}")
    with archive.open(name) as member:
        for start in range(0, len(content), _CHUNK_BYTES):
            piece = content[start : start + _CHUNK_BYTES]
            piece[:] = np.frombuffer(member.read(len(piece)), np.uint8)
        # Only at its end does zipfile compare the checksum.
        member.read(1)


def _bytes_of(array: NDArray[Any]) -> NDArray[np.uint8]:
    return array.view(np.uint8).reshape(-1)


@contextmanager
def opened(path: PathOrFile) -> Iterator[BinaryIO]:
    """Open a file to read, by SB3's rules, and close it unless it came open.

    :param path: file with or without ``.pkl``, or a binary file object
    """
    file = open_path(path, "r", suffix="pkl")
    try:
        yield file
    finally:
        if isinstance(path, (str, Path)):
            file.close()
