"""Nested plain data with arrays and tensors in it, as JSON and npz: exact to the last bit, and nothing that can run."""

import io
import json
import zipfile
from collections import deque
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np
import torch as th
from numpy.typing import NDArray

_TREE = "tree.json"
_MOST_DEPTH = 40
_KINDS = "biufcSU?"


def write_tree(tree: Any, file: BinaryIO) -> None:
    """Write nested data.

    :param tree: dicts, lists, tuples, deques, numbers, text, None, NumPy arrays and numbers, tensors
    :param file: to write to; gets a zip of one JSON text and one ``.npy`` per array
    :raises TypeError: if there is anything else in it; it names where
    """
    arrays: dict[str, NDArray[Any]] = {}
    text = json.dumps(_encoded(tree, arrays, "it"))
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(_TREE, text)
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_tree(content: bytes) -> Any:
    """Read what :func:`write_tree` wrote.

    :param content: of the file, whose origin has been checked: what it unpacks to is as large as it is
    :raises ValueError: if it is something else
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            if any(part.compress_type != zipfile.ZIP_STORED for part in archive.infolist()):
                raise ValueError("a part is compressed, which none should be")
            tree = json.loads(archive.read(_TREE))
            arrays = {}
            for name in archive.namelist():
                if name != _TREE:
                    arrays[name.removesuffix(".npy")] = _read_array(archive.read(name))
        return _decoded(tree, arrays, 0)
    except (zipfile.BadZipFile, KeyError, TypeError, EOFError, RuntimeError, RecursionError, OverflowError) as error:
        raise ValueError(f"it is damaged ({type(error).__name__}: {error})") from error


def _read_array(content: bytes) -> NDArray[Any]:
    stream = io.BytesIO(content)
    version = np.lib.format.read_magic(stream)
    if version != (1, 0):
        raise ValueError("an array has an unknown format")
    shape, fortran_order, dtype = np.lib.format.read_array_header_1_0(stream)
    if dtype.kind not in _KINDS or dtype.hasobject:
        raise ValueError(f"an array holds {dtype}, which is no number")
    count = 1
    for size in shape:
        count *= size
    rest = content[stream.tell() :]
    if count * dtype.itemsize != len(rest):  # before any memory is taken for it
        raise ValueError(f"an array of shape {shape} announces more or less than its {len(rest)} bytes")
    flat = np.frombuffer(rest, dtype).copy()
    return flat.reshape(shape, order="F" if fortran_order else "C")


def _encoded(value: Any, arrays: dict[str, NDArray[Any]], where: str) -> Any:
    if isinstance(value, np.generic):  # before Python's, of which some are subclasses
        return {"$": "number", "name": _stored(np.asarray(value), arrays)}
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, np.ndarray):
        if value.dtype.kind not in _KINDS:
            raise TypeError(f"{where} is an array of {value.dtype}, which cannot be stored without pickling")
        return {"$": "array", "name": _stored(value, arrays)}
    if isinstance(value, th.Tensor):
        plain = value.detach().cpu()
        dtype = str(plain.dtype).removeprefix("torch.")
        if plain.dtype is th.bfloat16:  # NumPy knows it not
            plain = plain.view(th.int16)
        return {"$": "tensor", "name": _stored(plain.numpy(), arrays), "dtype": dtype}
    if isinstance(value, dict):
        pairs = [
            [_encoded(key, arrays, where), _encoded(part, arrays, f"{where}[{key!r}]")] for key, part in value.items()
        ]
        if all(isinstance(key, str) for key in value) and "$" not in value:
            return {key: part for key, part in pairs}  # noqa: C416 (pairs are lists)
        return {"$": "dict", "items": pairs}
    if isinstance(value, list | tuple | deque):
        parts = [_encoded(part, arrays, f"{where}[{place}]") for place, part in enumerate(value)]
        if isinstance(value, list):
            return parts
        return (
            {"$": "deque", "items": parts, "maxlen": value.maxlen}
            if isinstance(value, deque)
            else {
                "$": "tuple",
                "items": parts,
            }
        )
    raise TypeError(f"{where} is a {type(value).__name__}, which cannot be stored without pickling")


def _stored(array: NDArray[Any], arrays: dict[str, NDArray[Any]]) -> str:
    name = f"a{len(arrays)}"
    arrays[name] = np.array(array, order="C", copy=True)
    return name


def _decoded(value: Any, arrays: Mapping[str, NDArray[Any]], depth: int) -> Any:
    if depth > _MOST_DEPTH:
        raise ValueError("it is nested too deep")
    if isinstance(value, list):
        return [_decoded(part, arrays, depth + 1) for part in value]
    if not isinstance(value, dict):
        return value
    match value.get("$"):
        case None:
            return {key: _decoded(part, arrays, depth + 1) for key, part in value.items()}
        case "number":
            return arrays[value["name"]][()]
        case "array":
            return arrays[value["name"]]
        case "tensor":
            return _tensor(arrays[value["name"]], value["dtype"])
        case "dict":
            return {_decoded(key, arrays, depth + 1): _decoded(part, arrays, depth + 1) for key, part in value["items"]}
        case "tuple":
            return tuple(_decoded(part, arrays, depth + 1) for part in value["items"])
        case "deque":
            return deque((_decoded(part, arrays, depth + 1) for part in value["items"]), value["maxlen"])
    raise ValueError(f"it holds a {str(value['$'])[:20]!r}, which is unknown")


def _tensor(array: NDArray[Any], dtype: str) -> th.Tensor:
    tensor = th.from_numpy(array)
    return tensor.view(th.bfloat16) if dtype == "bfloat16" else tensor
