"""What a replay buffer holds, and how it is laid out, looked up, copied and restored."""

import logging
from typing import Any, NamedTuple, TypeVar

import numpy as np
from gymnasium import spaces
from numpy.typing import ArrayLike, NDArray
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer

from sb3_ddpg_custom.option_values import StorageName
from sb3_ddpg_custom.replay.assigned_arrays import BufferField, as_field, checked
from sb3_ddpg_custom.replay.batch_memory import BatchMemory
from sb3_ddpg_custom.replay.device_records import DeviceRecords, is_modest
from sb3_ddpg_custom.replay.final_observations import NO_SLOT, FinalObservations
from sb3_ddpg_custom.replay.observation_fields import Observations, observation_fields, part
from sb3_ddpg_custom.replay.priorities import Priorities
from sb3_ddpg_custom.replay.records import Field, Records

_log = logging.getLogger(__name__)

SelfStorage = TypeVar("SelfStorage", bound="TransitionStorage")


# Rebuilt or saved as Stored; a plain copy would copy the views too, and rows that nothing was written to.
_STORAGE = {
    *("views", "assigned_rows", "records", "final_observations", "priorities", "_batch_memory", "_gathered"),
    *("_mirror", "_may_mirror", "_steps_to_send", "content_version"),
}


class Stored(NamedTuple):
    """All that a buffer holds beside its options.

    :param rows: filled records, (size * n_envs,)
    :param pos: row that is written next
    :param full: whether the ring has come round
    :param final_observations: rows of :class:`FinalObservations`, None where none are needed
    :param priorities: pᵢ^alpha by transition, (size * n_envs,), None without priorities
    :param largest_priority: the largest p so far
    :param progress_remaining: of the training, 1 to 0, as it was told last
    """

    rows: NDArray[np.void]
    pos: int
    full: bool
    final_observations: NDArray[np.void] | None = None
    priorities: NDArray[np.float64] | None = None
    largest_priority: float = 1.0
    progress_remaining: float = 1.0


