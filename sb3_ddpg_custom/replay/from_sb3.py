"""SB3's replay buffers, taken over into records."""

import pickle
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer

from sb3_ddpg_custom.replay.buffer import ReplayBuffer
from sb3_ddpg_custom.replay.files import PathOrFile, check_fit, describe, kind_of, layout, load_replay_buffer, opened
from sb3_ddpg_custom.replay.records import Field


def load_any_replay_buffer(
    path: PathOrFile, own: SB3ReplayBuffer, unpickle: Callable[[BinaryIO], SB3ReplayBuffer | None]
) -> SB3ReplayBuffer | None:
    """Read a file that ours or SB3's ``save_replay_buffer`` wrote.

    :param path: file to read, with or without ``.pkl``, or a binary file object
    :param own: the model's buffer, which says what the file must fit; its content does not matter
    :param unpickle: reads SB3's files, which runs what is in them
    :return: the buffer to go on with: ours where ``own`` is ours and the file's can be one
    :raises ValueError: if the file is damaged, no replay buffer, or does not fit
    """
    kind = kind_of(path)
    if kind == "unknown":
        raise ValueError(f"{path} is no replay buffer: save_replay_buffer writes what can be loaded here")
    if kind == "ours":
        if not isinstance(own, ReplayBuffer):
            raise ValueError(
                f"{path} is a file of sb3_ddpg_custom.ReplayBuffer, but this model uses {type(own).__name__}: "
                "build the model without replay_buffer_class"
            )
        return load_replay_buffer(path, own)
    try:
        with opened(path) as file:
            theirs = unpickle(file)
    except (pickle.UnpicklingError, EOFError) as error:
        raise ValueError(f"{path} is no replay buffer, or only a part of one ({error})") from error
    return from_sb3(theirs, own) if isinstance(own, ReplayBuffer) and theirs is not None else theirs


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
