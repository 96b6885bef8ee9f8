"""Experience as records: one contiguous row of bytes per transition, one named field per part.

Writing a transition is one row; a batch is one gather of rows, whose fields are strided views on it.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike, NDArray


class Field(NamedTuple):
    """What one part of a transition looks like.

    :param dtype: its NumPy type
    :param shape: its shape, () for a number
    """

    dtype: DTypeLike
    shape: tuple[int, ...]


def record_dtype(fields: Mapping[str, Field]) -> np.dtype[np.void]:
    """Lay the fields into one row so that each is aligned and little is wasted.

    Wide types come first: then only the row's end needs padding. (Torch wants each stride to be a
    multiple of the item's size, and the processor likes it.)

    :param fields: the parts by name, in the order in which the reader of the type wants to see them
    :return: a structured type with these fields
    """
    wide_first = sorted(fields, key=lambda name: -np.dtype(fields[name].dtype).itemsize)
    return np.dtype([(name, *fields[name]) for name in wide_first], align=True)


class Records:
    """A fixed number of rows that are written in any order and gathered in any order.

    Memory is taken from the system only as rows are first written.

    >>> rows = Records(capacity=4, fields={"s": Field(np.float32, (3,)), "r": Field(np.float32, ())})
    >>> rows["r"][2] = 7.0
    >>> rows.gather(np.array([2, 2, 0]))["r"]
    array([7., 7., 0.], dtype=float32)

    :param capacity: number of rows
    :param fields: the parts of a transition by name
    """

    def __init__(self, capacity: int, fields: Mapping[str, Field]) -> None:
        self.fields = dict(fields)
        self._rows: NDArray[np.void] = np.zeros(capacity, dtype=record_dtype(fields))
        self._raw: NDArray[np.void] = self._rows.view(f"V{self.row_bytes}")
        self._matrices: dict[tuple[str, ...], tuple[NDArray[Any], ...]] = {}

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """View of one field in all rows, (capacity, *shape)."""
        return self._rows[name]

    def matrices(self, *names: str) -> tuple[NDArray[Any], ...]:
        """View fields as one row of numbers for each transition, (capacity, numbers), a field of one as (capacity,).

        :param names: of the fields
        """
        if names not in self._matrices:  # made once: who asks, asks at every update
            views = (self._rows[name] for name in names)
            self._matrices[names] = tuple(view if view.ndim == 1 else view.reshape(len(view), -1) for view in views)
        return self._matrices[names]

    @property
    def row_bytes(self) -> int:
        """Bytes that one transition takes."""
        return self._rows.dtype.itemsize

    @property
    def nbytes(self) -> int:
        """Bytes that all rows take."""
        return self._rows.nbytes

    @property
    def raw(self) -> NDArray[np.void]:
        """All rows as plain bytes, (capacity,): NumPy copies rows whole where it knows no fields in them."""
        return self._raw

    @property
    def rows(self) -> NDArray[np.void]:
        """All rows, structured, (capacity,): not a copy."""
        return self._rows

    def gather(self, indices: NDArray[np.integer], out: NDArray[np.void] | None = None) -> NDArray[np.void]:
        """Copy rows.

        :param indices: row numbers, (batch,), each of them below the capacity
        :param out: where to, rows of this type, (batch,); None for memory of its own
        :return: structured array (batch,): ``[name]`` is a strided view of one field, (batch, *shape)
        """
        if out is None:
            return self.raw.take(indices).view(self._rows.dtype)
        # NumPy checks the bounds by way of a second buffer.
        self.raw.take(indices, out=out.view(self.raw.dtype), mode="clip")
        return out