class TransitionStorage(SB3ReplayBuffer):
    """The memory of :class:`sb3_ddpg_custom.ReplayBuffer`: one record per transition, and what options add to them.

    A subclass sets SB3's attributes and these options, and then opens the storage.
    """

    n_steps: int
    gamma: float
    priority_exponent: float | None
    importance_exponent: float
    priority_epsilon: float
    storage: StorageName = "auto"  # also of pickles that are older than the option

    observations: Any = BufferField()
    next_observations: Any = BufferField()
    actions: Any = BufferField()
    rewards: Any = BufferField()
    dones: Any = BufferField()
    timeouts: Any = BufferField()
    final_slots: Any = BufferField()

    def _open_storage(self) -> None:
        capacity = self.buffer_size * self.n_envs
        observation = observation_fields("observations", self.observation_space, self.obs_shape)
        fields = {
            "actions": Field(np.dtype(self._maybe_cast_dtype(self.action_space.dtype)), (self.action_dim,)),
            "rewards": Field(np.float32, ()),
            "dones": Field(np.bool_, ()),
            "timeouts": Field(np.bool_, ()),
            **observation,
        }
        if self.optimize_memory_usage:
            fields["final_slots"] = Field(np.int32, ())
        else:
            fields |= observation_fields("next_observations", self.observation_space, self.obs_shape)
        self.records = Records(capacity, fields)
        # n-step returns need the tail alone, to see where a sequence breaks off.
        needs_tail = self.optimize_memory_usage or self.n_steps > 1
        self.final_observations = FinalObservations(self.n_envs, observation) if needs_tail else None
        self.priorities: Priorities | None = None
        if self.priority_exponent is not None:
            self.priorities = Priorities(
                capacity,
                exponent=self.priority_exponent,
                importance_exponent=self.importance_exponent,
                epsilon=self.priority_epsilon,
            )
        self._mirror: DeviceRecords | None = None
        self._may_mirror, self._steps_to_send = True, 0
        # Counts what changes rows in another way than by adding some.
        self.content_version = 0
        self._view_records()

    def _view_records(self) -> None:
        """Offer each field under SB3's name, as a view on the records, (rows, n_envs, *shape)."""
        views = {
            name: self.records[name].reshape(-1, self.n_envs, *field.shape)
            for name, field in self.records.fields.items()
        }
        self.views: dict[str, Any] = dict(views)
        self.assigned_rows: dict[str, int] = {}
        for name in ("observations",) if self.optimize_memory_usage else ("observations", "next_observations"):
            self.views[name] = as_field(self, name, part(views, name))
        # What add() needs at every step; most of its time is Python's, so little may stand in the way of its writes.
        self._plain = isinstance(self.observations, np.ndarray) and not self.optimize_memory_usage
        self._plain &= not isinstance(self.observation_space, spaces.Discrete)
        self._no_timeouts = np.zeros(self.n_envs, dtype=np.bool_)
        no_halves = not any(field.dtype == np.float16 for field in self.records.fields.values())
        self._can_leave_gathering = self._plain and self.priorities is None and no_halves
        self._can_share_gathers = self._plain and self.n_steps == 1 and self.priorities is None
        self._can_mirror = not self.optimize_memory_usage
        self._batch_memory: BatchMemory | None = None
        self._gathered: NDArray[np.void] | None = None

    def assign(self, name: str, values: ArrayLike) -> None:
        """Write to a field, as ``buffer.rewards = …`` does; the buffer grows if there are more rows than it has.

        :param name: of the field, ``observations:key`` for a part of Dict observations
        :param values: (rows, n_envs, *shape), for the first rows
        :raises ValueError: if they are of another shape or kind, or if the buffer keeps more than its fields tell
        """
        if self.priorities is not None or self.optimize_memory_usage:
            option = "optimize_memory_usage" if self.optimize_memory_usage else "priority_exponent"
            raise ValueError(f"{name} cannot be assigned to a buffer with {option}: add the transitions instead")
        array = checked(name, values, self.views[name])
        self.buffer_size = max(self.buffer_size, len(array))
        # Into memory of its own: what a script has read from the attributes stays what it was, as in SB3.
        self._move(self.buffer_size)
        self.views[name][: len(array)] = array
        # Until all is in place, each attribute shows what was assigned to it.
        self.assigned_rows[name] = len(array)

    def _move(self, rows: int) -> None:
        """Take other memory with the same content.

        :param rows: rows per env of the new one
        """
        old, rows_then = self.records.rows, len(self.records) // self.n_envs
        assigned = self.assigned_rows or dict.fromkeys(self.records.fields, rows_then)
        self.records = Records(rows * self.n_envs, self.records.fields)
        kept = min(len(old), len(self.records))
        self.records.rows[:kept] = old[:kept]
        self._mirror, self._steps_to_send = None, rows
        self.content_version += 1
        self._view_records()
        self.assigned_rows = dict(assigned)

    def _settle(self) -> None:
        """End assigning: from here on attributes show all rows, of which there are ``buffer_size``."""
        if len(self.records) != self.buffer_size * self.n_envs:
            self._move(self.buffer_size)
        self.assigned_rows.clear()

    @property
    def nbytes(self) -> int:
        """Bytes of memory held for transitions, written to or not."""
        return sum(held.nbytes for held in (self.records, self.final_observations, self.priorities) if held is not None)

    @property
    def asks_for_mirror(self) -> bool:
        """Whether batches come from a copy on a CUDA device, unless that turns out to be impossible."""
        is_wanted = self._may_mirror and self._can_mirror and self.storage != "memory"
        return self._mirror is not None or (is_wanted and self.device.type == "cuda")

    def _mirrored(self) -> DeviceRecords | None:
        """Give the records' copy on a CUDA device as they are now, None where there is none.

        Sent is what :meth:`add` and :meth:`restore` wrote; what is written through the NumPy views is not noticed.
        """
        if not self.asks_for_mirror:
            return None
        if self._mirror is not None and self._mirror.n_steps != self.n_steps:
            self._mirror = DeviceRecords(self.records, self._mirror.device, self.n_envs, self.n_steps)
            self._steps_to_send = self.buffer_size
        if self._mirror is None:
            if self.storage == "auto" and not is_modest(self.records.nbytes, self.device):
                self._may_mirror = False
                return None
            self._mirror = DeviceRecords(self.records, self.device, self.n_envs, self.n_steps)
            self._steps_to_send = self.buffer_size
        self._mirror.upload(self.pos * self.n_envs, min(self._steps_to_send, self.size()) * self.n_envs)
        self._steps_to_send = 0
        return self._mirror

    def _gather_on_device(self, indices: NDArray[np.integer], batch_size: int) -> list[Any] | None:
        """Gather batches from the copy on the device, None where there is none; see :meth:`DeviceRecords.gather`."""
        try:
            mirror = self._mirrored()
            newest = (self.pos - 1) % self.buffer_size
            return None if mirror is None else mirror.gather(indices, batch_size, newest=newest, gamma=self.gamma)
        except Exception as error:
            self._mirror, self._may_mirror = None, False
            reason = str(error).partition("\n")[0]
            _log.warning("batches come out of memory: keeping the records on the device failed (%s)", reason)
            return None

    def _next_rows(self, indices: NDArray[np.integer], steps: NDArray[np.integer] | int) -> NDArray[np.integer]:
        """Go some rows on in the same env."""
        return (indices + steps * self.n_envs) % len(self.records)

    def _next_observations(self, indices: NDArray[np.integer], batch: NDArray[np.void]) -> Observations:
        """Look up what followed transitions.

        :param indices: their numbers, (batch,)
        :param batch: their records, (batch,)
        """
        if not self.optimize_memory_usage:
            return part(batch, "next_observations")
        assert self.final_observations is not None  # noqa: S101 (for mypy)
        following = self.records.gather(self._next_rows(indices, 1))
        slots = batch["final_slots"]
        elsewhere = np.flatnonzero(slots != NO_SLOT)
        kept = self.final_observations.rows[slots[elsewhere]]
        for name in kept.dtype.names or ():
            following[name][elsewhere] = kept[name]
        return part(following, "observations")

    def stored(self) -> Stored:
        """All that the buffer holds, as views."""
        filled = self.size() * self.n_envs
        finals, priorities = self.final_observations, self.priorities
        return Stored(
            rows=self.records.rows[:filled],
            pos=self.pos,
            full=self.full,
            final_observations=None if finals is None else finals.rows,
            priorities=None if priorities is None else priorities.tree.weights[:filled],
            largest_priority=1.0 if priorities is None else priorities.largest,
            progress_remaining=1.0 if priorities is None else priorities.progress_remaining,
        )

    def restore(self, stored: Stored) -> None:
        """Take over what another buffer of the same options and size held.

        :param stored: its content; ``rows`` may be this buffer's own, already written
        """
        filled = len(stored.rows)
        own = self.records.rows[:filled]
        if not np.shares_memory(own, stored.rows):
            own[:] = stored.rows
        self.pos, self.full = stored.pos, stored.full
        self.content_version += 1
        self._steps_to_send = self.buffer_size
        if self.final_observations is not None and stored.final_observations is not None:
            slots = own["final_slots"] if self.optimize_memory_usage else np.empty(0, np.int32)
            self.final_observations.restore(stored.final_observations.copy(), slots)
        if self.priorities is not None and stored.priorities is not None:
            self.priorities.tree.set(np.arange(filled), stored.priorities)
            self.priorities.largest = stored.largest_priority
            self.priorities.progress_remaining = stored.progress_remaining

    def emptied(self: SelfStorage, buffer_size: int) -> SelfStorage:
        """Make an empty buffer with the same options.

        :param buffer_size: rows per env of the new one
        """
        other = object.__new__(type(self))
        other.__dict__.update({name: value for name, value in self.__dict__.items() if name not in _STORAGE})
        other.buffer_size, other.pos, other.full = buffer_size, 0, False
        other._open_storage()
        return other

    def __getstate__(self) -> dict[str, Any]:
        options = {name: value for name, value in self.__dict__.items() if name not in _STORAGE}
        return {**options, "stored": self.stored()}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update({name: value for name, value in state.items() if name != "stored"})
        self._open_storage()
        self.restore(state["stored"])
