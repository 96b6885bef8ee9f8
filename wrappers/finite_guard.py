"""Stop before a number that is none reaches an algorithm."""

import math
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_ddpg_custom.wrappers.contract_guard import ContractError, described


class NonFiniteError(ValueError):
    """An env or a policy produced NaN, infinity or no number at all; the message says which and when."""


class FiniteGuard(gym.Wrapper[Any, Any, Any, Any]):
    """Raise :class:`NonFiniteError` at the first action, observation or reward that is NaN, infinite or no number.

    One such number in a replay buffer ruins every weight within an update, silently. Put this guard between the env,
    with the wrappers that make it trainable, and the monitors: then no statistics and no buffer ever see the number.
    In nested observations it looks at every part that its space says holds numbers; text and other parts pass.

    >>> import gymnasium as gym
    >>> env = FiniteGuard(gym.make("Pendulum-v1"))
    >>> _ = env.reset(seed=0)
    >>> env.step([float("nan")])
    Traceback (most recent call last):
        ...
    sb3_ddpg_custom.wrappers.finite_guard.NonFiniteError: the action is [nan] in the env's step 1: the policy has ...

    :param env: any env
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self._steps = 0
        self._space = env.observation_space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; see ``gymnasium.Env.reset``.

        :raises NonFiniteError: if the observation is not finite
        :raises ContractError: if it has another shape than its space
        """
        observation, info = self.env.reset(seed=seed, options=options)
        when = f"at the reset after the env's step {self._steps}" if self._steps else "at the env's first reset"
        self._check("observation", observation, when, "the environment is at fault", self._space)
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step; see ``gymnasium.Env.step``.

        :raises NonFiniteError: if the action, the observation or the reward is not finite
        :raises ContractError: if the reward is not one number, or the observation has another shape than its space
        """
        self._steps += 1
        when = f"in the env's step {self._steps}"
        self._check("action", action, when, "the policy has diverged, try a smaller learning_rate")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._check_reward(reward, when)
        self._check("observation", observation, when, "the environment is at fault", self._space)
        return observation, reward, terminated, truncated, info

    def _check_reward(self, reward: Any, when: str) -> None:
        if not isinstance(reward, float) and np.ndim(reward) != 0:
            raise ContractError(
                f"step() of {type(self.env.unwrapped).__name__} answered {described(reward)} as reward {when}, but "
                "Gymnasium asks for one number; let it answer one, or add a wrapper that makes one of several, such as "
                "mo_gymnasium.wrappers.LinearReward"
            )
        self._check("reward", reward, when, "the environment is at fault")

    def _check(self, what: str, value: Any, when: str, blame: str, space: spaces.Space[Any] | None = None) -> None:
        if isinstance(value, dict):
            known = space.spaces if isinstance(space, spaces.Dict) else {}
            for key, part in value.items():
                self._check(f"{what} {key!r}", part, when, blame, known.get(key))
        elif isinstance(space, spaces.Tuple) and isinstance(value, tuple | list):
            for index, (part, of_part) in enumerate(zip(value, space.spaces, strict=False)):
                self._check(f"{what}[{index}]", part, when, blame, of_part)
        elif space is None or isinstance(space, _NUMERIC):
            if not _is_finite(value):
                shown = np.array2string(np.asarray(value, dtype=_dtype_for(value)), threshold=8, precision=3)
                raise NonFiniteError(f"the {what} is {shown} {when}: {blame}")
            if space is not None and np.shape(value) != space.shape:
                self._check_shape(what, np.shape(value), when, space.shape or ())
        # Text, graphs, somebody's own space: nothing that holds numbers for a policy, so a wrapper will make them.

    def _check_shape(self, what: str, shape: tuple[int, ...], when: str, wanted: tuple[int, ...]) -> None:
        """Refuse what NumPy would not write into a row of the wanted shape, or would repeat to fill it."""
        try:
            fits = np.broadcast_shapes(shape, wanted) == (1,) * (len(shape) - len(wanted)) + wanted
        except ValueError:
            fits = False
        if not fits or math.prod(shape) != math.prod(wanted):
            raise ContractError(
                f"the {what} has shape {shape} {when}, but its space says {wanted}; "
                "correct the environment's observation_space, or what it answers"
            )


_NUMERIC = (spaces.Box, spaces.Discrete, spaces.MultiDiscrete, spaces.MultiBinary)


def _dtype_for(value: Any) -> Any:
    """Choose how to show a value: as it is, or as objects where NumPy has no array for it."""
    try:
        np.asarray(value)
    except ValueError:
        return object
    return None


def _is_finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biu":
            return True
        # One pass for what is almost always so: a sum of squares is finite only if all of them are.
        if value.dtype.kind == "f" and math.isfinite(np.vdot(value, value)):
            return True
    try:
        return bool(np.isfinite(value).all())
    except (TypeError, ValueError):  # None, text, ragged lists; and Decimal, which is a number
        pass
    try:
        return not isinstance(value, str) and math.isfinite(float(value))
    except (TypeError, ValueError, OverflowError):
        return False
