"""SB3's arrays of a replay buffer as attributes: views on its records, into which what is assigned is written."""

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_ddpg_custom.replay.observation_fields import Observations


class HasFields(Protocol):
    """A buffer whose fields are views of shape (rows, n_envs, *shape), fewer of them where fewer were assigned."""

    views: dict[str, Any]
    assigned_rows: dict[str, int]

    def assign(self, name: str, values: ArrayLike) -> None:
        """Write to a field."""
        ...


class BufferField:
    """Attribute of a buffer: one field, or, for Dict observations, a dict of them.

    :raises AttributeError: where the buffer has no such field, as one that saves memory has no next observations
    """

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    def __get__(self, buffer: HasFields | None, owner: type | None = None) -> Any:
        if buffer is None:
            return self
        try:
            views = buffer.views[self.name]
        except KeyError:
            raise AttributeError(f"this {type(buffer).__name__} has no {self.name}") from None
        rows = buffer.assigned_rows
        if rows and isinstance(views, dict):
            parts = {key: part[: rows.get(f"{self.name}:{key}")] for key, part in views.items()}
            return DictField(buffer, self.name, parts)
        return views[: rows.get(self.name)] if rows else views

    def __set__(self, buffer: HasFields, values: Any) -> None:
        if isinstance(self.__get__(buffer), dict):
            for key in values:
                buffer.assign(f"{self.name}:{key}", values[key])
        else:
            buffer.assign(self.name, values)


class DictField(dict[str, NDArray[Any]]):
    """The parts of Dict observations; what is assigned to one of them is written to the buffer.

    :param buffer: whose fields they are
    :param name: ``"observations"`` or ``"next_observations"``
    :param parts: by key, (rows, n_envs, *shape)
    """

    def __init__(self, buffer: HasFields, name: str, parts: Mapping[str, NDArray[Any]]) -> None:
        super().__init__(parts)
        self._buffer, self._name = buffer, name

    def __setitem__(self, key: str, values: ArrayLike) -> None:
        self._buffer.assign(f"{self._name}:{key}", values)

    def __reduce__(self) -> tuple[Any, ...]:
        return dict, (dict(self),)


def as_field(buffer: HasFields, name: str, views: Observations) -> Any:
    """Give what an attribute shows.

    :param buffer: whose field it is
    :param name: of the attribute
    :param views: one view, or a dict of them
    """
    return DictField(buffer, name, views) if isinstance(views, dict) else views


def checked(name: str, values: ArrayLike, view: NDArray[Any]) -> NDArray[Any]:
    """Read values that a field shall hold.

    :param name: of the field
    :param values: (rows, n_envs, *shape) with any number of rows
    :param view: what the field is now, (rows, n_envs, *shape)
    :raises ValueError: if they are of another shape or kind
    """
    array = np.asarray(values)
    if array.ndim != view.ndim or array.shape[1:] != view.shape[1:]:
        wanted = ", ".join(["rows", *map(str, view.shape[1:])])
        raise ValueError(f"{name} must have shape ({wanted}), got {array.shape}")
    if view.dtype == np.bool_:
        if not np.isin(array, (0, 1)).all():
            raise ValueError(f"{name} holds 0 and 1 only, got {array.min()} to {array.max()}")
        return array.astype(np.bool_)
    if not np.can_cast(array.dtype, view.dtype, "same_kind"):
        raise ValueError(f"{name} holds {view.dtype}, got {array.dtype}")
    return array
