"""The random generators of a process: Python's, NumPy's global one, torch's on every device."""

import random
from typing import Any

import numpy as np
import torch as th


def random_streams() -> dict[str, Any]:
    """Copy the state of every generator that a training draws from without being handed one."""
    return {
        "python": random.getstate(),
        "numpy": np.random.get_state(),
        "torch": th.get_rng_state(),
        "cuda": th.cuda.get_rng_state_all() if th.cuda.is_available() else [],
    }


def set_random_streams(streams: dict[str, Any]) -> None:
    """Take them back to an earlier state.

    :param streams: which :func:`random_streams` gave; those of CUDA devices that are not here are left out
    """
    random.setstate(streams["python"])
    np.random.set_state(streams["numpy"])
    th.set_rng_state(streams["torch"])
    if streams["cuda"] and th.cuda.is_available() and len(streams["cuda"]) == th.cuda.device_count():
        th.cuda.set_rng_state_all(streams["cuda"])
