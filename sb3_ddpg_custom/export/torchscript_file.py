"""A program as TorchScript, for programs in C++ and others that load it with libtorch."""

import io
import json
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch as th
from torch import nn
from torch.nn import functional

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.export.program import Program, Step

METADATA = "metadata.json"  # the extra file in it


def write_torchscript(program: Program, path: Path, metadata: dict[str, Any]) -> None:
    """Write a TorchScript module; its arguments are the observation, or a Dict's parts in order.

    :param program: what the policy computes
    :param path: replaced whole or not at all
    :param metadata: plain data; goes into the file ``metadata.json`` within
    :raises OSError: if it cannot be written
    """
    module = ProgramModule(program).eval()
    # A batch of two, so that nothing is folded for one.
    examples = tuple(_example(one.shape, one.dtype) for one in program.inputs)
    content = io.BytesIO()
    with warnings.catch_warnings(), th.no_grad():
        warnings.simplefilter("ignore")  # torch prefers torch.export, which libtorch before 2.5 cannot read
        trace: Any = th.jit.trace  # without types
        traced = trace(module, examples, check_trace=False)
        th.jit.save(traced, content, _extra_files={METADATA: json.dumps(metadata, allow_nan=False)})
    with replacing(path) as file:
        file.write(content.getvalue())


def _example(shape: tuple[int, ...], dtype: np.dtype) -> th.Tensor:
    return th.from_numpy(np.zeros((2, *shape), dtype))


class ProgramModule(nn.Module):
    """A program, computed by torch.

    :param program: what to compute
    """

    def __init__(self, program: Program) -> None:
        super().__init__()
        self._program = program
        for place, step in enumerate(program.steps):
            for name, array in step.arrays.items():
                self.register_buffer(f"{name}_{place}", th.from_numpy(np.array(array)))

    def forward(self, *observations: th.Tensor) -> th.Tensor:
        """Compute the actions.

        :param observations: (batch, *shape) for each input
        :return: (batch, *action shape)
        """
        values = {one.name: given for one, given in zip(self._program.inputs, observations, strict=True)}
        for place, step in enumerate(self._program.steps):
            own = {name: self.get_buffer(f"{name}_{place}") for name in step.arrays}
            values[step.writes] = self._compute(step, [values[name] for name in step.reads], own)
        return values[self._program.output]

    def _compute(self, step: Step, reads: list[th.Tensor], own: dict[str, th.Tensor]) -> th.Tensor:
        x, options = reads[0], step.options
        match step.op:
            case "normalize":
                scaled = (x.double() - own["mean"]) / own["deviation"]
                return scaled.clamp(-options["clip"], options["clip"]).float()
            case "channels_first":
                return x.movedim(-1, 1)
            case "to_float":
                return x.float() if options["divisor"] == 1 else x.float() / options["divisor"]
            case "one_hot":
                sizes = [int(size) for size in step.arrays["sizes"]]
                numbers = x.long().reshape(-1, len(sizes))
                return th.cat([functional.one_hot(numbers[:, i], n) for i, n in enumerate(sizes)], dim=1).float()
            case "flatten":
                return x.flatten(1)
            case "concat":
                return th.cat(reads, dim=1)
            case "add":
                return x + reads[1]
            case "linear":
                return functional.linear(x, own["weight"], own["bias"])
            case "conv":
                return functional.conv2d(x, own["weight"], own["bias"], stride=int(options["stride"]))
            case "layer_norm":
                return functional.layer_norm(x, own["weight"].shape, own["weight"], own["bias"], options["epsilon"])
            case "leaky_relu":
                return functional.leaky_relu(x, options["slope"])
            case "elu":
                return functional.elu(x, options["alpha"])
            case "scale_action":
                moved = own["low"] + 0.5 * (x + 1.0) * own["span"]
                return moved.reshape(-1, *self._program.action_shape)
            case "round":
                kind = np.dtype(f"{'i' if options['signed'] else 'u'}{int(options['bytes'])}")
                return x.round().to(th.from_numpy(np.zeros(1, kind)).dtype)
        activation: Any = {"silu": functional.silu, "gelu": functional.gelu}.get(step.op) or getattr(th, step.op)
        result: th.Tensor = activation(x)
        return result
