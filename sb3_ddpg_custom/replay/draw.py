"""Transitions that are drawn and not gathered yet: who computes with them reads them where they lie."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_ddpg_custom.replay.records import Records


class Draw(NamedTuple):
    """A batch of plain transitions: one array per observation, all kept, each as likely as any other.

    :param indices: their numbers, row * n_envs + env, (batch,)
    :param records: all transitions
    :param n_envs: that add to the records in turn
    :param n_steps: steps whose rewards are summed
    :param gamma: discount factor inside n-step returns
    :param newest: row of the newest transitions, behind which no sequence goes on
    :param samples: gathers the batch as :meth:`sb3_ddpg_custom.ReplayBuffer.sample` does
    """

    indices: NDArray[np.integer]
    records: Records
    n_envs: int
    n_steps: int
    gamma: float
    newest: int
    samples: Callable[[NDArray[np.integer], None], Any]

    def fields(self) -> tuple[NDArray[Any], ...]:
        """View all transitions.

        :return: observations, actions and next observations, (capacity, numbers); rewards, dones, timeouts, (capacity,)
        """
        return self.records.matrices("observations", "actions", "next_observations", "rewards", "dones", "timeouts")

    def gathered(self) -> ReplayBufferSamples:
        """Make tensors of it."""
        batch: ReplayBufferSamples = self.samples(self.indices, None)
        return batch
