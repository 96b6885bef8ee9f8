"""Play an exported policy with nothing but NumPy: copy this one file to where there is no torch.

    policy = Policy("policy.npz")
    action = policy(observation)

A file holds arrays and a list of known operations; nothing in it is run. All memory is taken when it is opened: a step
allocates no array, and gives the same one each time, which the next step overwrites. One thread at a time.
"""

import json
import math
import zipfile
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

FORMAT = "sb3-ddpg-custom policy 1"
PROGRAM = "program"  # the array that holds everything but arrays, as JSON
_MOST_BYTES = 2**31  # of a file
_MOST_NUMBERS = 2**24  # in an array that a step writes
_MOST_STEPS = 256

Array = NDArray[Any]
Call = Callable[[], object]


class PolicyFileError(ValueError):
    """The file is no exported policy, or not a whole one; the message says what is wrong."""


class Policy:
    """An exported policy.

    :param path: a ``.npz`` that ``ddpg export`` or ``export_policy`` wrote
    :raises PolicyFileError: if it is something else
    """

    #: what the file says of itself: spaces, environment, seed, versions, licence, mean return
    metadata: dict[str, Any]

    def __init__(self, path: Any) -> None:
        try:
            with zipfile.ZipFile(path) as archive:
                parts = archive.infolist()
                if sum(part.file_size for part in parts) > _MOST_BYTES or any(part.compress_type for part in parts):
                    raise PolicyFileError(f"{path} is larger than policies are, or compressed")
            with np.load(path, allow_pickle=False) as archive:
                arrays = {name: archive[name] for name in archive.files}
            document = json.loads(bytes(arrays.pop(PROGRAM)).decode())
            if document["format"] != FORMAT:
                raise PolicyFileError(
                    f"{path} has the format {str(document['format'])[:50]!r}, and this reads {FORMAT!r}"
                )
            self.metadata = dict(document["metadata"])
            self._build(document, arrays)
        except FileNotFoundError as error:
            raise PolicyFileError(f"there is no file {path}") from error
        except PolicyFileError:
            raise
        except Exception as error:  # anything may come of bytes that somebody has made up
            raise PolicyFileError(
                f"{path} is no exported policy, or is damaged ({type(error).__name__}: {str(error)[:200]})"
            ) from error

    def _build(self, document: dict[str, Any], arrays: Mapping[str, Array]) -> None:
        """Take the memory of all steps, and bind each step to it."""
        self.inputs = {one["name"]: _memory(tuple(one["shape"]), one["dtype"]) for one in document["inputs"]}
        values: dict[str, Array] = {name: memory[None] for name, memory in self.inputs.items()}
        self._calls: list[Call] = []
        if len(document["steps"]) > _MOST_STEPS:
            raise ValueError(f"it has {len(document['steps'])} steps")
        for place, step in enumerate(document["steps"]):
            own = {name: arrays[f"{place}.{name}"] for name in step["arrays"]}
            make = _OPERATIONS[step["op"]]
            written, *calls = make([values[name] for name in step["reads"]], own, step["options"])
            if not isinstance(written, np.ndarray):
                raise TypeError(step["op"])
            values[step["writes"]] = written
            self._calls += calls
        #: of one observation, by name
        self.shapes = {name: memory.shape for name, memory in self.inputs.items()}
        self.action_shape = tuple(document["action_shape"])
        self._action = values[step["writes"]].reshape(self.action_shape)
        if not np.shares_memory(self._action, values[step["writes"]]):
            raise ValueError("its action has another shape than its last step")
        with np.errstate(all="ignore"):  # on zeros: what does not fit together fails here, not at the first step
            for call in self._calls:
                call()

    def __call__(self, observation: Any) -> Array:
        """Choose the action.

        :param observation: as the environment gives it, an array of the space's shape; for a Dict a dict of them
        :return: in the environment's units, shape and type; the next call overwrites it
        :raises ValueError: if the observation does not fit
        """
        if isinstance(observation, Mapping):
            for name, memory in self.inputs.items():
                if name not in observation:
                    raise ValueError(f"the observation lacks {name!r}; it needs {', '.join(self.inputs)}")
                _take(name, observation[name], memory)
        else:
            if len(self.inputs) != 1:
                raise ValueError(f"the observation is no dict; it needs {', '.join(self.inputs)}")
            for name, memory in self.inputs.items():
                _take(name, observation, memory)
        # BLAS computes on what lies beside narrow matrices, too, and would warn where that is NaN.
        with np.errstate(invalid="ignore"):
            for call in self._calls:
                call()
        return self._action

    def predict(self, observation: Any, state: Any = None, **_: Any) -> tuple[Array, Any]:
        """Choose actions for a batch, as Stable-Baselines3's ``predict`` does.

        :param observation: (n, *shape), or a dict of such
        :param state: given back as it is
        :return: (n, *action shape), a new array, and the state
        """
        if isinstance(observation, Mapping):
            number = len(next(iter(observation.values())))
            rows = [{name: part[row] for name, part in observation.items()} for row in range(number)]
        else:
            rows = list(observation)
        return np.array([self(row).copy() for row in rows]), state


