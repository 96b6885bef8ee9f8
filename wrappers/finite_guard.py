"""Stop before a number that is none reaches an algorithm."""

import math
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np


class NonFiniteError(ValueError):
    """An env or a policy produced NaN, infinity or no number at all; the message says which and when."""


class FiniteGuard(gym.Wrapper[Any, Any, Any, Any]):
    """Raise :class:`NonFiniteError` at the first action, observation or reward that is NaN, infinite or no number.

    One such number in a replay buffer ruins every weight within an update, silently. Put this guard next to the env:
    then nothing outside it, no statistics and no buffer, ever sees the number.

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

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode; see ``gymnasium.Env.reset``.

        :raises NonFiniteError: if the observation is not finite
        """
        observation, info = self.env.reset(seed=seed, options=options)
        when = f"at the reset after the env's step {self._steps}" if self._steps else "at the env's first reset"
        self._check("observation", observation, when, "the environment is at fault")
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step; see ``gymnasium.Env.step``.

        :raises NonFiniteError: if the action, the observation or the reward is not finite
        """
        self._steps += 1
        when = f"in the env's step {self._steps}"
        self._check("action", action, when, "the policy has diverged, try a smaller learning_rate")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._check("reward", reward, when, "the environment is at fault")
        self._check("observation", observation, when, "the environment is at fault")
        return observation, reward, terminated, truncated, info

    def _check(self, what: str, value: Any, when: str, blame: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                self._check(f"{what} {key!r}", part, when, blame)
        elif not _is_finite(value):
            shown = np.array2string(np.asarray(value), threshold=8, precision=3)
            raise NonFiniteError(f"the {what} is {shown} {when}: {blame}")


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
    except TypeError:  # None, text
        return False
