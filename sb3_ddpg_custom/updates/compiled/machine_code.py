"""The way to what Numba compiles: imported late, announced where that takes time, and given only what it can read."""

import logging
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.updates.by_hand.mlp import layers_of

_log = logging.getLogger(__name__)
_was_said = False


def layout_of(network: Any, inputs: int, batch_size: int) -> NDArray[np.int64]:
    """Lay out a network's numbers, see :func:`kernels.layout`.

    :param network: layers of torch's
    :param inputs: features of its input
    :param batch_size: rows
    """
    layers = layers_of(network)
    widths = [inputs, *(layer.linear.out_features for layer in layers)]
    where: NDArray[np.int64] = kernels().layout(widths, batch_size, [layer.norm is not None for layer in layers])
    return where


@lru_cache(maxsize=1)
def kernels() -> Any:
    """Import what Numba compiles, and say so if that is still to be done."""
    from sb3_ddpg_custom.updates.compiled import kernels

    announce(kernels.update)
    return kernels


def announce(function: Any) -> None:
    """Say that something is still to be compiled, once.

    :param function: of :mod:`kernels`
    """
    global _was_said
    from sb3_ddpg_custom.updates.compiled import kernels

    if not _was_said and not kernels.is_compiled(function):
        _was_said = True
        _log.warning("compiling the update with Numba, which takes some seconds and is kept for the next run")


def check_shape(name: str, array: NDArray[Any], shape: tuple[int, int]) -> None:
    """Refuse an array of another shape.

    :param name: of the array
    :param array: that machine code will read
    :param shape: which it must have
    :raises ValueError: if it has another one
    """
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def readable(array: NDArray[Any]) -> NDArray[Any]:
    """Give numbers of a type that Numba knows: it knows no float16 on the CPU.

    :param array: of any type
    """
    return array.astype(np.float32) if array.dtype == np.float16 else array
