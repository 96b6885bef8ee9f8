"""The statistics of SB3's ``VecNormalize`` as plain arrays: SB3 itself would pickle them."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.running_mean_std import RunningMeanStd
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_ddpg_custom.checkpoint.inert_pickle import read_pickle

_OPTIONS = ("clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs", "norm_reward")


def to_arrays(env: VecNormalize) -> dict[str, NDArray[Any]]:
    """Copy the options and running statistics.

    :param env: wrapper to copy from
    :return: arrays that ``np.savez`` stores without pickling
    """
    arrays = {name: np.asarray(getattr(env, name)) for name in _OPTIONS}
    if env.norm_obs_keys is not None:
        arrays["norm_obs_keys"] = np.asarray(env.norm_obs_keys)
    for prefix, statistics in _statistics(env).items():
        arrays |= {
            f"{prefix}.mean": np.asarray(statistics.mean),
            f"{prefix}.var": np.asarray(statistics.var),
            f"{prefix}.count": np.asarray(statistics.count),
        }
    return arrays


def from_pickle(content: bytes) -> dict[str, NDArray[Any]]:
    """Read what ``VecNormalize.save`` wrote, without unpickling it.

    :param content: of the file
    :return: as :func:`to_arrays` gives it, to be checked by :func:`problem_of`
    :raises Exception: of many kinds, if it is something else
    """
    root = read_pickle(content)
    if root.origin != f"{VecNormalize.__module__}.{VecNormalize.__qualname__}":
        raise ValueError(f"it holds a {root.origin}")
    state = root.state
    arrays = {name: np.asarray(state[name]) for name in _OPTIONS}
    if state["norm_obs_keys"] is not None:
        arrays["norm_obs_keys"] = np.asarray(state["norm_obs_keys"])
    statistics = {"returns": state["ret_rms"]}
    if state["norm_obs"]:
        of_observations = state["obs_rms"]
        if isinstance(of_observations, dict):
            statistics |= {f"observations.{key}": part for key, part in of_observations.items()}
        else:
            statistics["observations"] = of_observations
    for prefix, running in statistics.items():
        arrays |= {f"{prefix}.{part}": np.asarray(running.state[part]) for part in ("mean", "var", "count")}
    return arrays


def problem_of(arrays: Mapping[str, NDArray[Any]]) -> str | None:
    """Say in words that follow the file's name why arrays are not what :func:`to_arrays` gives; None if they are.

    :param arrays: what a file holds
    """
    for name in (*_OPTIONS, "returns.mean"):
        if name not in arrays:
            return f"lacks {name}"
    for name in _OPTIONS:
        if arrays[name].shape != () or arrays[name].dtype.kind not in "biuf":
            return f"has a {name} that is no number"
    keys = arrays.get("norm_obs_keys")
    if keys is not None and (keys.ndim != 1 or keys.dtype.kind != "U"):
        return "has norm_obs_keys that are no list of names"
    for prefix in [name.removesuffix(".mean") for name in arrays if name.endswith(".mean")]:
        parts = [arrays[f"{prefix}.{part}"] for part in ("mean", "var", "count") if f"{prefix}.{part}" in arrays]
        if len(parts) != 3 or any(part.dtype.kind not in "iuf" for part in parts):
            return f"lacks a mean, var or count of {prefix} that is a number"
        mean, var, count = parts
        if mean.shape != var.shape or count.shape != ():
            return f"has a mean, var and count of {prefix} that do not fit together"
    return None


def normalize_like(arrays: Mapping[str, NDArray[Any]], env: VecEnv) -> VecNormalize:
    """Wrap an env as the checkpoint's was, for evaluation: statistics stand still, rewards stay as they are.

    :param arrays: what :func:`to_arrays` gave
    :param env: env with the same observation space
    :raises ValueError: if the arrays do not fit the env
    """
    keys = [str(key) for key in arrays["norm_obs_keys"]] if "norm_obs_keys" in arrays else None
    if keys is not None and not isinstance(env.observation_space, spaces.Dict):
        raise ValueError("the checkpoint normalises parts of a Dict observation, but this env has a plain one")
    missing = [key for key in keys or () if key not in env.observation_space.spaces]  # type: ignore[attr-defined]
    if missing:
        raise ValueError(f"the checkpoint normalises {missing[0]!r}, which is no part of this env's observations")
    options: dict[str, Any] = {name: arrays[name].item() for name in _OPTIONS}
    wrapped = VecNormalize(env, training=False, norm_obs_keys=keys, **options | {"norm_reward": False})
    restore(arrays, wrapped)
    return wrapped


def restore(arrays: Mapping[str, NDArray[Any]], env: VecNormalize) -> None:
    """Give an env the running statistics of a checkpoint.

    :param arrays: what :func:`to_arrays` gave
    :param env: changed in place
    :raises ValueError: if the arrays do not fit the env
    """
    for prefix, statistics in _statistics(env).items():
        if f"{prefix}.mean" not in arrays:
            raise ValueError(f"the checkpoint has no statistics of this env's {prefix}")
        mean, var = arrays[f"{prefix}.mean"], arrays[f"{prefix}.var"]
        if mean.shape != np.shape(statistics.mean):
            raise ValueError(
                f"the checkpoint's observation statistics have shape {mean.shape}, "
                f"but the env's observations have shape {np.shape(statistics.mean)}"
            )
        statistics.mean, statistics.var, statistics.count = mean, var, arrays[f"{prefix}.count"].item()


def _statistics(env: VecNormalize) -> dict[str, RunningMeanStd]:
    found = {"returns": env.ret_rms}
    if env.norm_obs:
        if isinstance(env.obs_rms, dict):
            found |= {f"observations.{key}": statistics for key, statistics in env.obs_rms.items()}
        else:
            found["observations"] = env.obs_rms
    return found
