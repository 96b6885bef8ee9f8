"""Make rl_zoo3 train and enjoy with this package's DDPG and understand its configurations.

Importing this module is all it takes, and rl_zoo3 does that itself::

    python -m rl_zoo3.train --algo ddpg --env Pendulum-v1 --gym-packages sb3_ddpg_custom.zoo

``--algo ddpg`` then means :class:`sb3_ddpg_custom.DDPG`, and its configurations may hold what rl_zoo3 does not know:
the noise types ``normal-per-episode``, ``bias-per-episode`` and ``adaptive-param``, ``noise_std`` as ``lin_0.2`` or as
a range over the envs, and ``critic_learning_rate`` as ``lin_1e-3``. rl_zoo3 itself sees to all the rest.

:raises ImportError: if rl_zoo3 is missing, or is not built any more as this module needs it
"""

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any

from stable_baselines3.common.base_class import BaseAlgorithm

from sb3_ddpg_custom.ddpg import DDPG
from sb3_ddpg_custom.yaml_values import (
    build_action_noise,
    build_parameter_noise,
    build_schedule,
    number_or_linear,
    read_noise_std,
)

try:
    from rl_zoo3.exp_manager import ExperimentManager
    from rl_zoo3.utils import ALGOS
except ModuleNotFoundError as error:
    package = str(error.name).partition(".")[0]  # rl_zoo3, or what it needs itself
    raise ImportError(f"sb3_ddpg_custom.zoo needs rl_zoo3, and {package} is missing: pip install {package}") from error

Hyperparams = dict[str, Any]

_SCHEDULES, _NOISE = "_preprocess_schedules", "_preprocess_action_noise"
_EXPECTED = {_SCHEDULES: ["hyperparams"], _NOISE: ["self", "hyperparams", "saved_hyperparams", "env"]}
# What rl_zoo3 would take for "normal", because it looks for that word inside the type's name, or would not take at all.
_OUR_TYPES = ("normal-per-episode", "bias-per-episode", "adaptive-param")


def install(manager: type[Any], algorithms: dict[str, type[BaseAlgorithm]]) -> None:
    """Put this package's DDPG into rl_zoo3, once.

    :param manager: rl_zoo3's ``ExperimentManager``, changed in place
    :param algorithms: rl_zoo3's ``ALGOS``, changed in place
    :raises ImportError: if one of them is not what this module was written for; nothing is changed then
    """
    if algorithms.get("ddpg") is DDPG:
        return
    for name, expected in _EXPECTED.items():
        method = getattr(manager, name, None)
        received = list(inspect.signature(method).parameters) if callable(method) else None
        if received != expected:
            raise ImportError(
                f"rl_zoo3's {manager.__name__}.{name} takes {received}, where sb3_ddpg_custom.zoo expects {expected}: "
                "install rl_zoo3 2.9, or a newer sb3-ddpg-custom"
            )
    if "ddpg" not in algorithms:
        raise ImportError(
            f"rl_zoo3's ALGOS has no 'ddpg' to replace, only {', '.join(algorithms)}: "
            "install rl_zoo3 2.9, or a newer sb3-ddpg-custom"
        )
    setattr(manager, _SCHEDULES, staticmethod(_with_critic_schedule(getattr(manager, _SCHEDULES))))
    setattr(manager, _NOISE, _with_our_noise(getattr(manager, _NOISE)))
    algorithms["ddpg"] = DDPG


def _with_critic_schedule(original: Callable[[Hyperparams], Hyperparams]) -> Callable[[Hyperparams], Hyperparams]:
    @wraps(original)
    def preprocess_schedules(hyperparams: Hyperparams) -> Hyperparams:
        hyperparams = original(hyperparams)
        received = hyperparams.get("critic_learning_rate")
        if received is not None:
            rate = number_or_linear(received)
            if rate is None:
                raise ValueError(f"critic_learning_rate is {received!r}; expected a number, or such as 'lin_1e-3'")
            hyperparams["critic_learning_rate"] = build_schedule(rate)
        return hyperparams

    return preprocess_schedules


def _with_our_noise(original: Callable[..., Hyperparams]) -> Callable[..., Hyperparams]:
    @wraps(original)
    def preprocess_action_noise(
        self: Any, hyperparams: Hyperparams, saved_hyperparams: Hyperparams, env: Any
    ) -> Hyperparams:
        kind, received = hyperparams.get("noise_type"), hyperparams.get("noise_std")
        kind = kind.strip() if isinstance(kind, str) else None
        ours = kind in _OUR_TYPES or (kind is not None and isinstance(received, str | list | tuple))
        if self.algo != "ddpg" or not ours:
            return original(self, hyperparams, saved_hyperparams, env)
        std = read_noise_std(received)
        if std is None and received is not None:
            raise ValueError(f"noise_std is {received!r}; expected a number, or such as 'lin_0.2' or [0.05, 0.4]")
        # rl_zoo3's own sets this too, for its search of hyper-parameters.
        self.n_actions = env.action_space.shape[0]
        rest = {key: value for key, value in hyperparams.items() if key not in ("noise_type", "noise_std")}
        action_noise = build_action_noise(kind, std, action_shape=env.action_space.shape, n_envs=self.n_envs)
        return {**rest, "action_noise": action_noise, "parameter_noise": build_parameter_noise(kind, std)}

    return preprocess_action_noise


install(ExperimentManager, ALGOS)
