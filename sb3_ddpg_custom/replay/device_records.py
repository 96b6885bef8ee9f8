"""A copy of the records on the GPU, from which batches are gathered there.

The records in RAM stay the truth: all but the drawing of batches works on them. The copy costs the device the bytes of
a full buffer, and each training one transfer of the rows that were added since the last one. In return a training
sends the numbers of the rows that it draws, and not the rows.
"""

from math import gcd
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples

from sb3_ddpg_custom.replay.device_sequences import DeviceSequences
from sb3_ddpg_custom.replay.observation_fields import part
from sb3_ddpg_custom.replay.records import Records

# Share of the device's free memory that a copy nobody asked for may take.
_MODEST_SHARE = 0.5
# What is sent at once from pinned memory, which torch keeps: longer transfers are waited for instead.
_PINNED_BYTES = 1 << 20


class DeviceRecords:
    """A copy of transitions on a device, and memory there that batches are gathered into again and again.

    >>> from sb3_ddpg_custom.replay.records import Field
    >>> number, vector, flag = Field(np.float32, ()), Field(np.float32, (2,)), Field(np.bool_, ())
    >>> fields = {"observations": vector, "actions": vector, "rewards": number, "next_observations": vector}
    >>> records = Records(4, {**fields, "dones": flag, "timeouts": flag})
    >>> there = DeviceRecords(records, th.device("cpu"))
    >>> records["rewards"][1] = 7.0
    >>> there.upload(end=2, count=1)
    >>> (batch,) = there.gather(np.array([1, 1]), batch_size=2)
    >>> batch.rewards.tolist()
    [[7.0], [7.0]]

    :param records: with the fields ``observations`` and ``next_observations``, or those of their parts, ``actions``,
        ``rewards``, ``dones`` and ``timeouts``; nothing is copied yet
    :param device: where the copy goes
    :param n_envs: that add to the records in turn
    :param n_steps: steps whose rewards are summed
    """

    def __init__(self, records: Records, device: th.device, n_envs: int = 1, n_steps: int = 1) -> None:
        self.device, self.n_steps = device, n_steps
        self._fields: Any = records.rows.dtype.fields
        # A gather moves integers as wide as a row is made of.
        words = records.rows.view(f"i{gcd(records.row_bytes, 8)}").reshape(len(records), -1)
        self._here = th.from_numpy(words)
        self._there = th.zeros_like(self._here, device=device)  # rows not sent yet count 0 times: never NaN
        self._sizes = (0, 0)
        self._sequences: DeviceSequences | None = None
        if n_steps > 1:
            rewards, dones, timeouts = (
                self._field(self._there, name)[:, 0] for name in ("rewards", "dones", "timeouts")
            )
            self._sequences = DeviceSequences(rewards, dones, timeouts, n_envs, n_steps)

    def upload(self, end: int, count: int) -> None:
        """Bring the newest rows up to date.

        :param end: number of the row behind the last one; the last row of all lies before row 0
        :param count: how many rows, at most all
        """
        first = end - count
        if first < 0:
            self._copy(first + len(self._here), len(self._here))
        self._copy(max(first, 0), end)

    def _copy(self, first: int, end: int) -> None:
        if first < end:
            self._send(self._here[first:end], self._there[first:end])

    def gather(
        self, indices: NDArray[np.integer], batch_size: int, *, newest: int = -1, gamma: float = 1.0
    ) -> list[ReplayBufferSamples | DictReplayBufferSamples]:
        """Gather batches on the device.

        :param indices: row numbers, (count * batch_size,)
        :param batch_size: transitions in each batch
        :param newest: row of the newest transitions of all envs, behind which no sequence goes on
        :param gamma: discount factor inside n-step returns
        :return: batches whose tensors are strided views, overwritten by the next call
        """
        if self._sizes != (len(indices), batch_size):
            self._allocate(len(indices), batch_size)
        self._send(th.from_numpy(indices), self._numbers)
        th.index_select(self._there, 0, self._numbers, out=self._rows)
        if self._sequences is not None:
            rewards, discounts, last = self._sequences.returns(self._numbers, newest, gamma)
            self._rewards.copy_(rewards[:, None])
            self._discounts.copy_(discounts[:, None])
            th.index_select(self._there, 0, last, out=self._last_rows)
        # SB3's dones: not those that are only a time limit's
        self._terminated.copy_(self._dones & ~self._timeouts)
        return self._batches

    def _allocate(self, size: int, batch_size: int) -> None:
        """Take memory for so many transitions, and view it as batches."""
        self._numbers = th.empty(size, dtype=th.int64, device=self.device)
        self._terminated = th.empty(size, 1, device=self.device)
        self._rows = self._last_rows = self._there.new_empty(size, self._there.shape[1])
        self._rewards, discounts = self._field(self._rows, "rewards"), None
        if self._sequences is not None:
            self._last_rows = th.empty_like(self._rows)
            self._rewards, self._discounts = th.empty_like(self._terminated), th.empty_like(self._terminated)
            discounts = self._discounts
        self._dones, self._timeouts = (self._field(self._last_rows, name) for name in ("dones", "timeouts"))
        parts = {
            "actions": self._field(self._rows, "actions"),
            "dones": self._terminated,
            "rewards": self._rewards,
            "discounts": discounts,
            "observations": self._observations(self._rows, "observations"),
            "next_observations": self._observations(self._last_rows, "next_observations"),
        }
        samples = DictReplayBufferSamples if isinstance(parts["observations"], dict) else ReplayBufferSamples
        self._batches = [
            samples(**{name: _rows_of(part, start, start + batch_size) for name, part in parts.items()})
            for start in range(0, size, batch_size)
        ]
        self._sizes = (size, batch_size)

    def _observations(self, rows: th.Tensor, name: str) -> Any:
        fields: dict[str, Any] = {
            full: self._field(rows, full) for full in self._fields if full.partition(":")[0] == name
        }
        return part(fields, name)

    def _field(self, rows: th.Tensor, name: str) -> th.Tensor:
        """View one field of rows, (size, *shape), a number as (size, 1)."""
        dtype, offset = self._fields[name][:2]
        kind = th.from_numpy(np.empty(0, dtype.base)).dtype
        columns = rows.view(th.uint8)[:, offset : offset + dtype.itemsize].view(kind)
        return columns.view(len(columns), *(dtype.shape or (1,)))

    def sent(self, array: NDArray[Any]) -> th.Tensor:
        """Give an array's numbers on the device, in memory of their own.

        :param array: contiguous
        """
        here = th.from_numpy(array)
        there = th.empty_like(here, device=self.device)
        self._send(here, there)
        return there

    def _send(self, here: th.Tensor, there: th.Tensor) -> None:
        if self.device.type == "cuda" and here.numel() * here.element_size() <= _PINNED_BYTES:
            # Python goes on meanwhile: torch keeps the pinned copy until the device has it.
            there.copy_(here.pin_memory(), non_blocking=True)
        else:
            there.copy_(here)


