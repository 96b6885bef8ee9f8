"""What a model is, as plain JSON: spaces, policy, settings and versions, for whoever reads a zip without unpickling."""

import platform
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_ddpg_custom.checkpoint.run_state import settings_of

DESCRIPTION = "description.json"
FORMAT = "sb3-ddpg-custom model"
_VERSION = 1
_PACKAGES = ("sb3-ddpg-custom", "stable-baselines3", "gymnasium", "torch", "numpy", "numba")
_MOST_BOUNDS = 1000


def describe(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """Describe a model in plain data.

    :param model: any off-policy algorithm of SB3's
    """
    policy = type(model.policy)
    return {
        "format": FORMAT,
        "version": _VERSION,
        "algorithm": type(model).__name__,
        "policy": f"{policy.__module__}.{policy.__qualname__}",
        "policy_kwargs": _plain(model.policy_kwargs),
        "observation_space": describe_space(model.observation_space),
        "action_space": describe_space(model.action_space),
        "settings": settings_of(model),
        "steps": model.num_timesteps,
        "updates": model._n_updates,
        "episodes": model._episode_num,
        "versions": versions(),
    }


def describe_space(space: spaces.Space[Any]) -> dict[str, Any]:
    """Describe a space in plain data; one number stands for bounds that are all the same.

    :param space: any; one that is not known here is its text
    """
    if isinstance(space, spaces.Box):
        bounds = {"low": _bound(space.low), "high": _bound(space.high)}
        return {"type": "Box", "shape": list(space.shape), "dtype": str(space.dtype), **bounds}
    if isinstance(space, spaces.Discrete):
        return {"type": "Discrete", "n": int(space.n), "start": int(space.start)}
    if isinstance(space, spaces.MultiDiscrete):
        return {"type": "MultiDiscrete", "nvec": space.nvec.tolist()}
    if isinstance(space, spaces.MultiBinary):
        return {"type": "MultiBinary", "n": list(space.shape)}
    if isinstance(space, spaces.Dict):
        return {"type": "Dict", "spaces": {key: describe_space(part) for key, part in space.spaces.items()}}
    return {"type": type(space).__name__, "text": str(space)[:200]}


def versions() -> dict[str, str]:
    """Name the versions that results depend on."""
    return dict(_versions())


@cache  # each is parsed from a file, and every checkpoint names them
def _versions() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _bound(bounds: Any) -> Any:
    array = np.asarray(bounds, np.float64)
    if array.size and (array == array.flat[0]).all():
        return _number(float(array.flat[0]))
    return [_number(one) for one in array.reshape(-1).tolist()] if array.size <= _MOST_BOUNDS else None


def _number(value: float) -> float | str:
    return value if np.isfinite(value) else str(value)  # JSON knows no infinity


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, dict):
        return {str(key): _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return f"{value.__module__}.{value.__qualname__}" if isinstance(value, type) else str(value)[:200]
