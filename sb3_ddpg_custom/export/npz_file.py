"""A program as a ``.npz``, which :mod:`sb3_ddpg_custom.export.player` plays with NumPy alone."""

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.export.player import FORMAT, PROGRAM
from sb3_ddpg_custom.export.program import Program


def write_npz(program: Program, path: Path, metadata: dict[str, Any]) -> None:
    """Write a policy's arrays, and its operations and metadata as JSON; nothing is pickled.

    :param program: what the policy computes
    :param path: replaced whole or not at all
    :param metadata: plain data
    :raises OSError: if it cannot be written
    """
    arrays: dict[str, NDArray[Any]] = {}
    steps = []
    for place, step in enumerate(program.steps):
        arrays |= {f"{place}.{name}": array for name, array in step.arrays.items()}
        steps.append(
            {
                "op": step.op,
                "reads": list(step.reads),
                "writes": step.writes,
                "arrays": list(step.arrays),
                "options": step.options,
            }
        )
    document = {
        "format": FORMAT,
        "metadata": metadata,
        "inputs": [{"name": one.name, "shape": list(one.shape), "dtype": one.dtype.name} for one in program.inputs],
        "steps": steps,
        "action_shape": list(program.action_shape),
        "action_dtype": program.action_dtype.name,
    }
    arrays[PROGRAM] = np.frombuffer(json.dumps(document, allow_nan=False).encode(), np.uint8)
    with replacing(path) as file:
        np.savez(file, allow_pickle=False, **arrays)