def _take(name: str, given: Any, memory: Array) -> None:
    given = np.asarray(given)
    if given.shape != memory.shape:
        raise ValueError(f"{name} has the shape {given.shape}, and the policy was trained on {memory.shape}")
    np.copyto(memory, given, casting="unsafe")


def _memory(shape: tuple[int, ...], dtype: Any = np.float32) -> Array:
    kind = np.dtype(dtype)
    if kind.kind not in "biuf" or math.prod(shape) > _MOST_NUMBERS:
        raise ValueError(f"an array of shape {shape} and type {kind}")
    return np.zeros(shape, kind)


# Each makes the memory that a step writes, and the calls that write it. Values have a batch of one as their first axis.


def _normalize(reads: list[Array], arrays: dict[str, Array], options: dict[str, float]) -> tuple[Any, ...]:
    wide, narrow, clip = _memory(reads[0].shape, np.float64), _memory(reads[0].shape), float(options["clip"])
    mean, deviation = arrays["mean"][None], arrays["deviation"][None]
    return (
        narrow,
        # Copied first: an operation on two types would take memory to convert one of them.
        lambda: np.copyto(wide, reads[0]),
        lambda: np.subtract(wide, mean, out=wide),
        lambda: np.divide(wide, deviation, out=wide),
        lambda: np.minimum(np.maximum(wide, -clip, out=wide), clip, out=wide),
        lambda: np.copyto(narrow, wide, casting="unsafe"),
    )


