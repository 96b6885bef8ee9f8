"""A program as an ONNX model, opset 17, for onnxruntime and whatever else reads ONNX."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.export.program import Program, Step

#: of the operators: the first with LayerNormalization; runtimes since 2022 have it
OPSET = 17
_IR_VERSION = 8  # of the file, the same age
METADATA = "sb3_ddpg_custom"  # the key of the metadata, as JSON


def write_onnx(program: Program, path: Path, metadata: dict[str, Any]) -> None:
    """Write an ONNX model whose batch dimension is free, and let ONNX's checker look at it.

    :param program: what the policy computes
    :param path: replaced whole or not at all
    :param metadata: plain data; goes into the model's metadata as JSON
    :raises ImportError: with the command that installs the package
    :raises OSError: if it cannot be written
    """
    try:
        import onnx
    except ImportError as error:
        raise ImportError(f'ONNX files need the package onnx ({error}): pip install "sb3-ddpg-custom[onnx]"') from error
    from onnx import helper

    graph = _Graph(program)
    for place, step in enumerate(program.steps):
        graph.write(place, step)
    graph.node("Identity", [program.output], "action")
    inputs = [
        helper.make_tensor_value_info(one.name, _kind(one.dtype), ["batch", *one.shape]) for one in program.inputs
    ]
    output = helper.make_tensor_value_info("action", _kind(program.action_dtype), ["batch", *program.action_shape])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "policy", inputs, [output], graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=_IR_VERSION,
        producer_name="sb3-ddpg-custom",
        doc_string="a deterministic policy: from raw observations to the environment's actions",
    )
    helper.set_model_props(model, {METADATA: json.dumps(metadata, allow_nan=False)})
    onnx.checker.check_model(model, full_check=True)
    with replacing(path) as file:
        file.write(model.SerializeToString())


class _Graph:
    """Nodes and constants as they are written."""

    def __init__(self, program: Program) -> None:
        self.action_shape = program.action_shape
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def constant(self, name: str, value: Any, dtype: Any = None) -> str:
        from onnx import numpy_helper

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(np.asarray(value, dtype)), name))
        return name

    def node(self, kind: str, reads: list[str], writes: str, **attributes: Any) -> str:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, reads, [writes], **attributes))
        return writes

    def write(self, place: int, step: Step) -> None:
        """Write the nodes of a step; names are unique by its place."""
        _WRITERS[step.op](self, f"{place}", step)

    def arrays(self, place: str, step: Step) -> list[str]:
        """Make constants of a step's arrays, in their order."""
        return [self.constant(f"{place}.{name}", array) for name, array in step.arrays.items()]


def _kind(dtype: np.dtype) -> int:
    from onnx import helper

    return int(helper.np_dtype_to_tensor_dtype(dtype))


Writer = Callable[[_Graph, str, Step], object]


def _plain(kind: str, **attributes: Any) -> Writer:
    """Write a step that is one operator on what it reads, and its arrays behind that."""
    return lambda graph, place, step: graph.node(
        kind, [*step.reads, *graph.arrays(place, step)], step.writes, **attributes
    )


def _with_options(kind: str, **names: str) -> Writer:
    """Write a step whose options are the operator's attributes, under these names."""
    return lambda graph, _, step: graph.node(
        kind, [*step.reads], step.writes, **{name: float(step.options[option]) for name, option in names.items()}
    )


def _normalize(graph: _Graph, place: str, step: Step) -> None:
    from onnx import TensorProto

    mean, deviation = graph.arrays(place, step)
    clip = step.options["clip"]
    low, high = (
        graph.constant(f"{place}.{side}", value, np.float64) for side, value in (("low", -clip), ("high", clip))
    )
    wide = graph.node("Cast", [step.reads[0]], f"{place}.wide", to=TensorProto.DOUBLE)
    centred = graph.node("Sub", [wide, mean], f"{place}.centred")
    scaled = graph.node("Div", [centred, deviation], f"{place}.scaled")
    clipped = graph.node("Clip", [scaled, low, high], f"{place}.clipped")
    graph.node("Cast", [clipped], step.writes, to=TensorProto.FLOAT)


def _to_float(graph: _Graph, place: str, step: Step) -> None:
    from onnx import TensorProto

    divisor = step.options["divisor"]
    cast = graph.node("Cast", [step.reads[0]], step.writes if divisor == 1 else f"{place}.cast", to=TensorProto.FLOAT)
    if divisor != 1:
        graph.node("Div", [cast, graph.constant(f"{place}.divisor", divisor, np.float32)], step.writes)


