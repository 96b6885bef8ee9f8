"""A training whose updates came out as no numbers: what is kept of it, and how it goes on with smaller steps."""

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sb3_ddpg_custom.checkpoint import replacing
from sb3_ddpg_custom.checkpoint.store import CheckpointStore
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import RunError
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.run_folder import STATE
from sb3_ddpg_custom.yaml_values import magnitude

if TYPE_CHECKING:
    from sb3_ddpg_custom.ddpg import DDPG
    from sb3_ddpg_custom.updates.divergence import NonFiniteUpdateError

#: attributes of a model that a rollback changes
RATES = ("learning_rate", "critic_learning_rate")


class DivergedError(RunError):
    """An update's losses or gradients are NaN or infinite."""


def diverged(model: "DDPG", folder: Path, error: "NonFiniteUpdateError") -> str:
    """Keep the batch, and say in one sentence what happened and what is left."""
    path = folder / f"diverged-{model.num_timesteps}.npz"
    kept = ""
    with suppress(OSError), replacing(path) as file:
        np.savez(file, allow_pickle=False, **error.batch)
        kept = f"; the batch is in {shown(path)}"
    steps = CheckpointStore(folder / STATE).steps()
    last = f"; the last checkpoint is of step {steps[0]:,}" if steps else ""
    return f"training stopped at step {model.num_timesteps:,}: {error}{kept}{last}"


def with_rates(settings: Settings, factor: float) -> Settings:
    """Multiply the learning rates.

    :param settings: a training's
    :param factor: 1 for no change
    """
    if factor == 1:
        return settings
    changed = {}
    for name in RATES:
        rate = getattr(settings, name)
        if rate is not None:
            changed[name] = f"lin_{magnitude(rate) * factor!r}" if isinstance(rate, str) else rate * factor
    return settings.model_copy(update=changed)
