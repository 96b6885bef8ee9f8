"""n-step returns out of sequences of rewards."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class NStepReturns(NamedTuple):
    """What n steps from each start amount to.

    :param returns: discounted sum of the rewards up to the sequence's last step, (batch, 1) float32
    :param discounts: discount factor of what comes behind the k steps that were summed, (batch, 1) float32
    :param last_steps: k - 1, the offset of the last step that counts, (batch,)
    """

    returns: NDArray[np.float32]
    discounts: NDArray[np.float32]
    last_steps: NDArray[np.intp]


def n_step_returns(rewards: NDArray[np.float32], ended: NDArray[np.bool_], gamma: float) -> NStepReturns:
    """Sum discounted rewards up to n steps, or up to and with the step at which the episode ended or was cut.

    Sutton & Barto 2018, equation 7.1, without its bootstrap. The arithmetic is float32, in the order of SB3's
    ``NStepReplayBuffer``, so that both give the same bits.

    :param rewards: of n consecutive steps, (batch, n) float32
    :param ended: whether the sequence may not go on behind a step, (batch, n)
    :param gamma: discount factor per step
    """
    n_steps = rewards.shape[1]
    steps = np.arange(n_steps)
    last_steps = np.where(ended.any(axis=1), ended.argmax(axis=1), n_steps - 1)
    counts = steps <= last_steps[:, None]
    discounted = rewards * gamma ** steps.astype(np.float32) * counts
    return NStepReturns(
        returns=discounted.sum(axis=1, keepdims=True),
        discounts=gamma ** counts.sum(axis=1, keepdims=True).astype(np.float32),
        last_steps=last_steps,
    )
