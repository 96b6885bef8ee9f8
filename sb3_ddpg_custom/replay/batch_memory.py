"""Memory that batches are gathered into again and again: one gather serves several of them, their tensors are views."""

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_ddpg_custom.replay.records import Records


class BatchMemory:
    """Rows for some batches of plain transitions on the CPU.

    :param records: with the fields ``observations``, ``next_observations``, ``actions``, ``rewards``, ``dones`` and
        ``timeouts``
    :param count: number of batches
    :param batch_size: transitions in each
    """

    def __init__(self, records: Records, count: int, batch_size: int) -> None:
        self.records = records
        self.count, self.batch_size = count, batch_size
        self._rows = np.empty(count * batch_size, dtype=records.rows.dtype)
        self._bytes = self._rows.view(records.raw.dtype)
        self._dones, self._timeouts = self._rows["dones"], self._rows["timeouts"]
        self._terminated = np.empty(count * batch_size, dtype=np.float32)
        tensors = [
            th.split(th.from_numpy(array), batch_size)
            for array in (
                self._rows["observations"],
                self._rows["actions"],
                self._rows["next_observations"],
                self._terminated[:, None],
                self._rows["rewards"][:, None],
            )
        ]
        self._batches = [ReplayBufferSamples(*parts) for parts in zip(*tensors, strict=True)]

    def gather(self, indices: NDArray[np.integer]) -> list[ReplayBufferSamples]:
        """Copy transitions here.

        :param indices: row numbers, (count * batch_size,)
        :return: batches whose tensors are strided views, overwritten by the next call
        """
        # NumPy checks the bounds by way of a second buffer; these numbers were drawn below the size.
        self.records.raw.take(indices, out=self._bytes, mode="clip")
        np.greater(self._dones, self._timeouts, out=self._terminated)
        return self._batches
