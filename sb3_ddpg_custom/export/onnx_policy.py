"""Play an exported ONNX model with onnxruntime."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.export.onnx_file import METADATA
from sb3_ddpg_custom.export.player import PolicyFileError

_MOST_BYTES = 2**31
_MOST_DEPTH = 2**16  # of a one-hot block
# What write_onnx writes: none of them reads files, loops, or grows what it gets without end.
_OPERATORS = frozenset(
    {
        *("Identity", "Cast", "Sub", "Div", "Clip", "Transpose", "Reshape", "Gather", "OneHot", "Flatten", "Concat"),
        *("Add", "Mul", "Gemm", "Conv", "LayerNormalization", "Round", "Erf"),
        *("Relu", "Tanh", "Sigmoid", "LeakyRelu", "Elu"),
    }
)


class OnnxPolicy:
    """An exported policy, for batches.

    Operators that no export writes, and weights outside of the file, are refused before onnxruntime opens it.

    :param path: an ``.onnx`` that ``ddpg export`` or ``export_policy`` wrote
    :raises PolicyFileError: if it is something else
    :raises ImportError: with the command that installs what is missing
    """

    def __init__(self, path: Path) -> None:
        try:
            import onnx
            import onnxruntime
        except ImportError as error:
            raise ImportError(
                f'ONNX files need onnx and onnxruntime ({error}): pip install "sb3-ddpg-custom[onnx]"'
            ) from error
        try:
            if path.stat().st_size > _MOST_BYTES:
                raise PolicyFileError(f"{path} is larger than policies are")
            content = path.read_bytes()
            _check(onnx.load_model_from_string(content), onnx)
            options = onnxruntime.SessionOptions()
            options.intra_op_num_threads = 1
            options.log_severity_level = 4
            self._session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
            self.metadata: dict[str, Any] = dict(
                json.loads(self._session.get_modelmeta().custom_metadata_map.get(METADATA, "{}"))
            )
            #: names of the inputs, and the shape of one observation
            self.action_shape = tuple(self._session.get_outputs()[0].shape[1:])
            self.shapes = {one.name: tuple(one.shape[1:]) for one in self._session.get_inputs()}
        except PolicyFileError as error:
            raise PolicyFileError(f"{path} is no exported policy: {error}") from error
        except OSError as error:
            raise PolicyFileError(f"{path} cannot be read ({error.strerror or error})") from error
        except Exception as error:  # anything may come of bytes that somebody has made up
            why = " ".join(str(error).split())[:200]
            raise PolicyFileError(
                f"{path} is no exported policy, or is damaged ({type(error).__name__}: {why})"
            ) from error

    def predict(self, observation: Any, state: Any = None, **_: Any) -> tuple[NDArray[Any], Any]:
        """Choose actions for a batch, as Stable-Baselines3's ``predict`` does.

        :param observation: (n, *shape), or a dict of such
        :param state: given back as it is
        :return: (n, *action shape), and the state
        """
        parts = observation if isinstance(observation, Mapping) else {next(iter(self.shapes)): observation}
        actions: NDArray[Any] = self._session.run(None, {name: np.asarray(part) for name, part in parts.items()})[0]
        return actions, state


def _check(model: Any, onnx: Any) -> None:
    """Refuse what a policy does not need."""
    if model.functions or any(one.domain not in ("", "ai.onnx") for one in model.opset_import):
        raise PolicyFileError("it brings operators of its own")
    constants = {}
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise PolicyFileError("its weights lie outside of it")
        constants[tensor.name] = tensor
    for node in model.graph.node:
        if node.op_type not in _OPERATORS or node.domain not in ("", "ai.onnx"):
            raise PolicyFileError(f"it holds the operator {str(node.op_type)[:40]!r}, which no export writes")
        if node.op_type == "OneHot":
            depth = constants.get(node.input[1])
            if depth is None or onnx.numpy_helper.to_array(depth).max() > _MOST_DEPTH:
                raise PolicyFileError("it holds blocks larger than any that are exported")
