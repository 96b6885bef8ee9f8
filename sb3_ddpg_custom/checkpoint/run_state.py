"""All that decides how an SB3 training goes on, less its replay records: copied, and put back."""

import math
import time
from collections import deque
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import ActionNoise, VectorizedActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.save_util import recursive_getattr
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper, VecFrameStack, VecMonitor, VecNormalize

from sb3_ddpg_custom.action_bounds import BoundedActions
from sb3_ddpg_custom.checkpoint.random_streams import random_streams, set_random_streams
from sb3_ddpg_custom.updates import UpdateStatistics

# Counters and their like; every other plain attribute of a model is a setting.
_COUNTERS = {
    *("num_timesteps", "_total_timesteps", "_num_timesteps_at_start", "_n_updates", "_episode_num"),
    "_current_progress_remaining",
}
_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
_BUFFERED = ("ep_info_buffer", "ep_success_buffer", "_last_obs", "_last_original_obs", "_last_episode_starts")
# How a process runs, and not what it computes.
_OF_THE_PROCESS = {"verbose", "tensorboard_log", "start_time", "stops_at_non_finite"}
# What vectorised wrappers of SB3's keep from step to step.
_KEPT_BY: dict[type[VecEnvWrapper], tuple[str, ...]] = {
    VecNormalize: ("returns", "old_obs", "old_reward"),
    VecMonitor: ("episode_returns", "episode_lengths", "episode_count"),
}