def _channels_first(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    return (np.moveaxis(reads[0], -1, 1),)


def _to_float(reads: list[Array], _: Any, options: dict[str, float]) -> tuple[Any, ...]:
    out, divisor = _memory(reads[0].shape), np.float32(options["divisor"])
    if divisor == 1:
        return out, lambda: np.copyto(out, reads[0], casting="unsafe")
    return out, lambda: np.copyto(out, reads[0], casting="unsafe"), lambda: np.divide(out, divisor, out=out)


def _one_hot(reads: list[Array], arrays: dict[str, Array], _: Any) -> tuple[Any, ...]:
    sizes = [int(size) for size in arrays["sizes"]]
    out, chosen = _memory((1, sum(sizes))), reads[0].reshape(-1)
    begins = [sum(sizes[:place]) for place in range(len(sizes))]

    def write() -> None:
        out.fill(0)
        for place, (begin, size) in enumerate(zip(begins, sizes, strict=True)):
            number = int(chosen[place])
            if not 0 <= number < size:
                raise ValueError(f"the observation holds {number}, and whole numbers below {size} are what it may hold")
            out[0, begin + number] = 1

    return out, write


def _flatten(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    if reads[0].flags.c_contiguous:
        return (reads[0].reshape(1, -1),)
    out = _memory(reads[0].shape, reads[0].dtype)
    return out.reshape(1, -1), lambda: np.copyto(out, reads[0])


def _concat(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    out = _memory((1, sum(part.shape[1] for part in reads)))
    return out, lambda: np.concatenate(reads, axis=1, out=out)


def _add(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    out = _memory(reads[0].shape)
    return out, lambda: np.add(reads[0], reads[1], out=out)


def _linear(reads: list[Array], arrays: dict[str, Array], _: Any) -> tuple[Any, ...]:
    weight_t, bias = np.ascontiguousarray(arrays["weight"].T), arrays["bias"]
    out = _memory((1, weight_t.shape[1]))
    return out, lambda: np.dot(reads[0], weight_t, out=out), lambda: np.add(out, bias, out=out)


def _conv(reads: list[Array], arrays: dict[str, Array], options: dict[str, float]) -> tuple[Any, ...]:
    weight, bias, stride = arrays["weight"], arrays["bias"], int(options["stride"])
    source = reads[0]
    outputs, channels, tall, wide = weight.shape
    if channels != source.shape[1] or stride < 1:
        raise ValueError(f"a convolution of {channels} channels on {source.shape[1]}")
    rows, columns = (source.shape[2] - tall) // stride + 1, (source.shape[3] - wide) // stride + 1
    if min(rows, columns) < 1:
        raise ValueError("a convolution larger than its picture")
    # What each output sees, as a view of the same memory: (channels, tall, wide, rows, columns).
    _, by_channel, by_row, by_column = source.strides
    seen = as_strided(
        source,
        (channels, tall, wide, rows, columns),
        (by_channel, by_row, by_column, stride * by_row, stride * by_column),
        writeable=False,
    )
    patches = _memory(seen.shape)
    out = _memory((outputs, rows * columns))
    kernel, table, shift = weight.reshape(outputs, -1), patches.reshape(-1, rows * columns), bias[:, None]
    return (
        out.reshape(1, outputs, rows, columns),
        lambda: np.copyto(patches, seen),
        lambda: np.dot(kernel, table, out=out),
        lambda: np.add(out, shift, out=out),
    )


def _layer_norm(reads: list[Array], arrays: dict[str, Array], options: dict[str, float]) -> tuple[Any, ...]:
    out, square = _memory(reads[0].shape), _memory(reads[0].shape)
    middle, epsilon = _memory((1, 1)), np.float32(options["epsilon"])
    weight, bias = arrays["weight"], arrays["bias"]
    return (
        out,
        lambda: np.mean(reads[0], axis=1, keepdims=True, out=middle),
        lambda: np.subtract(reads[0], middle, out=out),
        lambda: np.square(out, out=square),
        lambda: np.mean(square, axis=1, keepdims=True, out=middle),
        lambda: np.sqrt(np.add(middle, epsilon, out=middle), out=middle),
        lambda: np.divide(out, middle, out=out),
        lambda: np.add(np.multiply(out, weight, out=out), bias, out=out),
    )


def _relu(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    out, zero = _memory(reads[0].shape), np.float32(0)
    return out, lambda: np.maximum(reads[0], zero, out=out)


def _tanh(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    out = _memory(reads[0].shape)
    return out, lambda: np.tanh(reads[0], out=out)


def _sigmoid(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    # 1 / (1 + exp(-x)) = (1 + tanh(x / 2)) / 2, which does not overflow
    out, half, one = _memory(reads[0].shape), np.float32(0.5), np.float32(1)
    return (
        out,
        lambda: np.tanh(np.multiply(reads[0], half, out=out), out=out),
        lambda: np.multiply(np.add(out, one, out=out), half, out=out),
    )


def _silu(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    out, *calls = _sigmoid(reads)
    return (out, *calls, lambda: np.multiply(out, reads[0], out=out))


def _gelu(reads: list[Array], *_: Any) -> tuple[Any, ...]:
    """Write x Φ(x); NumPy has no error function."""
    out, source = _memory(reads[0].shape), reads[0].reshape(-1)
    row, root = out.reshape(-1), math.sqrt(0.5)

    def write() -> None:
        for place, x in enumerate(source):
            row[place] = 0.5 * x * (1 + math.erf(x * root))

    return out, write


def _leaky_relu(reads: list[Array], _: Any, options: dict[str, float]) -> tuple[Any, ...]:
    out, low = _memory(reads[0].shape), _memory(reads[0].shape)
    zero, slope = np.float32(0), np.float32(options["slope"])
    return (
        out,
        lambda: np.multiply(np.minimum(reads[0], zero, out=low), slope, out=low),
        lambda: np.add(np.maximum(reads[0], zero, out=out), low, out=out),
    )


def _elu(reads: list[Array], _: Any, options: dict[str, float]) -> tuple[Any, ...]:
    out, low = _memory(reads[0].shape), _memory(reads[0].shape)
    zero, alpha = np.float32(0), np.float32(options["alpha"])
    return (
        out,
        lambda: np.multiply(np.expm1(np.minimum(reads[0], zero, out=low), out=low), alpha, out=low),
        lambda: np.add(np.maximum(reads[0], zero, out=out), low, out=out),
    )


def _scale_action(reads: list[Array], arrays: dict[str, Array], _: Any) -> tuple[Any, ...]:
    low, span = arrays["low"], arrays["span"]
    share = _memory(reads[0].shape)
    out = _memory(reads[0].shape, low.dtype)
    one, half = np.float32(1), np.float32(0.5)
    return (
        out,
        lambda: np.multiply(np.add(reads[0], one, out=share), half, out=share),
        lambda: np.copyto(out, share),
        lambda: np.add(np.multiply(out, span, out=out), low, out=out),
    )


def _round(reads: list[Array], _: Any, options: dict[str, float]) -> tuple[Any, ...]:
    near = _memory(reads[0].shape, reads[0].dtype)
    out = _memory(reads[0].shape, f"{'i' if options['signed'] else 'u'}{int(options['bytes'])}")
    return out, lambda: np.rint(reads[0], out=near), lambda: np.copyto(out, near, casting="unsafe")


_OPERATIONS: dict[str, Callable[..., tuple[Any, ...]]] = {
    "normalize": _normalize,
    "channels_first": _channels_first,
    "to_float": _to_float,
    "one_hot": _one_hot,
    "flatten": _flatten,
    "concat": _concat,
    "add": _add,
    "linear": _linear,
    "conv": _conv,
    "layer_norm": _layer_norm,
    "relu": _relu,
    "tanh": _tanh,
    "sigmoid": _sigmoid,
    "silu": _silu,
    "gelu": _gelu,
    "leaky_relu": _leaky_relu,
    "elu": _elu,
    "scale_action": _scale_action,
    "round": _round,
}
