"""Observations that no later row repeats: what a memory-saving replay buffer keeps beside its rows.

In a running episode the next observation of one row is the observation of the following row, and need not be stored
twice. It is stored here only where that is not so: behind the newest row, and where an episode ended or was left.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.replay.observation_fields import Observations, part, write
from sb3_ddpg_custom.replay.records import Field

NO_SLOT = -1
"""Says in a row of the buffer that its next observation is the following row's observation."""

_NOTHING = np.empty(0, np.intp)


class FinalObservations:
    """A tail of one row per env, and slots that are taken and given back.

    Slots 0 to ``n_envs - 1`` are the tail: the observations that followed the newest rows. The others hold true final
    observations. The store grows as it needs to and is never searched.

    :param n_envs: number of envs
    :param fields: one observation, see :func:`sb3_ddpg_custom.replay.observation_fields.observation_fields`
    """

    def __init__(self, n_envs: int, fields: Mapping[str, Field]) -> None:
        # No padding between fields: NumPy leaves it undefined in copies, and whole rows are compared.
        dtype = np.dtype([(name, *field) for name, field in fields.items()])
        self.n_envs = n_envs
        self.tail_slots = np.arange(n_envs, dtype=np.int32)
        self._incoming = np.zeros(n_envs, dtype)
        self._use(np.zeros(n_envs, dtype))
        self.free: list[int] = []  # slots that can be taken, the next one last

    def _use(self, rows: NDArray[np.void]) -> None:
        self.rows = rows
        self._tail = rows[: self.n_envs]
        self._tail_views = _one_row_views(self._tail)
        self._incoming_views = _one_row_views(self._incoming)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self.rows.nbytes + self._incoming.nbytes

    def set_tail(self, next_observations: Observations) -> None:
        """Remember what followed the newest rows.

        :param next_observations: (n_envs, \\*shape), or a dict of them
        """
        write(self._tail_views, 0, next_observations)

    def breaks(self, observations: Observations) -> NDArray[np.intp]:
        """Find the envs that do not go on from the tail.

        Bytes are compared, not numbers: NaN equals itself, and what is read back later is exactly what was added.

        :param observations: before the step that is about to be added, (n_envs, \\*shape), or a dict of them
        :return: numbers of these envs, (number of breaks,)
        """
        write(self._incoming_views, 0, observations)
        # Nearly always all envs go on, and Python compares bytes much faster than NumPy compares records.
        if self._incoming.tobytes() == self._tail.tobytes():
            return _NOTHING
        whole = f"V{self.rows.dtype.itemsize}"
        return np.flatnonzero(self._incoming.view(whole) != self._tail.view(whole))

    def keep_tail(self, envs: NDArray[np.intp]) -> NDArray[np.int32]:
        """Copy the tail of some envs into slots of their own.

        :param envs: env numbers, (n,)
        :return: the slots, (n,)
        """
        if len(self.free) < len(envs):
            self._grow(len(self.rows) + len(envs))
        slots = np.array([self.free.pop() for _ in envs], dtype=np.int32)
        self.rows[slots] = self.rows[envs]
        return slots

    def give_back(self, slots: NDArray[np.int32]) -> None:
        """Let slots be taken again; the tail's slots and ``NO_SLOT`` are left alone.

        :param slots: (n,)
        """
        self.free += [slot for slot in slots.tolist() if slot >= self.n_envs]

    def give_back_all(self) -> None:
        """Let all slots be taken again."""
        self.free = list(range(len(self.rows) - 1, self.n_envs - 1, -1))

    def restore(self, rows: NDArray[np.void], slots: NDArray[np.int32]) -> None:
        """Take over saved rows.

        :param rows: the store's rows, (at least n_envs,), tail first
        :param slots: those in use
        """
        self._use(rows)
        taken = set(slots.tolist())
        self.free = [slot for slot in range(len(rows) - 1, self.n_envs - 1, -1) if slot not in taken]

    def _grow(self, least: int) -> None:
        old = self.rows
        # A quarter at a time keeps copying rare and leaves little unused; so does a floor for the first few.
        rows = np.zeros(max(least, len(old) + len(old) // 4, len(old) + 8), old.dtype)
        rows[: len(old)] = old
        self._use(rows)
        self.free.extend(range(len(rows) - 1, len(old) - 1, -1))


def _one_row_views(rows: NDArray[np.void]) -> Observations:
    """Views on the fields with a leading axis of one step, (1, n_envs, *shape)."""
    names = rows.dtype.names or ()
    return part({name: rows[name][None] for name in names}, "observations")