def settings_of(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """Give the plain hyper-parameters of a model, by the names of its attributes.

    :param model: any off-policy algorithm of SB3's
    """
    plain = {
        name: value
        for name, value in vars(model).items()
        if not name.startswith("_") and name not in _COUNTERS | _OF_THE_PROCESS and _is_scalar(value)
    }
    return {**plain, "train_freq": str(model.train_freq)}


def built_as(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """Give what a model was built with, as far as text can tell, to compare it with another one.

    :param model: before it trains, or at the beginning
    """
    noise = model.action_noise
    if type(noise) is VectorizedActionNoise:
        noise = noise.base_noise
    parts = {
        "action_noise": repr(noise),
        "parameter_noise": repr(getattr(model, "parameter_noise", None)),
        "policy_kwargs": repr({name: value for name, value in model.policy_kwargs.items() if name != "use_sde"}),
    }
    bounds = getattr(model, "action_bounds", None)
    if bounds is not None:
        parts["action_bounds"] = repr(bounds)
    # Addresses tell nothing.
    return settings_of(model) | {name: text for name, text in parts.items() if " at 0x" not in text}


def capture(model: OffPolicyAlgorithm) -> dict[str, Any]:
    """Copy a model's state between two rollouts.

    :param model: in ``learn``, at the start of a rollout
    :return: nested plain data for :func:`sb3_ddpg_custom.checkpoint.plain_tree.write_tree`
    """
    _, variables = model._get_torch_save_params()
    return {
        "parameters": model.get_parameters(),
        "variables": {name: recursive_getattr(model, name) for name in variables},
        "settings": settings_of(model),
        "counters": {name: getattr(model, name) for name in _COUNTERS},
        "buffered": {name: getattr(model, name) for name in _BUFFERED} | {"ep_info_buffer": _plain_infos(model)},
        "noise": None if model.action_noise is None else _noise_state(model.action_noise),
        "parameter_noise": _parameter_noise_state(model),
        "curves": _curves_state(model),
        "logged": _logged(model.logger),
        "elapsed_ns": time.time_ns() - model.start_time,
        "wrappers": [_wrapper_state(wrapper) for wrapper in wrappers_of(model.get_env())],
        "spaces": {name: _space_state(getattr(model, name)) for name in ("action_space", "observation_space")},
        "random": random_streams(),
    }


def put_back(model: OffPolicyAlgorithm, state: Mapping[str, Any]) -> None:
    """Give a model the state of another one, before ``learn(reset_num_timesteps=False)``.

    :param model: built as the other one was
    :param state: which :func:`capture` gave
    :raises ValueError: if the model was built with other settings
    """
    model.set_parameters(state["parameters"], exact_match=True, device=model.device)
    for name, tensor in state["variables"].items():
        recursive_getattr(model, name).data = tensor.to(model.device)
    for name in settings_of(model).keys() & state["settings"].keys() - {"train_freq"}:
        setattr(model, name, state["settings"][name])
    for name in _COUNTERS:
        value = state["counters"][name]
        # The last rollout of all may end behind the training's length: a little less than nothing remains then.
        least = -1 if name == "_current_progress_remaining" else 0
        if type(value) not in (int, float) or not least <= value < math.inf:
            raise ValueError(f"{name} is {str(value)[:40]!r}")
        setattr(model, name, value)
    for name in _BUFFERED:
        setattr(model, name, state["buffered"][name])
    for kept in state["spaces"].values():
        if kept is not None and kept["bit_generator"] not in _BIT_GENERATORS:
            raise ValueError(f"{str(kept['bit_generator'])[:40]!r} is no random generator of NumPy's")
    if model._last_obs is None or not {"python", "numpy", "torch", "cuda"} <= state["random"].keys():
        raise ValueError("it lacks the last observations or the random generators")
    wrappers = wrappers_of(model.get_env())
    here, there = ([*map(_kind, wrappers)], [str(kept["kind"]) for kept in state["wrappers"]])
    if here != there:
        raise ValueError(f"the envs are in {', '.join(here) or 'no wrapper'}, and were in {', '.join(there) or 'none'}")
    for wrapper, kept in zip(wrappers, state["wrappers"], strict=True):
        _restore_wrapper(wrapper, kept)


def put_back_in_learn(model: OffPolicyAlgorithm, state: Mapping[str, Any]) -> None:
    """Put back what ``learn`` begins anew, when it has done so.

    :param model: as for :func:`put_back`
    :param state: the same
    """
    if model.action_noise is not None and state["noise"] is not None:
        _restore_noise(model.action_noise, state["noise"])
    _restore_parameter_noise(model, state["parameter_noise"])
    _restore_curves(model, state["curves"])
    model._num_timesteps_at_start = state["counters"]["_num_timesteps_at_start"]
    model.start_time = time.time_ns() - state["elapsed_ns"]
    for name, kept in state["logged"].items():
        getattr(model.logger, name).update(kept)
    for name, kept in state["spaces"].items():
        _restore_space(getattr(model, name), kept)
    set_random_streams(state["random"])


def wrappers_of(env: VecEnv | None) -> list[VecEnvWrapper]:
    """List the vectorised wrappers around a model's envs, from the outermost."""
    found = []
    while isinstance(env, VecEnvWrapper):
        found.append(env)
        env = env.venv
    return found


def unknown_wrapper(env: VecEnv | None) -> str | None:
    """Name a vectorised wrapper that may keep what is not known here; None if there is none.

    :param env: a model's envs
    """
    known = (*_KEPT_BY, VecFrameStack, BoundedActions)
    for wrapper in wrappers_of(env):
        kind = type(wrapper)
        if kind not in known and kind.__name__ != "VecTransposeImage":
            return kind.__name__
    return None


def _plain_infos(model: OffPolicyAlgorithm) -> deque[dict[str, Any]]:
    """Copy the figures of the last episodes; what else a script may have put there is left out."""
    buffer = model.ep_info_buffer
    kept = [
        {key: value for key, value in info.items() if _is_scalar(value) or isinstance(value, np.generic)}
        for info in buffer or ()
    ]
    return deque(kept, maxlen=None if buffer is None else buffer.maxlen)


def _logged(logger: Logger) -> dict[str, dict[str, Any]]:
    """Copy what was recorded and not written yet; pictures and their like are left out."""
    values = {key: value for key, value in logger.name_to_value.items() if _is_scalar(value)}
    counts = {key: logger.name_to_count[key] for key in values}
    return {
        "name_to_value": values,
        "name_to_count": counts,
        "name_to_excluded": {key: logger.name_to_excluded[key] for key in values},
    }


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)


def _kind(wrapper: VecEnvWrapper) -> str:
    return type(wrapper).__name__


def _wrapper_state(wrapper: VecEnvWrapper) -> dict[str, Any]:
    state: dict[str, Any] = {"kind": _kind(wrapper)}
    for kind, names in _KEPT_BY.items():
        if isinstance(wrapper, kind):
            state["kept"] = {name: getattr(wrapper, name) for name in names if hasattr(wrapper, name)}
    if isinstance(wrapper, VecNormalize):
        state["statistics"] = {name: _running(part) for name, part in _statistics(wrapper)}
    if isinstance(wrapper, VecFrameStack):
        state["frames"] = {name: part.stacked_obs for name, part in _stacks(wrapper)}
    return state


def _restore_wrapper(wrapper: VecEnvWrapper, state: Mapping[str, Any]) -> None:
    for name, value in state.get("kept", {}).items():
        setattr(wrapper, name, value)
    if isinstance(wrapper, VecNormalize):
        for name, part in _statistics(wrapper):
            part.mean, part.var, part.count = state["statistics"][name]
    if isinstance(wrapper, VecFrameStack):
        for name, part in _stacks(wrapper):
            part.stacked_obs = state["frames"][name]


def _statistics(wrapper: VecNormalize) -> Iterator[tuple[str, Any]]:
    yield "returns", wrapper.ret_rms
    if wrapper.norm_obs:
        of_observations = wrapper.obs_rms
        named = of_observations if isinstance(of_observations, dict) else {"": of_observations}
        yield from ((f"observations {key}", part) for key, part in named.items())


def _running(statistics: Any) -> tuple[Any, Any, Any]:
    return statistics.mean, statistics.var, statistics.count


def _stacks(wrapper: VecFrameStack) -> Iterator[tuple[str, Any]]:
    stacked: Any = wrapper.stacked_obs
    parts = getattr(stacked, "sub_stacked_observations", None)
    yield from parts.items() if parts else [("", stacked)]


def _noise_state(noise: ActionNoise) -> dict[str, Any]:
    """Copy the numbers of a noise, and of the noises in it."""
    state: dict[str, Any] = {}
    for name, value in vars(noise).items():
        if isinstance(value, ActionNoise):
            state[name] = _noise_state(value)
        elif isinstance(value, list) and value and all(isinstance(one, ActionNoise) for one in value):
            state[name] = [_noise_state(one) for one in value]
        elif isinstance(value, np.ndarray | np.generic) or _is_scalar(value):
            state[name] = value
    return state


def _restore_noise(noise: ActionNoise, state: Mapping[str, Any]) -> None:
    for name, value in state.items():
        own = vars(noise).get(name)
        if isinstance(own, ActionNoise):
            _restore_noise(own, value)
        elif isinstance(noise, VectorizedActionNoise) and isinstance(value, list):
            for one, part in zip(own or noise.noises, value, strict=True):
                _restore_noise(one, part)
        else:
            vars(noise)[name] = value.copy() if isinstance(value, np.ndarray) else value


def _parameter_noise_state(model: Any) -> dict[str, Any] | None:
    generator = getattr(model, "_noise_generator", None)
    if generator is None:
        return None
    noise, actor = model.parameter_noise, model._perturbed_actor
    return {
        "generator": generator.get_state(),
        "noise": None if noise is None else dict(vars(noise)),
        "actor": None if actor is None else actor.state(),
    }


def _restore_parameter_noise(model: Any, state: Mapping[str, Any] | None) -> None:
    if state is None:
        return
    model._noise_generator.set_state(state["generator"])
    if model.parameter_noise is not None and state["noise"] is not None:
        vars(model.parameter_noise).update(state["noise"])
    if model._perturbed_actor is not None and state["actor"] is not None:
        model._perturbed_actor.restore(state["actor"])


def _curves_state(model: Any) -> dict[str, Any] | None:
    curves = getattr(model, "_curves", None)
    last = getattr(model, "last_update", None)
    if curves is None:
        return None
    diagnosed_at = getattr(model, "_diagnosed_at", None)
    return {"sums": curves.state(), "last_update": None if last is None else tuple(last), "diagnosed_at": diagnosed_at}


def _restore_curves(model: Any, state: Mapping[str, Any] | None) -> None:
    if state is None or getattr(model, "_curves", None) is None:
        return
    model._curves.restore(state["sums"])
    model.last_update = None if state["last_update"] is None else UpdateStatistics(*state["last_update"])
    if state.get("diagnosed_at") is not None:
        model._diagnosed_at = state["diagnosed_at"]


def _space_state(space: Any) -> dict[str, Any] | None:
    generator = getattr(space, "_np_random", None)
    return None if generator is None else dict(generator.bit_generator.state)


def _restore_space(space: Any, state: Mapping[str, Any] | None) -> None:
    if state is not None:
        generator = np.random.Generator(getattr(np.random, str(state["bit_generator"]))())
        generator.bit_generator.state = dict(state)
        space._np_random = generator
