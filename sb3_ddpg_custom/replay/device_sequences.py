"""n-step returns of sequences that lie on a device, with nothing that the host has to wait for."""

import numpy as np
import torch as th


class DeviceSequences:
    """Sums the rewards of n steps as :func:`sb3_ddpg_custom.replay.n_step.n_step_returns` does.

    In the same order up to seven steps; from eight on NumPy adds in pairs, and the last bits differ.

    >>> rewards, dones = th.tensor([4.0, 8.0, 16.0]), th.tensor([False, True, False])
    >>> sequences = DeviceSequences(rewards, dones, th.zeros(3, dtype=th.bool), n_envs=1, n_steps=2)
    >>> [tensor.tolist() for tensor in sequences.returns(th.tensor([0, 1, 2]), newest=2, gamma=0.5)]
    [[8.0, 8.0, 16.0], [0.25, 0.5, 0.5], [1, 1, 2]]

    :param rewards: of all transitions, a view of where they lie, (capacity,) float32
    :param dones: whether the episode ended, (capacity,)
    :param timeouts: whether only a time limit ended it, (capacity,)
    :param n_envs: that add transitions in turn
    :param n_steps: at least 2
    """

    def __init__(self, rewards: th.Tensor, dones: th.Tensor, timeouts: th.Tensor, n_envs: int, n_steps: int) -> None:
        self._rewards, self._dones, self._timeouts = rewards, dones, timeouts
        self._n_envs, self._n_steps = n_envs, n_steps
        self._offsets = n_envs * th.arange(n_steps, device=rewards.device)
        self._gamma: float | None = None

    def returns(self, first: th.Tensor, newest: int, gamma: float) -> tuple[th.Tensor, th.Tensor, th.Tensor]:
        """Sum the rewards from each start on, up to and with the step behind which the sequence may not go on.

        :param first: numbers of the transitions, row * n_envs + env, (size,)
        :param newest: row of the newest transitions of all envs
        :param gamma: discount factor per step
        :return: returns, discount factors of what comes behind, and numbers of the last transitions, all (size,)
        """
        if gamma != self._gamma:
            powers = gamma ** np.arange(self._n_steps + 1, dtype=np.float32)
            self._gamma, self._powers = gamma, th.from_numpy(powers).to(self._rewards.device)
        numbers = (first[:, None] + self._offsets) % len(self._rewards)
        ended = self._dones[numbers] | self._timeouts[numbers] | (numbers // self._n_envs == newest)
        # Steps behind which it goes on, in one piece from the first; what an end at the n-th says changes nothing.
        going_on = (~ended[:, :-1]).cumprod(1)
        discounted = self._rewards[numbers] * self._powers[:-1]
        total = discounted[:, 0]
        for step in range(1, self._n_steps):
            total = total + discounted[:, step] * going_on[:, step - 1]
        last_steps = going_on.sum(1, keepdim=True)
        return total, self._powers[last_steps[:, 0] + 1], numbers.gather(1, last_steps)[:, 0]
