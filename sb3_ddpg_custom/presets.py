"""Settings that go together, under a name: ``DDPG("MlpPolicy", env, **PRESETS["robust"])``, ``ddpg train --preset``."""

from collections.abc import Mapping
from typing import Any

#: by their names, the arguments of :class:`sb3_ddpg_custom.DDPG` that each stands for. ``robust`` is what ends nearer
#: to its best evaluation, see ``docs/ablation.md``; ``plain`` takes it back.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "plain": {"n_steps": 1, "actor_average_tau": None},
    "robust": {"n_steps": 3, "actor_average_tau": 3e-5},
}
