"""What is in a model's zip, and in a run folder."""

from pathlib import Path

import torch as th

from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.wrappers import load_statistics


def tensors(path: Path) -> dict[str, th.Tensor]:
    """Every network weight and optimiser moment of a checkpoint."""
    found: dict[str, th.Tensor] = {}
    for part, state in read_checkpoint(path).parameters.items():
        nested = state.get("state", {})
        found |= {f"{part}.{name}": value for name, value in state.items() if isinstance(value, th.Tensor)}
        found |= {f"{part}.{i}.{name}": value for i, moments in nested.items() for name, value in moments.items()}
    return found


def assert_same_run(first: Path, second: Path) -> None:
    ours, theirs = tensors(first / "final.zip"), tensors(second / "final.zip")
    assert len(ours) > 20
    assert ours.keys() == theirs.keys()
    assert [name for name in ours if not th.equal(ours[name], theirs[name])] == []
    rewards = load_statistics(first / "rewards.npz")["rewards"]
    assert len(rewards) > 0
    assert rewards.tolist() == load_statistics(second / "rewards.npz")["rewards"].tolist()
