"""Reading plain data out of a pickle without running anything in it.

A pickle is a program that imports and calls what it names. Here nothing that it names is looked up: in place of each
object stands an inert one, which only keeps its state. NumPy's arrays are rebuilt from the bytes that lie in the file.
"""

import io
import pickle
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

_NUMPY = ("numpy", "numpy.core.multiarray", "numpy._core.multiarray", "numpy.core.numeric", "numpy._core.numeric")
_NUMBERS = frozenset(("b1", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"))
_MOST_CLASSES = 1000  # each takes a kilobyte


class Inert:
    """Stands for an object of a class that nobody imports.

    :ivar origin: the class's module and name
    :ivar state: what the object was made of
    """

    origin: ClassVar[str] = ""

    def __new__(cls, *_: object, **__: object) -> "Inert":
        """Make one of whatever arguments the file has."""
        return object.__new__(cls)

    def __init__(self, *args: object, **_: object) -> None:
        self.state: Any = args

    def __setstate__(self, state: Any) -> None:
        self.state = state


def read_pickle(content: bytes) -> Any:
    """Read a pickle: dictionaries, lists, numbers, text, NumPy arrays, and :class:`Inert` for everything else.

    :param content: of the file
    :raises pickle.UnpicklingError: if it holds something that data does not need
    :raises Exception: whatever else comes of bytes that somebody has made up
    """
    loaded = _Unpickler(io.BytesIO(content)).load()
    return _plain(loaded, {})


class _Array:
    """An array whose type, shape and bytes come one after the other."""

    def __init__(self, dtype: Any = None, shape: Any = (), order: str = "C", data: Any = b"") -> None:
        self.parts = dtype, shape, order, data

    def __setstate__(self, state: Any) -> None:
        _, shape, dtype, is_fortran, data = state
        self.parts = dtype, shape, "F" if is_fortran else "C", data

    def value(self) -> NDArray[Any]:
        dtype, shape, order, data = self.parts
        if not isinstance(dtype, _DType) or not isinstance(shape, tuple) or order not in ("C", "F"):
            raise pickle.UnpicklingError("an array that is none")
        if not isinstance(data, bytes | bytearray):
            raise pickle.UnpicklingError("an array without bytes")
        values = np.frombuffer(bytes(data), dtype.value())
        return values.reshape(shape, order="F" if order == "F" else "C").copy()


class _DType:
    """A NumPy type, by its name and its byte order."""

    def __init__(self, name: Any = "", *_: object) -> None:
        self.name, self.byte_order = name, "="

    def __setstate__(self, state: Any) -> None:
        self.byte_order = state[1]

    def value(self) -> np.dtype[Any]:
        if self.name not in _NUMBERS or self.byte_order not in ("<", ">", "=", "|"):
            raise pickle.UnpicklingError(f"an array of {str(self.name)[:20]!r}")
        return np.dtype(f"{self.byte_order}{self.name}")


def _reconstruct(*_: object) -> _Array:
    return _Array()


def _scalar(dtype: Any, data: Any) -> _Array:
    return _Array(dtype, (), "C", data)


def _from_buffer(data: Any, dtype: Any, shape: Any, order: Any = "C") -> _Array:
    return _Array(dtype, shape, order, data)


def _latin_1(text: Any, *_: object) -> bytes:
    """Give the bytes that protocols below 3 write as text."""
    return str(text).encode("latin-1")


_REBUILT: dict[tuple[str, str], Any] = {("_codecs", "encode"): _latin_1} | {
    (module, name): rebuild
    for module in _NUMPY
    for name, rebuild in {
        "_reconstruct": _reconstruct,
        "scalar": _scalar,
        "_frombuffer": _from_buffer,
        "dtype": _DType,
    }.items()
}


_InPython: Any = pickle._Unpickler  # whose memory, unlike the faster one's, is bounded by the file's size


class _Unpickler(_InPython):  # type: ignore[misc]  # Any: typeshed does not know its stack
    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file)
        self._classes: dict[str, type[Inert]] = {}

    def find_class(self, module: str, name: str) -> Any:
        """Give an inert class, or our own way to rebuild bytes and NumPy's arrays."""
        if (module, name) in _REBUILT:
            return _REBUILT[module, name]
        origin = f"{module}.{name}"
        if origin not in self._classes:
            if len(self._classes) == _MOST_CLASSES:
                raise pickle.UnpicklingError("more classes than data needs")
            self._classes[origin] = type("Inert", (Inert,), {"origin": origin})
        return self._classes[origin]

    def load_setitems(self) -> None:
        """Fill a dictionary; only text may be a key, for the hash of made-up nested tuples takes forever."""
        items = self.pop_mark()
        target = self.stack[-1]
        for key, value in zip(items[::2], items[1::2], strict=True):
            _set(target, key, value)

    def load_setitem(self) -> None:
        """Fill one place of a dictionary."""
        value, key = self.stack.pop(), self.stack.pop()
        _set(self.stack[-1], key, value)

    def load_bytearray8(self) -> None:
        """Read bytes, as many as there are: Python would first take the memory that the file asks for."""
        length = int.from_bytes(self.read(8), "little")
        self.append(bytearray(self.read(length)))

    dispatch: ClassVar[dict[int, Callable[..., None]]] = {
        code: load
        for code, load in _InPython.dispatch.items()
        if bytes([code]) not in (pickle.DICT, pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET)
    } | {
        pickle.SETITEMS[0]: load_setitems,
        pickle.SETITEM[0]: load_setitem,
        pickle.BYTEARRAY8[0]: load_bytearray8,
    }


def _set(target: Any, key: Any, value: Any) -> None:
    if isinstance(target, Inert):
        return  # a subclass of dict
    if not isinstance(target, dict) or not isinstance(key, str):
        raise pickle.UnpicklingError("a dictionary whose keys are no text")
    target[key] = value


def _plain(value: Any, done: dict[int, Any]) -> Any:
    """Finish the arrays in dictionaries and in the states of inert objects, each once however often it is named."""
    if id(value) in done:
        return done[id(value)]
    if isinstance(value, _Array):
        done[id(value)] = value.value()
    elif isinstance(value, dict):
        finished: dict[str, Any] = {}
        done[id(value)] = finished
        finished.update((key, _plain(item, done)) for key, item in value.items())
    elif isinstance(value, Inert):
        done[id(value)] = value
        value.state = _plain(value.state, done)
    else:
        return value
    return done[id(value)]
