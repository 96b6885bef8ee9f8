"""Bounds for actions whose space has none: DDPG's tanh needs them."""

import io
import json
import zipfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.base_class import maybe_make_env
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from stable_baselines3.common.vec_env import VecEnv, VecEnvWrapper
from stable_baselines3.common.vec_env.base_vec_env import VecEnvObs, VecEnvStepReturn

#: low and high, each a number for all components or nested lists of the action's shape
ActionBounds = Sequence[Any]


def bounded_space(space: spaces.Space[Any], bounds: ActionBounds | None) -> spaces.Space[Any]:
    """Narrow an action space.

    >>> bounded_space(spaces.Box(-np.inf, 0.5, (2,)), (-2, [0.25, 3])).high.tolist()
    [0.25, 0.5]

    :param space: the env's
    :param bounds: the space's own hold, too; None leaves it as it is
    :raises ValueError: if the bounds do not fit the space, or leave no room
    """
    if bounds is None:
        return space
    if not isinstance(space, spaces.Box):
        raise ValueError(f"action_bounds are for a Box of continuous actions, and the action space is {space}")
    try:
        low, high = (np.broadcast_to(np.asarray(bound, np.float64), space.shape) for bound in bounds)
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"action_bounds {bounds!r} do not fit actions of shape {space.shape}: give low and high, each one number "
            "or as many as there are components"
        ) from error
    if not (np.isfinite(low).all() and np.isfinite(high).all()):
        raise ValueError(f"action_bounds {bounds!r} are not all finite")
    low, high = np.maximum(low, space.low), np.minimum(high, space.high)
    if not (low < high).all():
        raise ValueError(f"action_bounds {bounds!r} leave no room between low and high in {space}")
    kind: Any = space.dtype
    return spaces.Box(low.astype(kind), high.astype(kind), space.shape, kind)


class BoundedActions(VecEnvWrapper):
    """Envs that say of their actions that they are bounded; whoever acts keeps to it.

    :param venv: the envs
    :param bounds: see :func:`bounded_space`
    """

    def __init__(self, venv: VecEnv, bounds: ActionBounds) -> None:
        super().__init__(venv, action_space=bounded_space(venv.action_space, bounds))

    def reset(self) -> VecEnvObs:
        """Begin episodes in all envs."""
        return self.venv.reset()

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for a step."""
        return self.venv.step_wait()


class BoundingAlgorithm(OffPolicyAlgorithm):
    """Keeps to ``action_bounds``, in each env that it gets."""

    action_bounds: list[Any] | None = None

    def set_env(self, env: GymEnv, force_reset: bool = True) -> None:
        """Take another env; see SB3's ``BaseAlgorithm.set_env``."""
        super().set_env(bounded_env(env, self.action_bounds, self.verbose), force_reset)


def bounded_env(env: Any, bounds: ActionBounds | None, verbose: int = 0) -> Any:
    """Put bounds around an env, and SB3's wrappers below them.

    :param env: environment, its id, or envs
    :param bounds: see :func:`bounded_space`; None leaves the env as it is, and so does an env that has them
    :param verbose: of the algorithm
    :raises ValueError: if the env's actions have no bounds and none are given
    """
    if env is None or isinstance(env, BoundedActions):
        return env
    env = maybe_make_env(env, verbose)
    if bounds is None:
        space = getattr(env, "action_space", None)
        if isinstance(space, spaces.Box) and not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
            raise ValueError(
                f"the actions have no bounds ({space}), and DDPG's tanh needs them: pass action_bounds=(low, high)"
            )
        return env
    return BoundedActions(OffPolicyAlgorithm._wrap_env(env, verbose), bounds)


def bounds_in(path: str | Path | io.BufferedIOBase) -> ActionBounds | None:
    """Read the bounds that a model's zip holds.

    :param path: file, ``.zip`` is added where it is missing; or a binary file, which is left where it was
    :return: None where it has none, or cannot be read, which ``load`` says better
    """
    with suppress(OSError, ValueError, KeyError, zipfile.BadZipFile):
        if isinstance(path, str | Path):
            file: Any = path if Path(path).is_file() else Path(f"{path}.zip")
            return _bounds_of(file)
        place = path.tell()
        try:
            return _bounds_of(path)
        finally:
            path.seek(place)
    return None


def _bounds_of(file: Any) -> ActionBounds | None:
    with zipfile.ZipFile(file) as archive:
        attributes = json.loads(archive.read("data"))
    bounds: ActionBounds | None = attributes.get("action_bounds")
    return bounds
