"""Writing a checkpoint: SB3's zip, with what SB3 leaves out as members that SB3 ignores."""

import io
import zipfile
from pathlib import Path

import numpy as np
from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.checkpoint.normalization import to_arrays

NORMALIZATION = "vec_normalize.npz"
CONFIG = "config.yml"


def save_checkpoint(model: BaseAlgorithm, path: Path, *, config: str | None = None) -> None:
    """Write a model so that a reader finds the old file or the whole new one, never a part.

    SB3's ``load`` reads it too. The statistics of a ``VecNormalize`` around the training env travel inside.

    :param model: any SB3 algorithm
    :param path: file to write, usually ``*.zip``; replaced if it exists
    :param config: text of the run's ``config.yml``, for whoever evaluates the file later
    :raises OSError: if the file cannot be written; then the old one is untouched
    """
    normalization = model.get_vec_normalize_env()
    with replacing(path) as file:
        model.save(file)  # type: ignore[arg-type]  # SB3 asks for an io.BufferedIOBase, and this is one
        with zipfile.ZipFile(file, "a") as archive:
            if normalization is not None:
                archive.writestr(NORMALIZATION, _npz(to_arrays(normalization)))
            if config is not None:
                archive.writestr(CONFIG, config)


def _npz(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **arrays)
    return buffer.getvalue()
