"""Whether a zip of SB3, which holds no statistics of a ``VecNormalize``, was trained under one all the same.

SB3 keeps the last observation that the policy saw, and the last one as the env gave it. ``VecNormalize`` leaves two
traces in them: it answers float32 whatever the env answers, and it leaves the bounds of the observation space.
"""

import base64
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.checkpoint.inert_pickle import Inert, read_pickle


def was_normalized(attributes: Mapping[str, Any]) -> bool | None:
    """Say whether observations were normalised: True or False where that is sure, None where it is not.

    :param attributes: what a zip's part "data" says
    """
    seen, given = _parts(attributes.get("_last_obs")), _parts(attributes.get("_last_original_obs"))
    if not seen or seen.keys() != given.keys():
        return None
    if any(seen[key].dtype != given[key].dtype for key in seen):
        return True
    if all(given[key].dtype == np.float64 for key in given):
        return False
    bounds = _bounds(attributes.get("observation_space"))
    if any(key in bounds and _leaves(seen[key], *bounds[key]) for key in seen):
        return True
    return None


def _parts(value: Any) -> dict[str, NDArray[Any]]:
    """Read the arrays of an observation, by the keys of a Dict, or by "" alone."""
    read = _read(value)
    parts = read if isinstance(read, dict) else {"": read}
    return parts if all(isinstance(part, np.ndarray) for part in parts.values()) else {}


def _bounds(value: Any) -> dict[str, tuple[NDArray[Any], NDArray[Any]]]:
    space = _read(value)
    state = space.state if isinstance(space, Inert) and isinstance(space.state, dict) else {}
    inner = state.get("spaces")
    spaces = inner if isinstance(inner, dict) else {"": space}
    found = {}
    for key, part in spaces.items():
        limits = part.state if isinstance(part, Inert) and isinstance(part.state, dict) else {}
        low, high = limits.get("low"), limits.get("high")
        if isinstance(low, np.ndarray) and isinstance(high, np.ndarray):
            found[key] = low, high
    return found


def _leaves(observations: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> bool:
    try:
        # Some environments overstep their own bounds a little.
        slack = 1e-3 * np.where(np.isfinite(high - low), high - low, 0.0)
        return bool(((observations < low - slack) | (observations > high + slack)).any())
    except ValueError:  # shapes that do not fit
        return False


def _read(value: Any) -> Any:
    text = value.get(":serialized:") if isinstance(value, dict) else None
    if not isinstance(text, str):
        return None
    try:
        return read_pickle(base64.b64decode(text))
    except Exception:  # anything may come of bytes that somebody has made up
        return None
