"""From what environments draw to what a film is made of."""

from typing import Any

import numpy as np
from numpy.typing import NDArray


def as_picture(drawn: Any) -> NDArray[np.uint8]:
    """Turn what ``render()`` answered into an RGB picture.

    Grey pictures get three equal channels, a transparency channel is left out, and floats from 0 to 1 become bytes.

    >>> as_picture(np.array([[0.0, 1.0]])).tolist()
    [[[0, 0, 0], [255, 255, 255]]]

    :param drawn: an array, or what NumPy reads as one without copying its elements (a PIL image, say), of shape
        (height, width), (height, width, 1), (height, width, 3) or (height, width, 4)
    :return: (height, width, 3) uint8: red, green, blue; the same array where it is that already
    :raises TypeError: if it is no array
    :raises ValueError: if it is an array, but no picture
    """
    if not isinstance(drawn, np.ndarray) and not hasattr(drawn, "__array_interface__"):
        raise TypeError(f"render() answered {_kind(drawn)}, not a picture")
    array = np.asarray(drawn)
    if array.ndim == 2:
        array = array[:, :, None]
    if array.ndim != 3 or array.shape[2] not in (1, 3, 4) or 0 in array.shape:
        raise ValueError(f"render() answered an array of shape {np.shape(drawn)}, which no picture has")
    array = _as_bytes(array[:, :, :3])
    return array if array.shape[2] == 3 else np.repeat(array, 3, axis=2)


def _as_bytes(array: NDArray[Any]) -> NDArray[np.uint8]:
    if array.dtype == np.uint8:
        return array
    kind = array.dtype.kind
    low, high = (array.min(), array.max()) if kind in "iuf" else (0, 1)
    if kind == "b" or (kind == "f" and low >= 0 and high <= 1):
        return np.rint(array * 255.0).astype(np.uint8)
    if kind in "iu" and low >= 0 and high <= 255:
        return array.astype(np.uint8)
    span = f" from {low:.6g} to {high:.6g}" if kind in "iuf" else ""
    raise ValueError(
        f"render() answered an array of type {array.dtype}{span}, but a picture has bytes, or floats from 0 to 1"
    )


def _kind(drawn: Any) -> str:
    if drawn is None:
        return "None"
    name = type(drawn).__name__
    return f"an {name}" if name[0].lower() in "aeiou" else f"a {name}"
