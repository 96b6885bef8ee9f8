"""A replay buffer on the disk in pieces: each holds the rows that were added since the one before."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.buffers import DictReplayBuffer, NStepReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer

from sb3_ddpg_custom.replay.buffer import ReplayBuffer
from sb3_ddpg_custom.replay.files import layout

_SB3S = (SB3ReplayBuffer, DictReplayBuffer, NStepReplayBuffer, HerReplayBuffer)
# Arrays of HerReplayBuffer that are written to far behind the newest row.
_CHANGES_ANYWHERE = ("ep_start", "ep_length")
_NAMES = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


@dataclass(frozen=True)
class Segment:
    """Rows of a ring that lie behind each other, round its end if need be.

    :param first: row of the first, from 0
    :param rows: how many
    :param until: rows that had been added to the buffer by then
    """

    first: int
    rows: int
    until: int


def why_not_kept(buffer: SB3ReplayBuffer | None) -> str | None:
    """Say why a buffer cannot be brought back exactly; None if it can.

    :param buffer: a model's
    """
    if buffer is None:
        return "the model has no replay buffer"
    if isinstance(buffer, ReplayBuffer) or type(buffer) in _SB3S:
        if isinstance(buffer, HerReplayBuffer) and buffer.copy_info_dict:
            return "HerReplayBuffer with copy_info_dict keeps objects that only a pickle could hold"
        return None
    return f"what a {type(buffer).__name__} keeps is not known"


class SegmentedBuffer:
    """Tells which rows of a replay buffer are new since it was last asked.

    Noticed is what the buffer's ``add`` writes, and what is assigned, loaded or reset. What a script writes through the
    NumPy views of the buffer is not: call :meth:`forget` then.

    :param buffer: whose rows :func:`why_not_kept` has nothing against
    """

    def __init__(self, buffer: SB3ReplayBuffer) -> None:
        self.buffer = buffer
        self.forget()

    def forget(self) -> None:
        """Take all rows for new."""
        self._until, self._pos, self._version = -1, 0, _version(self.buffer)

    def new_rows(self, rows_added: int) -> Segment:
        """Give the rows to write now.

        :param rows_added: to the buffer since the training began, which env steps tell
        """
        buffer = self.buffer
        size, added = buffer.buffer_size, rows_added - self._until
        goes_on = self._until >= 0 and self._version == _version(buffer) and 0 <= added < size
        if goes_on and (self._pos + added) % size == buffer.pos:
            # The newest row of then may have changed since: what came behind it was not known yet.
            overlap = 1 if self._until > 0 else 0
            segment = Segment((self._pos - overlap) % size, min(added + overlap, size), rows_added)
        else:
            filled = buffer.size()
            segment = Segment((buffer.pos - filled) % size, filled, rows_added)
        self._until, self._pos, self._version = rows_added, buffer.pos, _version(buffer)
        return segment

    def went_on(self, rows_added: int) -> None:
        """Take the rows for written, as after reading them.

        :param rows_added: as for :meth:`new_rows`
        """
        self._until, self._pos, self._version = rows_added, self.buffer.pos, _version(self.buffer)


def is_still_needed(segment: Segment, rows_added: int, buffer_size: int) -> bool:
    """Say whether a row of a segment is still in the ring.

    :param segment: written earlier
    :param rows_added: by now
    :param buffer_size: rows of the ring
    """
    return segment.until > rows_added - buffer_size


def rows_of(buffer: SB3ReplayBuffer, segment: Segment) -> dict[str, NDArray[Any]]:
    """Copy rows.

    :param buffer: to copy from
    :param segment: which rows
    :return: arrays of numbers, (segment.rows, …), by name
    """
    indices = _indices(segment, buffer.buffer_size)
    return {name: array[indices] for name, array in _ring(buffer)}


def write_rows(buffer: SB3ReplayBuffer, segment: Segment, rows: dict[str, NDArray[Any]]) -> None:
    """Put rows back.

    :param buffer: to write to
    :param segment: which rows
    :param rows: which :func:`rows_of` gave, of a buffer of the same layout
    :raises ValueError: if they do not fit
    """
    if not 0 <= segment.first < buffer.buffer_size or not 0 <= segment.rows <= buffer.buffer_size:
        raise ValueError(f"rows {segment.first} to {segment.first + segment.rows} are outside of the replay buffer")
    indices = _indices(segment, buffer.buffer_size)
    for name, array in _ring(buffer):
        found = rows.get(name)
        if found is None or found.shape != (segment.rows, *array.shape[1:]) or found.dtype != array.dtype:
            raise ValueError(f"the rows' {name} do not fit this replay buffer")
        array[indices] = found


def check_rows(buffer: SB3ReplayBuffer, segments: list[Segment]) -> None:
    """Check that segments have every row that a buffer is said to hold.

    :raises ValueError: if one is missing
    """
    held = np.zeros(buffer.buffer_size, dtype=np.bool_)
    for segment in segments:
        held[_indices(segment, buffer.buffer_size)] = True
    if not held[: buffer.size()].all():
        raise ValueError("rows of the replay buffer are missing")


def ring_state(buffer: SB3ReplayBuffer) -> dict[str, Any]:
    """Copy what a buffer keeps beside its rows, and what its content must fit.

    :param buffer: one that :func:`why_not_kept` has nothing against
    """
    state: dict[str, Any] = {"pos": buffer.pos, "full": buffer.full, "layout": _layout(buffer)}
    if isinstance(buffer, ReplayBuffer):
        stored, finals = buffer.stored(), buffer.final_observations
        state |= {"largest": stored.largest_priority, "progress": stored.progress_remaining}
        state["priorities"] = stored.priorities
        state["finals"] = None if finals is None else (finals.rows.view(np.uint8), list(finals.free))
    elif isinstance(buffer, HerReplayBuffer):
        state["episodes"] = {
            name: _up_to_last(getattr(buffer, name)) for name in (*_CHANGES_ANYWHERE, "_current_ep_start")
        }
    return state


def check_ring(buffer: SB3ReplayBuffer, state: dict[str, Any]) -> None:
    """Compare a buffer with what a saved state needs.

    :raises ValueError: if they differ; it names what
    """
    own = _layout(buffer)
    for key in [*own, *state["layout"]]:
        there, here = state["layout"].get(key), own.get(key)
        if there != here:
            raise ValueError(f"the replay buffer's {key} is {here} here and was {there}")


def restore_ring(buffer: SB3ReplayBuffer, state: dict[str, Any]) -> None:
    """Give a buffer, whose rows are there, the rest of another one's state.

    :param buffer: which :func:`check_ring` has nothing against
    :param state: which :func:`ring_state` gave
    :raises ValueError: if the state is impossible
    """
    pos, full = int(state["pos"]), bool(state["full"])
    if not 0 <= pos < buffer.buffer_size:
        raise ValueError(f"the replay buffer cannot go on at row {pos}")
    if isinstance(buffer, ReplayBuffer):
        finals = None
        if buffer.final_observations is not None:
            numbers, free = state["finals"]
            finals = np.ascontiguousarray(numbers).view(buffer.final_observations.rows.dtype)
        filled = (buffer.buffer_size if full else pos) * buffer.n_envs
        stored = buffer.stored()._replace(
            rows=buffer.records.rows[:filled],
            pos=pos,
            full=full,
            final_observations=finals,
            priorities=state["priorities"],
            largest_priority=float(state["largest"]),
            progress_remaining=float(state["progress"]),
        )
        buffer.restore(stored)
        if buffer.final_observations is not None:
            buffer.final_observations.free[:] = free
        return
    buffer.pos, buffer.full = pos, full
    for name, array in state.get("episodes", {}).items():
        whole = getattr(buffer, name)
        whole[: len(array)], whole[len(array) :] = array, 0


def _up_to_last(array: NDArray[np.integer]) -> NDArray[np.integer]:
    """Leave out rows of zeros at the end: of a buffer that is not full yet, most of all."""
    return array[: int(np.max(np.nonzero(array)[0], initial=-1)) + 1]


def _layout(buffer: SB3ReplayBuffer) -> dict[str, Any]:
    common = {"class": type(buffer).__name__, "buffer_size": buffer.buffer_size, "n_envs": buffer.n_envs}
    return common | (layout(buffer) if isinstance(buffer, ReplayBuffer) else {})


def _version(buffer: SB3ReplayBuffer) -> int:
    return buffer.content_version if isinstance(buffer, ReplayBuffer) else 0


def _indices(segment: Segment, buffer_size: int) -> slice | NDArray[np.intp]:
    if segment.first + segment.rows <= buffer_size:
        return slice(segment.first, segment.first + segment.rows)
    return (segment.first + np.arange(segment.rows)) % buffer_size


def _ring(buffer: SB3ReplayBuffer) -> Iterator[tuple[str, NDArray[Any]]]:
    """Give the arrays whose first axis is the ring."""
    if isinstance(buffer, ReplayBuffer):
        records = buffer.records
        yield "records", records.rows.view(np.uint8).reshape(-1, buffer.n_envs * records.row_bytes)
        return
    for name in _NAMES:
        array: Any = getattr(buffer, name, None)
        if isinstance(array, dict):
            yield from ((f"{name}:{key}", part) for key, part in array.items())
        elif array is not None:
            yield name, array