def contiguous(batch: Any) -> Any:
    """Give a batch in memory of its own, as ``sample`` would: what was gathered is strided, and written over.

    :param batch: a tuple of tensors, of dicts of them, and of others, which are handed through
    """
    return type(batch)(*map(_contiguous, batch))


def _contiguous(part: Any) -> Any:
    if isinstance(part, dict):
        return {key: _contiguous(tensor) for key, tensor in part.items()}
    return part.clone(memory_format=th.contiguous_format) if isinstance(part, th.Tensor) else part


def _rows_of(part: Any, start: int, end: int) -> Any:
    """Cut rows out of a tensor, or of each in a dict."""
    if isinstance(part, dict):
        return {key: tensor[start:end] for key, tensor in part.items()}
    return None if part is None else part[start:end]


def check_storage(storage: str, *, whole: bool, device: th.device, needed_bytes: int) -> None:
    """Refuse what cannot be done.

    :param storage: ``"auto"``, ``"memory"`` or ``"cuda"``
    :param whole: whether each record has its next observations, as :class:`DeviceRecords` needs them
    :param device: where batches go
    :param needed_bytes: of all rows
    :raises ValueError: if there is no storage of that name, or it is "cuda" and that is impossible
    """
    if storage not in ("auto", "memory", "cuda"):
        raise ValueError(f"storage={storage!r} does not exist: choose 'auto', 'memory' or 'cuda'")
    if storage != "cuda":
        return
    if not whole:
        raise ValueError(
            "storage='cuda' holds whole transitions only: leave optimize_memory_usage out, or storage to keep the "
            "records in memory"
        )
    if device.type != "cuda":
        raise ValueError(
            f"storage='cuda' needs a CUDA device, but the device is {device}: leave storage out "
            "(a saved model can be loaded with replay_buffer_kwargs={})"
        )
    free = free_bytes(device)
    if needed_bytes > free:
        raise ValueError(
            f"storage='cuda' needs {needed_bytes / 1e9:.1f} GB for a full replay buffer, but {free / 1e9:.1f} GB of "
            "the device are free: lower buffer_size, or leave storage out"
        )


def is_modest(needed_bytes: int, device: th.device) -> bool:
    """Say whether a copy is so small that nobody has to ask for it.

    :param needed_bytes: of all rows
    :param device: where the copy would go
    """
    return needed_bytes <= _MODEST_SHARE * free_bytes(device)


def free_bytes(device: th.device) -> int:
    """Bytes that nobody has taken.

    :param device: a CUDA device
    """
    return th.cuda.mem_get_info(device)[0]
