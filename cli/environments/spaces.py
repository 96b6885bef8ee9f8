"""Which action and observation spaces DDPG can be trained on."""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces

from sb3_ddpg_custom.action_bounds import ActionBounds, bounded_space
from sb3_ddpg_custom.cli.errors import UsageError, one_line


def check_spaces(env_id: str, env: gym.Env[Any, Any], bounds: ActionBounds | None = None) -> None:
    """Make sure that DDPG can act in an env, and that SB3 has a policy for what it observes.

    :param env_id: for the message
    :param env: as its wrappers leave it
    :param bounds: of the settings
    :raises UsageError: one sentence about the first thing that is in the way
    """
    space = env.action_space
    if not isinstance(space, spaces.Box):
        raise UsageError(
            f"{env_id} has the action space {space}, but DDPG needs a Box of continuous actions; "
            "for discrete actions take an algorithm such as SB3's DQN"
        )
    try:
        narrowed = bounded_space(space, bounds)
    except ValueError as error:
        raise UsageError(f"{env_id}: {error}") from error
    assert isinstance(narrowed, spaces.Box)  # noqa: S101 (for mypy)
    space = narrowed
    if not (np.isfinite(space.low).all() and np.isfinite(space.high).all()):
        raise UsageError(
            f"{env_id} has unbounded actions ({space}), but DDPG's tanh needs finite bounds; "
            "add --action-bounds LOW,HIGH"
        )
    if not space.shape or 0 in space.shape:
        raise UsageError(
            f"{env_id} has actions of shape {space.shape}, but DDPG needs at least one component in at least one "
            "dimension; give the action space such a shape, or name an env_wrapper that does"
        )
    if not np.issubdtype(space.dtype, np.floating) and not np.issubdtype(space.dtype, np.integer):
        raise UsageError(
            f"{env_id} has actions of type {space.dtype}, but DDPG acts in numbers; "
            "give the action space the type float32, or name an env_wrapper that does"
        )
    if not (space.low < space.high).all():
        raise UsageError(
            f"{env_id} has action components without room between low and high ({space}); "
            "leave them out with an env_wrapper"
        )
    observed = env.observation_space
    parts = observed.spaces if isinstance(observed, spaces.Dict) else {"": observed}
    if not parts:
        raise UsageError(f"{env_id} has an observation space without parts; add what the agent may see")
    for part in parts.values():
        if isinstance(part, spaces.Box) and 0 in part.shape:
            raise UsageError(
                f"{env_id} has observations of shape {part.shape}, which hold nothing that SB3's policies can read; "
                "give the space a shape such as (1,), or name an env_wrapper that does"
            )
        if not isinstance(part, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary):
            raise UsageError(
                f"{env_id} has observations in {one_line(part)}, for which SB3 has no policy; name an env_wrapper that "
                "makes numbers of them"
            )


def needs_flattening(observed: spaces.Space[Any]) -> bool:
    """Say whether SB3 has no policy for observations, but has one for the same numbers in one row.

    :param observed: of an env, as its wrappers leave it
    """
    return _is_unreadable(observed) and _is_made_of_numbers(observed)


def _is_unreadable(observed: spaces.Space[Any]) -> bool:
    match observed:
        case spaces.Tuple():
            return bool(observed.spaces)
        case spaces.Dict():
            nested = any(isinstance(part, spaces.Dict) for part in observed.spaces.values())
            return nested or any(_is_unreadable(part) for part in observed.spaces.values())
        case spaces.MultiDiscrete():
            return observed.nvec.ndim != 1
        case _:
            return isinstance(observed, spaces.Box) and observed.shape == ()


def _is_made_of_numbers(observed: spaces.Space[Any]) -> bool:
    match observed:
        case spaces.Dict():
            return all(_is_made_of_numbers(part) for part in observed.spaces.values())
        case spaces.Tuple():
            return all(_is_made_of_numbers(part) for part in observed.spaces)
        case _:
            return isinstance(observed, spaces.Box | spaces.Discrete | spaces.MultiDiscrete | spaces.MultiBinary)
