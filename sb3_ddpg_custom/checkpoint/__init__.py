"""Checkpoints: how a model reaches the disk whole or not at all, and how one is read without running anything in it."""

from sb3_ddpg_custom.atomic import remove_partials, replacing
from sb3_ddpg_custom.checkpoint.read import Checkpoint, CheckpointError, read_checkpoint, read_normalization
from sb3_ddpg_custom.checkpoint.rebuild import build_policy
from sb3_ddpg_custom.checkpoint.write import save_checkpoint

__all__ = [
    "Checkpoint",
    "CheckpointError",
    "build_policy",
    "read_checkpoint",
    "read_normalization",
    "remove_partials",
    "replacing",
    "save_checkpoint",
]