def _one_hot(graph: _Graph, place: str, step: Step) -> None:
    """Write a block for each number, of zeros and a one."""
    from onnx import TensorProto

    sizes = [int(size) for size in step.arrays["sizes"]]
    numbers = graph.node("Cast", [step.reads[0]], f"{place}.cast", to=TensorProto.INT64)
    rows = graph.constant(f"{place}.rows", [-1, len(sizes)], np.int64)
    numbers = graph.node("Reshape", [numbers, rows], f"{place}.numbers")
    values = graph.constant(f"{place}.values", [0, 1], np.float32)
    blocks = []
    for column, size in enumerate(sizes):
        own = f"{place}.{column}"
        at = graph.constant(f"{own}.at", [column], np.int64)
        one = graph.node("Gather", [numbers, at], f"{own}.one", axis=1)
        depth = graph.constant(f"{own}.depth", size, np.int64)
        hot = graph.node("OneHot", [one, depth, values], f"{own}.hot", axis=-1)
        blocks.append(graph.node("Flatten", [hot], f"{own}.block", axis=1))
    graph.node("Concat", blocks, step.writes, axis=1)


def _conv(graph: _Graph, place: str, step: Step) -> None:
    stride = int(step.options["stride"])
    graph.node("Conv", [step.reads[0], *graph.arrays(place, step)], step.writes, strides=[stride, stride])


def _layer_norm(graph: _Graph, place: str, step: Step) -> None:
    reads = [step.reads[0], *graph.arrays(place, step)]
    graph.node("LayerNormalization", reads, step.writes, axis=-1, epsilon=float(step.options["epsilon"]))


def _silu(graph: _Graph, place: str, step: Step) -> None:
    share = graph.node("Sigmoid", [step.reads[0]], f"{place}.share")
    graph.node("Mul", [step.reads[0], share], step.writes)


def _gelu(graph: _Graph, place: str, step: Step) -> None:
    """Write x (1 + erf(x / √2)) / 2; ONNX has the operator from opset 20 on."""
    (x,) = step.reads
    scaled = graph.node("Mul", [x, graph.constant(f"{place}.root", 0.5**0.5, np.float32)], f"{place}.scaled")
    error = graph.node("Erf", [scaled], f"{place}.erf")
    raised = graph.node("Add", [error, graph.constant(f"{place}.one", 1, np.float32)], f"{place}.raised")
    both = graph.node("Mul", [x, raised], f"{place}.both")
    graph.node("Mul", [both, graph.constant(f"{place}.half", 0.5, np.float32)], step.writes)


def _scale_action(graph: _Graph, place: str, step: Step) -> None:
    low, span = graph.arrays(place, step)
    kind = step.arrays["low"].dtype
    one, half = (graph.constant(f"{place}.{name}", value, np.float32) for name, value in (("one", 1), ("half", 0.5)))
    share = graph.node("Mul", [graph.node("Add", [step.reads[0], one], f"{place}.raised"), half], f"{place}.share")
    if kind != np.float32:
        share = graph.node("Cast", [share], f"{place}.wide", to=_kind(kind))
    moved = graph.node("Add", [graph.node("Mul", [share, span], f"{place}.spread"), low], f"{place}.moved")
    shape = graph.constant(f"{place}.shape", [-1, *graph.action_shape], np.int64)
    graph.node("Reshape", [moved, shape], step.writes)


def _round(graph: _Graph, place: str, step: Step) -> None:
    whole = np.dtype(f"{'i' if step.options['signed'] else 'u'}{int(step.options['bytes'])}")
    graph.node("Cast", [graph.node("Round", [step.reads[0]], f"{place}.near")], step.writes, to=_kind(whole))


_WRITERS: dict[str, Writer] = {
    "normalize": _normalize,
    "channels_first": _plain("Transpose", perm=[0, 3, 1, 2]),
    "to_float": _to_float,
    "one_hot": _one_hot,
    "flatten": _plain("Flatten", axis=1),
    "concat": _plain("Concat", axis=1),
    "add": _plain("Add"),
    "linear": _plain("Gemm", transB=1),
    "conv": _conv,
    "layer_norm": _layer_norm,
    "relu": _plain("Relu"),
    "tanh": _plain("Tanh"),
    "sigmoid": _plain("Sigmoid"),
    "silu": _silu,
    "gelu": _gelu,
    "leaky_relu": _with_options("LeakyRelu", alpha="slope"),
    "elu": _with_options("Elu", alpha="alpha"),
    "scale_action": _scale_action,
    "round": _round,
}
