"""Say in a sentence how an env breaks Gymnasium's contract, where Python would say it in its own words."""

from collections.abc import MutableMapping
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from gymnasium.core import ActType, ObsType


class ContractError(TypeError):
    """An env answered something else than Gymnasium asks for; the message says which method, what, and what to do."""


class ContractGuard(gym.Wrapper[ObsType, ActType, ObsType, ActType]):
    """Raise :class:`ContractError` where ``reset`` or ``step`` answer in another form than Gymnasium's.

    Gymnasium's own wrappers unpack the answers, so the guard belongs between them and the env; :meth:`inside` puts it
    there. It changes nothing.

    >>> class Old(gym.Env):
    ...     observation_space = action_space = gym.spaces.Box(-1, 1, (1,))
    ...
    ...     def reset(self, *, seed=None, options=None):
    ...         return self.observation_space.sample()
    >>> ContractGuard(Old()).reset()
    Traceback (most recent call last):
        ...
    sb3_ddpg_custom.wrappers.contract_guard.ContractError: reset() of Old answered an array of shape (1,), but ...

    :param env: any env
    """

    @classmethod
    def inside(cls, env: gym.Env[Any, Any]) -> gym.Env[Any, Any]:
        """Put a guard inside the wrappers with which ``gymnasium.make`` surrounds an env.

        :param env: what ``gymnasium.make`` gave
        :return: the same, or the guard where there are no such wrappers
        """
        outside = None
        inner = env
        while isinstance(inner, _OF_MAKE):  # rl_zoo3 derives a time limit of its own
            outside, inner = inner, inner.env
        guard: gym.Env[Any, Any] = cls(inner)
        if outside is None:
            return guard
        outside.env = guard
        return env

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Begin an episode; see ``gymnasium.Env.reset``.

        :raises ContractError: if the answer is no observation with its info
        """
        try:
            answer: Any = self.env.reset(seed=seed, options=options)
        except TypeError as error:
            if error.__traceback__ is None or error.__traceback__.tb_next is not None:
                raise  # from inside of the method
            raise ContractError(
                f"reset() of {self._name} cannot be called as reset(seed=…, options=…) ({error}); Gymnasium asks for "
                f"reset(self, *, seed=None, options=None), {_REMEDY}"
            ) from error
        if _length(answer) == 2 and isinstance(answer[1], MutableMapping):
            return answer[0], answer[1]  # type: ignore[return-value]  # a mapping that is as good as a dictionary
        raise self._error("reset", answer, "(observation, info)", answer[1] if _length(answer) == 2 else {})

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Take a step; see ``gymnasium.Env.step``.

        :raises ContractError: if the answer is not made of observation, reward, terminated, truncated and info
        """
        answer: Any = self.env.step(action)
        if isinstance(answer, tuple) and len(answer) == 5 and isinstance(answer[4], MutableMapping):
            for name, ends in (("terminated", answer[2]), ("truncated", answer[3])):
                if type(ends) not in (bool, np.bool_) and (isinstance(ends, str) or np.size(ends) != 1):
                    raise ContractError(
                        f"step() of {self._name} answered {described(ends)} as {name}, but Gymnasium asks for True or "
                        "False; let it answer one of them"
                    )
            return answer
        wanted = "(observation, reward, terminated, truncated, info)"
        raise self._error("step", answer, wanted, answer[4] if _length(answer) == 5 else {})

    def _error(self, method: str, answer: Any, wanted: str, info: Any) -> ContractError:
        if not isinstance(info, MutableMapping):
            return ContractError(
                f"{method}() of {self._name} answered {described(info)} as info, but Gymnasium asks for a dictionary; "
                "let it answer {} where there is nothing to tell"
            )
        return ContractError(
            f"{method}() of {self._name} answered {described(answer)}, but Gymnasium asks for {wanted}; {_REMEDY}"
        )

    @property
    def _name(self) -> str:
        return type(self.env.unwrapped).__name__


_OF_MAKE = (gym.wrappers.TimeLimit, gym.wrappers.OrderEnforcing, gym.wrappers.PassiveEnvChecker)
_REMEDY = (
    "so change the method, or convert an environment of the old Gym with GymV21CompatibilityV0 or "
    "GymV26CompatibilityV0 of the package shimmy"
)


def described(value: Any) -> str:
    """Name what a value is, for a sentence.

    :param value: anything
    """
    if isinstance(value, np.ndarray):
        return f"an array of shape {value.shape}"
    length = _length(value)
    if length is not None:
        return f"a {type(value).__name__} of {length} value{'' if length == 1 else 's'}"
    return "None" if value is None else f"a value of type {type(value).__name__}"


def _length(value: Any) -> int | None:
    return len(value) if isinstance(value, tuple | list) else None
