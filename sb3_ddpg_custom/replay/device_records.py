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
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_ddpg_custom.replay.records import Records

# Share of the device's free memory that a copy nobody asked for may take.
_MODEST_SHARE = 0.5
# What is sent at once from pinned memory, which torch keeps: longer transfers are waited for instead.
_PINNED_BYTES = 1 << 20


class DeviceRecords:
    """A copy of plain transitions on a device, and memory there that batches are gathered into again and again.

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

    :param records: with the fields ``observations``, ``next_observations``, ``actions``, ``rewards``, ``dones`` and
        ``timeouts``; nothing is copied yet
    :param device: where the copy goes
    """

    def __init__(self, records: Records, device: th.device) -> None:
        self.device = device
        self._fields: Any = records.rows.dtype.fields
        # A gather moves integers as wide as a row is made of.
        words = records.rows.view(f"i{gcd(records.row_bytes, 8)}").reshape(len(records), -1)
        self._here = th.from_numpy(words)
        self._there = th.empty_like(self._here, device=device)
        self._sizes = (0, 0)

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

    def gather(self, indices: NDArray[np.integer], batch_size: int) -> list[ReplayBufferSamples]:
        """Gather batches on the device.

        :param indices: row numbers, (count * batch_size,)
        :param batch_size: transitions in each batch
        :return: batches whose tensors are strided views, overwritten by the next call
        """
        if self._sizes != (len(indices), batch_size):
            self._allocate(len(indices), batch_size)
        self._send(th.from_numpy(indices), self._numbers)
        th.index_select(self._there, 0, self._numbers, out=self._rows)
        # SB3's dones: not those that are only a time limit's
        self._terminated.copy_(self._dones & ~self._timeouts)
        return self._batches

    def _allocate(self, size: int, batch_size: int) -> None:
        self._numbers = th.empty(size, dtype=th.int64, device=self.device)
        self._rows = self._there.new_empty(size, self._there.shape[1])
        self._terminated = th.empty(size, 1, device=self.device)
        self._dones, self._timeouts = self._field("dones"), self._field("timeouts")
        parts = (
            self._field("observations"),
            self._field("actions"),
            self._field("next_observations"),
            self._terminated,
            self._field("rewards"),
        )
        columns = [th.split(part, batch_size) for part in parts]
        self._batches = [ReplayBufferSamples(*batch) for batch in zip(*columns, strict=True)]
        self._sizes = (size, batch_size)

    def _field(self, name: str) -> th.Tensor:
        """View one field of the gathered rows, (size, *shape), a number as (size, 1)."""
        dtype, offset = self._fields[name][:2]
        kind = th.from_numpy(np.empty(0, dtype.base)).dtype
        columns = self._rows.view(th.uint8)[:, offset : offset + dtype.itemsize].view(kind)
        return columns.view(len(columns), *(dtype.shape or (1,)))

    def _send(self, here: th.Tensor, there: th.Tensor) -> None:
        if self.device.type == "cuda" and here.numel() * here.element_size() <= _PINNED_BYTES:
            # Python goes on meanwhile: torch keeps the pinned copy until the device has it.
            there.copy_(here.pin_memory(), non_blocking=True)
        else:
            there.copy_(here)


def check_storage(storage: str, *, plain: bool, device: th.device, needed_bytes: int) -> None:
    """Refuse what cannot be done.

    :param storage: ``"auto"``, ``"memory"`` or ``"cuda"``
    :param plain: whether the buffer's transitions are plain, as :class:`DeviceRecords` needs them
    :param device: where batches go
    :param needed_bytes: of all rows
    :raises ValueError: if there is no storage of that name, or it is "cuda" and that is impossible
    """
    if storage not in ("auto", "memory", "cuda"):
        raise ValueError(f"storage={storage!r} does not exist: choose 'auto', 'memory' or 'cuda'")
    if storage != "cuda":
        return
    if not plain:
        raise ValueError(
            "storage='cuda' holds plain transitions only: one array per observation, and neither n_steps, "
            "optimize_memory_usage nor priority_exponent; leave storage out to keep the records in memory"
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
