"""What is in a model's zip."""

from pathlib import Path

import torch as th

from sb3_ddpg_custom.checkpoint import read_checkpoint


def tensors(path: Path) -> dict[str, th.Tensor]:
    """Every network weight and optimiser moment of a checkpoint."""
    found: dict[str, th.Tensor] = {}
    for part, state in read_checkpoint(path).parameters.items():
        nested = state.get("state", {})
        found |= {f"{part}.{name}": value for name, value in state.items() if isinstance(value, th.Tensor)}
        found |= {f"{part}.{i}.{name}": value for i, moments in nested.items() for name, value in moments.items()}
    return found
