"""SB3's replay buffers, taken over into records."""

from typing import Any

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer

from sb3_ddpg_custom.replay.buffer import ReplayBuffer
from sb3_ddpg_custom.replay.files import check_fit, describe, layout
from sb3_ddpg_custom.replay.records import Field


def from_sb3(theirs: SB3ReplayBuffer, like: ReplayBuffer) -> SB3ReplayBuffer:
    """Make an own buffer of one of SB3's: the same transitions in the same rows, the same batches with the same seed.

    :param theirs: any replay buffer
    :param like: an own buffer, whose options the new one has
    :return: the new buffer with the capacity of ``theirs``; or ``theirs`` itself where it is of a class that does more
        than SB3's plain, Dict and n-step buffers, or uses SB3's memory saving (which has lost a transition)
    :raises ValueError: if spaces, ``n_envs``, ``n_steps``, ``gamma`` or ``handle_timeout_termination`` differ
    """
    plain = type(theirs) in (SB3ReplayBuffer, DictReplayBuffer, NStepReplayBuffer)
    if not plain or theirs.optimize_memory_usage:
        return theirs
    expected = layout(like)
    found: dict[str, Any] = {
        "n_envs": theirs.n_envs,
        **_observation_layout(theirs),
        "actions": describe(Field(theirs.actions.dtype, theirs.actions.shape[2:])),
        "handle_timeout_termination": theirs.handle_timeout_termination,
        "n_steps": getattr(theirs, "n_steps", 1),
    }
    if found["n_steps"] > 1:
        found["gamma"] = getattr(theirs, "gamma", None)
    # These say how transitions are kept and drawn, not what they are.
    own_choice = {"optimize_memory_usage", "priority_exponent", "importance_exponent", "priority_epsilon"}
    check_fit("SB3's replay buffer", found, {key: value for key, value in expected.items() if key not in own_choice})
    ours = like.emptied(theirs.buffer_size)
    # In a ring that has come round, the oldest row is the one to be written next.
    ours.pos = theirs.pos if theirs.full else 0
    for row in ((np.arange(theirs.size()) + ours.pos) % theirs.buffer_size).tolist():
        ours.add(
            _row(theirs.observations, row),
            _row(theirs.next_observations, row),
            theirs.actions[row],
            theirs.rewards[row],
            theirs.dones[row] != 0,
            [{"TimeLimit.truncated": bool(cut)} for cut in theirs.timeouts[row]],
        )
    return ours


def _observation_layout(buffer: SB3ReplayBuffer) -> dict[str, str]:
    arrays: Any = buffer.observations
    named = (
        {f"observations:{key}": array for key, array in arrays.items()}
        if isinstance(arrays, dict)
        else {"observations": arrays}
    )
    return {name: describe(Field(array.dtype, array.shape[2:])) for name, array in named.items()}


def _row(observations: Any, row: int) -> Any:
    if isinstance(observations, dict):
        return {key: array[row] for key, array in observations.items()}
    return observations[row]
