"""Settings that go together, under a name: ``DDPG("MlpPolicy", env, **PRESETS["robust"])``, ``ddpg train --preset``."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

#: by their names, the arguments of :class:`sb3_ddpg_custom.DDPG` that each stands for. ``plain`` is DDPG as published,
#: ``robust`` what ends nearer to its best evaluation, see ``docs/ablation.md``.
PRESETS: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "plain": MappingProxyType({"n_steps": 1, "actor_average_tau": None}),
        "robust": MappingProxyType({"n_steps": 3, "actor_average_tau": 3e-5}),
    }
)
