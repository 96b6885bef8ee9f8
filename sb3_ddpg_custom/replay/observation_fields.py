"""Observations as fields of records: one field for a plain space, one per key for a Dict space."""

from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from sb3_ddpg_custom.replay.records import Field

Observations: TypeAlias = NDArray[Any] | dict[str, NDArray[Any]]


def observation_fields(name: str, space: spaces.Space[Any], shape: Any) -> dict[str, Field]:
    """Lay out the observations of a space.

    :param name: ``"observations"`` or ``"next_observations"``
    :param space: the env's observation space
    :param shape: the shape that SB3 gives observations of this space, a dict of shapes for a Dict space
    :return: ``name`` for a plain space, ``name:key`` for each part of a Dict space
    """
    if isinstance(space, spaces.Dict):
        return {f"{name}:{key}": Field(np.dtype(part.dtype), shape[key]) for key, part in space.spaces.items()}
    return {name: Field(np.dtype(space.dtype), shape)}


def part(source: Mapping[str, NDArray[Any]] | NDArray[np.void], name: str) -> Observations:
    """Take observations out of a table of fields.

    :param source: arrays by field name, or a structured array
    :param name: as in :func:`observation_fields`
    :return: one array, or for a Dict space a dict of them by key
    """
    names = source.dtype.names or () if isinstance(source, np.ndarray) else source
    if name in names:
        return source[name]
    prefix = f"{name}:"
    return {full.removeprefix(prefix): source[full] for full in names if full.startswith(prefix)}


def write(views: Observations, row: int, observations: Observations) -> None:
    """Write one step's observations of all envs.

    :param views: where to, (rows, n_envs, \\*shape), or a dict of them
    :param row: which row
    :param observations: (n_envs, \\*shape), or (n_envs,) where SB3's shape of the space is (1,): Discrete
    """
    if isinstance(views, np.ndarray):
        # An exact fit is written at once: np.reshape takes several times as long as the write itself.
        if observations.ndim + 1 != views.ndim:  # type: ignore[union-attr]
            observations = np.reshape(observations, views.shape[1:])  # type: ignore[arg-type]
        views[row] = observations
    else:
        for key, view in views.items():
            write(view, row, observations[key])
