from typing import Any

import numpy as np
import pytest

from sb3_ddpg_custom.wrappers.pictures import as_picture

RGB = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)


def test_a_picture_is_the_same_array() -> None:
    assert as_picture(RGB) is RGB or np.shares_memory(as_picture(RGB), RGB)
    np.testing.assert_array_equal(as_picture(RGB), [[[0, 1, 2], [3, 4, 5]], [[6, 7, 8], [9, 10, 11]]])


@pytest.mark.parametrize(
    ("drawn", "expected"),
    [
        (np.array([[0, 7]], np.uint8), [[[0, 0, 0], [7, 7, 7]]]),
        (np.array([[[5], [6]]], np.uint8), [[[5, 5, 5], [6, 6, 6]]]),
        (np.array([[[1, 2, 3, 4]]], np.uint8), [[[1, 2, 3]]]),
        (np.array([[[0, 128, 255]]], np.int32), [[[0, 128, 255]]]),
        (np.array([[[0.0, 0.5, 1.0]]], np.float32), [[[0, 128, 255]]]),
        (np.array([[True, False]]), [[[255] * 3, [0] * 3]]),
    ],
)
def test_what_is_a_picture(drawn: Any, expected: list[Any]) -> None:
    picture = as_picture(drawn)
    assert picture.dtype == np.uint8
    assert picture.tolist() == expected


@pytest.mark.parametrize(
    ("drawn", "message"),
    [
        (None, "answered None, not a picture"),
        ([RGB], "answered a list, not a picture"),
        (["text"], "answered a list, not a picture"),
        (3, "answered an int, not a picture"),
        (np.zeros((2, 2, 2), np.uint8), r"shape \(2, 2, 2\), which no picture has"),
        (np.zeros(3, np.uint8), r"shape \(3,\)"),
        (np.zeros((1, 2, 2, 3), np.uint8), r"shape \(1, 2, 2, 3\)"),
        (np.full((2, 2), 200.0), "type float64 from 200 to 200, but a picture has bytes, or floats from 0 to 1"),
        (np.full((2, 2), np.nan), "type float64 from nan to nan"),
        (np.full((2, 2), 256), "type int64 from 256 to 256"),
        (np.full((2, 2), "x"), "type <U1, but"),
    ],
)
def test_what_is_none(drawn: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError), match=message):
        as_picture(drawn)
