"""Stop before a number that is none reaches an algorithm."""

from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np


class NonFiniteError(ValueError):
    """An env or a policy produced NaN or infinity; the message says which and when."""


class FiniteGuard(gym.Wrapper[Any, Any, Any, Any]):
    """Raise :class:`NonFiniteError` at the first action, observation or reward that is NaN or infinite.

    One such number in a replay buffer ruins every weight within an update, silently. Put this guard next to the env:
    then nothing outside it, no statistics and no buffer, ever sees the number.

    >>> import gymnasium as gym
    >>> env = FiniteGuard(gym.make("Pendulum-v1"))
    >>> _ = env.reset(seed=0)
    >>> env.step([float("nan")])
    Traceback (most recent call last):
        ...
    sb3_ddpg_custom.wrappers.finite_guard.NonFiniteError: step 1: the action is [nan]: the policy has diverged, ...

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
        self._check("observation after reset", observation, "the environment is at fault")
        return observation, info

    def step(self, action: Any) -> tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step; see ``gymnasium.Env.step``.

        :raises NonFiniteError: if the action, the observation or the reward is not finite
        """
        self._steps += 1
        self._check("action", action, "the policy has diverged, try a smaller learning_rate")
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._check("reward", reward, "the environment is at fault")
        self._check("observation", observation, "the environment is at fault")
        return observation, reward, terminated, truncated, info

    def _check(self, what: str, value: Any, blame: str) -> None:
        if isinstance(value, dict):
            for key, part in value.items():
                self._check(f"{what} {key!r}", part, blame)
        elif not np.isfinite(value).all():
            shown = np.array2string(np.asarray(value), threshold=8, precision=3)
            raise NonFiniteError(f"step {self._steps}: the {what} is {shown}: {blame}")
