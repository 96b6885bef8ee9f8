"""What goes on beside a model when its training does."""

import copy
from typing import Any, Protocol

import numpy as np


class HasState(Protocol):
    """Something beside the model that goes on with it, such as a callback."""

    def state(self) -> dict[str, Any]:
        """Copy it as plain data."""
        ...

    def restore(self, state: dict[str, Any]) -> str | None:
        """Put it back.

        :return: why that was not possible exactly, None if it was
        """
        ...


class PlainState:
    """The plain attributes of an object, such as the counters of a callback, as what goes on with a training.

    :param instance: numbers, text, arrays and lists of those are kept, all else stays as the object was built
    """

    def __init__(self, instance: object) -> None:
        self.instance = instance

    def state(self) -> dict[str, Any]:
        """Copy the attributes."""
        return {name: copy.copy(value) for name, value in vars(self.instance).items() if _is_plain(value)}

    def restore(self, state: dict[str, Any]) -> None:
        """Put them back.

        :param state: which :meth:`state` gave
        """
        vars(self.instance).update(state)


def _is_plain(value: Any) -> bool:
    if isinstance(value, str):
        return "/" not in value and "\\" not in value  # a path is of this process
    if isinstance(value, list):
        return all(map(_is_plain, value))
    if isinstance(value, np.ndarray | np.generic):
        return value.dtype.kind in "biufcSU"
    return value is None or isinstance(value, bool | int | float | str)
