"""Whose code runs between two updates: where it is nobody's but SB3's, Gymnasium's and this package's, none looks.

A script can change a model wherever its own code runs: in a callback, and in an environment too. Elsewhere nothing can
have changed, and what would find it out, a walk through all that the policy is made of, is spared.
"""

from collections.abc import Iterator
from functools import partial
from typing import Any

from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback, EventCallback
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecEnv, VecEnvWrapper

_KNOWN = (
    "stable_baselines3.",
    "gymnasium.",
    "sb3_ddpg_custom.",
    "numpy.",
    "_operator.",
    "torch.",
    "builtins.",
    "functools.",
    "weakref.",
)


def may_act_on_rollout_start(callback: BaseCallback) -> bool:
    """Say whether a callback runs code of its own where a rollout starts.

    :param callback: as ``learn`` has it, with what it holds
    """
    return _runs_code_in(callback, ("on_rollout_start", "_on_rollout_start"))


def only_known_code_runs(model: Any, callback: BaseCallback) -> bool:
    """Say whether all that runs between two updates of a model is of SB3, Gymnasium, or this package.

    :param model: with its envs, in ``learn``
    :param callback: as ``learn`` has it, with what it holds
    """
    moments = (
        "on_training_start",
        "on_rollout_start",
        "update_locals",
        "update_child_locals",
        "on_step",
        "on_rollout_end",
    )
    hooks = tuple(hook for name in moments for hook in (name, f"_{name}"))
    noise, rates = model.action_noise, (model.learning_rate, model.critic_learning_rate)
    logger = model.logger
    parts = [model, model.replay_buffer, noise, getattr(noise, "base_noise", None), logger, *logger.output_formats]
    return (
        not _runs_code_in(callback, hooks)
        and all(map(_is_known, parts))
        and all(_is_known_function(rate) for rate in rates if callable(rate))
        and _only_steps(model.get_env())
    )


def _runs_code_in(callback: BaseCallback, hooks: tuple[str, ...]) -> bool:
    known = (BaseCallback, CallbackList, EventCallback)
    return any(
        (getattr(type(one), name, None) not in [getattr(kind, name, None) for kind in known] and not _only_looks(one))
        or name in one.__dict__
        for one in _unpacked(callback)
        for name in hooks
    )


def _only_looks(callback: BaseCallback) -> bool:
    """Say whether a callback's class promises to change nothing about the model, or it is what SB3 makes of none."""
    is_none = type(callback) is ConvertCallback and callback.callback is None
    return is_none or getattr(type(callback), "leaves_the_model_alone", False)


def _unpacked(callback: BaseCallback) -> Iterator[BaseCallback]:
    yield callback
    inner = callback.callbacks if isinstance(callback, CallbackList) else [getattr(callback, "callback", None)]
    for one in inner:
        if isinstance(one, BaseCallback):
            yield from _unpacked(one)


def _only_steps(env: VecEnv) -> bool:
    """Say whether envs, and all around them, are somebody's whose code is known, or in processes of their own."""
    while isinstance(env, VecEnvWrapper):
        if not _is_known(env):
            return False
        env = env.venv
    if isinstance(env, DummyVecEnv):
        return _is_known(env) and all(_is_known(layer) for one in env.envs for layer in _layers(one))
    return isinstance(env, SubprocVecEnv) and _is_known(env)


def _layers(env: Any) -> Iterator[Any]:
    yield env
    while "env" in vars(env):
        env = env.env
        yield env


def _is_known(layer: Any) -> bool:
    """Say whether an object's class is known, and no function of somebody else's was handed or assigned to it."""
    kept = [value for value in getattr(layer, "__dict__", {}).values() if callable(value)]
    return all(map(_comes_from_known, (type(layer), *kept)))


def _is_known_function(function: Any) -> bool:
    return _comes_from_known(function) and _is_known(function)


def _comes_from_known(one: Any) -> bool:
    if isinstance(one, partial):
        return all(_comes_from_known(part) for part in (one.func, *one.args, *one.keywords.values()) if callable(part))
    # functools.wraps gives a function the module of another one, but not its globals.
    own = getattr(one, "__globals__", {}).get("__name__")
    return f"{own or getattr(one, '__module__', None) or type(one).__module__}.".startswith(_KNOWN)
