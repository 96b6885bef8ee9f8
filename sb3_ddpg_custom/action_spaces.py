"""Action spaces of whole numbers: the policy computes with real ones, the env gets what it asks for."""

from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray


def is_whole(space: spaces.Space[Any]) -> bool:
    """Say whether a space is a Box of integers.

    :param space: the env's action space
    """
    return isinstance(space, spaces.Box) and space.dtype.kind in "iu"


def with_real_bounds(space: spaces.Space[Any]) -> spaces.Space[Any]:
    """Give the same space in float64 where it is a Box of integers: high - low of 8 bits, say, can overflow.

    :param space: the env's action space
    :return: ``space`` itself where it is of real numbers
    """
    if not is_whole(space):
        return space
    assert isinstance(space, spaces.Box)  # noqa: S101 (for mypy)
    return spaces.Box(space.low.astype(np.float64), space.high.astype(np.float64), space.shape, np.float64)


def as_type_of(space: spaces.Space[Any], actions: NDArray[Any]) -> NDArray[Any]:
    """Round actions to the nearest whole numbers where the env wants such.

    :param space: the env's action space
    :param actions: (…, *shape of an action), in the env's units
    :return: of the space's type, or ``actions`` themselves where it is of real numbers
    """
    return np.rint(actions).astype(space.dtype) if is_whole(space) else actions
