"""Reading a checkpoint without running anything in it.

SB3's zips hold pickles, and unpickling runs whatever a file's author wrote. Nothing here unpickles: weights are read
by ``torch.load(weights_only=True)``, and everything else from the plain text that SB3 puts beside its pickles.
"""

import io
import json
import pickle
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_ddpg_custom.checkpoint.write import CONFIG, NORMALIZATION


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
    """

    path: Path
    parameters: Mapping[str, dict[str, Any]]
    attributes: Mapping[str, Any]
    normalization: Mapping[str, NDArray[Any]] | None
    config: str | None


def read_checkpoint(path: Path) -> Checkpoint:
    """Read a zip that our or SB3's DDPG, or SB3's TD3, wrote.

    :param path: the file
    :raises CheckpointError: if it is missing, damaged, or of another kind
    """
    if not path.exists():
        raise CheckpointError(f"there is no file {path}")
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
            if damaged is not None:
                raise CheckpointError(f"{path} is damaged: its part {damaged!r} does not match its checksum")
            members = {name: archive.read(name) for name in archive.namelist()}
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
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
            if name in ("policy.pth", "actor.optimizer.pth", "critic.optimizer.pth")
        },
        attributes=_attributes(path, members["data"]),
        normalization=_arrays(path, members[NORMALIZATION]) if NORMALIZATION in members else None,
        config=members[CONFIG].decode("utf-8", "replace") if CONFIG in members else None,
    )


def _tensors(path: Path, name: str, content: bytes) -> dict[str, Any]:
    try:
        loaded = th.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{path}: {name} holds more than tensors, which could run code; "
            "if you trust its author, load it in Python with DDPG.load"
        ) from error
    except (RuntimeError, EOFError, ValueError, KeyError) as error:
        raise CheckpointError(f"{path}: {name} is damaged") from error
    if not isinstance(loaded, dict):
        raise CheckpointError(f"{path}: {name} holds no state dict")
    return loaded


def _attributes(path: Path, content: bytes) -> dict[str, Any]:
    try:
        attributes = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{path}: its part 'data' is no JSON") from error
    if not isinstance(attributes, dict):
        raise CheckpointError(f"{path}: its part 'data' is no table of attributes")
    return attributes


def _arrays(path: Path, content: bytes) -> dict[str, NDArray[Any]]:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise CheckpointError(f"{path}: {NORMALIZATION} is damaged or holds more than numbers") from error
