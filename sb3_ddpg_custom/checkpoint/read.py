"""Reading a checkpoint without running anything in it.

SB3's zips hold pickles, and unpickling runs whatever a file's author wrote. Nothing here unpickles: weights are read
by ``torch.load(weights_only=True)``, and everything else from the plain text that SB3 puts beside its pickles.
"""

import io
import json
import pickle
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_ddpg_custom.checkpoint.description import DESCRIPTION, FORMAT
from sb3_ddpg_custom.checkpoint.normalization import from_pickle, problem_of
from sb3_ddpg_custom.checkpoint.traces import was_normalized
from sb3_ddpg_custom.checkpoint.write import CONFIG, NORMALIZATION

_WEIGHTS = ("policy.pth", "actor.optimizer.pth", "critic.optimizer.pth")
_MIB = 2**20
# A small file must not fill the memory. Weights hardly compress, and SB3 and we do not compress them.
_MOST_WEIGHTS_BYTES = 4 * 2**30
_MOST_EXPANSION = 20
_MOST_TEXT_BYTES = 64 * _MIB
_MOST_PICKLE_BYTES = 16 * _MIB


class CheckpointError(ValueError):
    """The file is no checkpoint that can be used here; the message says why."""


@dataclass(frozen=True)
class Checkpoint:
    """What a checkpoint says in plain data.

    :param path: the file
    :param parameters: state dicts by SB3's names: ``policy``, ``actor.optimizer``, ``critic.optimizer``
    :param attributes: the model's attributes that are plain data; for the rest, the text that SB3 wrote beside them
    :param normalization: statistics of the training's ``VecNormalize``, None without one
    :param config: the run's ``config.yml``, None in a file that SB3 wrote
    :param description: what :func:`sb3_ddpg_custom.checkpoint.description.describe` wrote, None in other files
    """

    path: Path
    parameters: Mapping[str, dict[str, Any]]
    attributes: Mapping[str, Any]
    normalization: Mapping[str, NDArray[Any]] | None
    config: str | None
    description: Mapping[str, Any] | None = None

    @property
    def lacks_normalization(self) -> bool | None:
        """Whether it was trained under a ``VecNormalize`` whose statistics it does not hold; None where it may be."""
        if self.normalization is not None or self.config is not None:
            return False
        return was_normalized(self.attributes)


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a zip that our or SB3's DDPG, or SB3's TD3, wrote.

    :param path: the file
    :raises CheckpointError: if it is missing, damaged, of another kind, or announces more than a checkpoint can hold
    """
    _check_is_file(path)
    try:
        with zipfile.ZipFile(path) as archive:
            members = _members(path, archive)
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        if _is_pickle(path):
            raise CheckpointError(
                f"{path} is a pickle, and those are not opened here: they can run anything"
            ) from error
        raise CheckpointError(f"{path} is no zip file, or only a part of one ({error})") from error
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if "data" not in members or "policy.pth" not in members:
        # A checkpoint that was cut off can look like this too: the zip files inside it come to the fore.
        raise CheckpointError(f"{path} holds no policy: it is another kind of zip file, or only a part of a checkpoint")
    return Checkpoint(
        path=path,
        parameters={
            name.removesuffix(".pth"): _tensors(path, name, content)
            for name, content in members.items()
            if name in _WEIGHTS
        },
        attributes=_attributes(path, members["data"]),
        normalization=_arrays(path, members[NORMALIZATION]) if NORMALIZATION in members else None,
        config=members[CONFIG].decode("utf-8", "replace") if CONFIG in members else None,
        description=_description(path, members[DESCRIPTION]) if DESCRIPTION in members else None,
    )


def _is_pickle(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(1) == b"\x80"  # how every pickle begins since protocol 2


def read_normalization(path: Path) -> Mapping[str, NDArray[Any]]:
    """Read the statistics of a ``VecNormalize`` without unpickling them.

    :param path: what ``VecNormalize.save`` wrote, or a checkpoint of ours that holds them
    :raises CheckpointError: if it holds none that can be read so
    """
    _check_is_file(path)
    if zipfile.is_zipfile(path):
        statistics = read_checkpoint(path).normalization
        if statistics is None:
            raise CheckpointError(f"{path} holds no statistics of a VecNormalize")
        return statistics
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_PICKLE_BYTES + 1)
    except OSError as error:
        raise CheckpointError(f"{path} cannot be read: {error.strerror or error}") from error
    if len(content) > _MOST_PICKLE_BYTES:
        raise CheckpointError(f"{path} is larger than {_MOST_PICKLE_BYTES / _MIB:.0f} MiB, too large for statistics")
    try:
        arrays = from_pickle(content)
    except Exception as error:  # anything may come of bytes that somebody has made up
        raise CheckpointError(f"{path} holds no VecNormalize of SB3 that can be read without running code") from error
    problem = problem_of(arrays)
    if problem is not None:
        raise CheckpointError(f"{path} {problem}")
    return arrays


def _check_is_file(path: Path) -> None:
    if not path.exists():
        raise CheckpointError(f"there is no file {path}")
    if not path.is_file():  # a pipe would be waited for, and a device never ends
        raise CheckpointError(f"{path} is no regular file")


def _members(path: Path, archive: zipfile.ZipFile) -> dict[str, bytes]:
    """Read the parts that a checkpoint has, and no other part that a file may have."""
    present = set(archive.namelist())
    texts = [archive.getinfo(name) for name in ("data", NORMALIZATION, CONFIG, DESCRIPTION) if name in present]
    weights = [archive.getinfo(name) for name in _WEIGHTS if name in present]
    for part in texts:
        _check_size(path, part.filename, [part], _MOST_TEXT_BYTES)
    _check_size(path, "its weights", weights, _most_weights_bytes(path.stat().st_size))
    return {part.filename: _content(path, archive, part) for part in (*texts, *weights)}


def _most_weights_bytes(compressed_bytes: int) -> int:
    return min(_MOST_WEIGHTS_BYTES, _MOST_TEXT_BYTES + _MOST_EXPANSION * compressed_bytes)


def _check_size(path: Path, what: str, parts: list[zipfile.ZipInfo], most_bytes: int) -> None:
    announced = sum(part.file_size for part in parts)
    if announced > most_bytes:
        raise CheckpointError(
            f"{path} announces {announced / _MIB:,.0f} MiB for {what}, and at most {most_bytes / _MIB:,.0f} MiB are "
            "read from a file of its size; if you trust its author, use --trust-pickle, or DDPG.load in Python"
        )


def _content(path: Path, archive: zipfile.ZipFile, part: zipfile.ZipInfo) -> bytes:
    if part.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        # The other methods unpack as much as they like at once.
        raise CheckpointError(
            f"{path}: {part.filename} is compressed in a way that no checkpoint is; unpack and zip it"
        )
    content = io.BytesIO()
    try:
        with archive.open(part) as stream:
            # Piece by piece: a part that unpacks to more than it announces is noticed before it fills the memory.
            while piece := stream.read(_MIB):
                content.write(piece)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise CheckpointError(f"{path} is damaged: its part {part.filename!r} does not match its checksum") from error
    return content.getvalue()


def _check_nested(path: Path, name: str, content: bytes, most_bytes: int) -> None:
    """Weights and arrays are zip files themselves, and could announce too much in their turn."""
    if zipfile.is_zipfile(io.BytesIO(content)):
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            _check_size(path, f"what is in {name}", archive.infolist(), most_bytes)


def _tensors(path: Path, name: str, content: bytes) -> dict[str, Any]:
    try:
        _check_nested(path, name, content, _most_weights_bytes(len(content)))
        loaded = th.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: {name} holds more than tensors, which could run code; "
            "if you trust its author, use --trust-pickle, or DDPG.load in Python"
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # anything may come of bytes that somebody has made up
        raise CheckpointError(f"{path}: {name} is damaged") from error
    if not isinstance(loaded, dict) or not all(isinstance(key, str) for key in loaded):
        raise CheckpointError(f"{path}: {name} holds no state dict")
    if name == "policy.pth" and not all(isinstance(value, th.Tensor) for value in loaded.values()):
        raise CheckpointError(f"{path}: {name} holds something else than tensors by name")
    if any(_claims_more_than_it_holds(value) for value in loaded.values() if isinstance(value, th.Tensor)):
        raise CheckpointError(f"{path}: {name} holds a tensor that claims more numbers than the file has")
    return loaded


def _claims_more_than_it_holds(tensor: th.Tensor) -> bool:
    """Say whether a tensor repeats few numbers many times: a copy of it could fill the memory."""
    if tensor.layout is not th.strided:
        return True
    return tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes()


def _attributes(path: Path, content: bytes) -> dict[str, Any]:
    try:
        attributes = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its part 'data' is no JSON") from error
    if not isinstance(attributes, dict):
        raise CheckpointError(f"{path}: its part 'data' is no table of attributes")
    kwargs = attributes.get("policy_kwargs")
    if kwargs is not None and not isinstance(kwargs, dict):
        raise CheckpointError(f"{path}: its policy_kwargs are {str(kwargs)[:50]!r}, and not a table of arguments")
    for name in ("observation_space", "action_space"):
        space = attributes.get(name)
        shape = space.get("_shape") if isinstance(space, dict) else None
        if shape is not None and not (isinstance(shape, list) and all(type(size) is int for size in shape)):
            raise CheckpointError(f"{path}: the shape of its {name} is {str(shape)[:50]!r}, and not a list of sizes")
    return attributes


def _description(path: Path, content: bytes) -> dict[str, Any]:
    try:
        description = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its part {DESCRIPTION} is no JSON") from error
    if not isinstance(description, dict) or description.get("format") != FORMAT:
        raise CheckpointError(f"{path}: its part {DESCRIPTION} describes no model")
    return description


def _arrays(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    try:
        _check_nested(path, NORMALIZATION, content, _MOST_TEXT_BYTES)
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            arrays = {name: np.asanyarray(archive[name]) for name in archive.files}
    except CheckpointError:
        raise
    except Exception as error:
        raise CheckpointError(f"{path}: {NORMALIZATION} is damaged or holds more than numbers") from error
    problem = problem_of(arrays)
    if problem is not None:
        raise CheckpointError(f"{path}: {NORMALIZATION} {problem}")
    return arrays
