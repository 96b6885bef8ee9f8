"""Prioritised experience replay, the proportional variant: Schaul et al. 2016, arXiv 1511.05952.

Symbols as in the paper: p priority, alpha its exponent, β the importance exponent, P(i) the chance of transition i.
"""

from typing import Any, NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_ddpg_custom.option_values import check_positive
from sb3_ddpg_custom.replay.sum_tree import SumTree


class PrioritizedSamples(NamedTuple):
    """A batch of SB3's ``ReplayBufferSamples`` or ``DictReplayBufferSamples``, and what priorities add to it.

    :param weights: importance weights of the squared TD errors, (batch, 1) float32, the largest is 1
    :param indices: which transitions these are, (batch,), for ``ReplayBuffer.update_priorities``
    """

    observations: Any
    actions: th.Tensor
    next_observations: Any
    dones: th.Tensor
    rewards: th.Tensor
    discounts: th.Tensor | None
    weights: th.Tensor
    indices: NDArray[np.intp]


class Priorities:
    """Chances of transitions, and the weights that correct for them.

    >>> priorities = Priorities(4, exponent=1.0, importance_exponent=0.5, epsilon=1e-12)
    >>> priorities.add(0, 2)
    >>> priorities.update(np.array([0, 1]), np.array([1.0, 3.0]))
    >>> priorities.chances(np.array([0, 1]))
    array([0.25, 0.75])

    :param capacity: number of transitions
    :param exponent: alpha, 0 draws uniformly
    :param importance_exponent: β₀, the exponent at the training's start; it rises linearly to 1 at its end
    :param epsilon: ε, added to each |TD error|, so that none is never drawn again
    :raises ValueError: if a number is out of its range
    """

    def __init__(self, capacity: int, *, exponent: float, importance_exponent: float, epsilon: float) -> None:
        check_positive(or_zero=True, priority_exponent=exponent)
        check_positive(or_zero=True, importance_exponent=importance_exponent)
        if importance_exponent > 1:
            raise ValueError(f"importance_exponent must be between 0 and 1, got {importance_exponent}")
        check_positive(priority_epsilon=epsilon)
        self.exponent = exponent
        self.importance_exponent = importance_exponent
        self.epsilon = epsilon
        self._tree = SumTree(capacity)
        self._first_new = self._count_new = 0
        self.largest = 1.0
        self.progress_remaining = 1.0

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return self._tree.nbytes

    @property
    def tree(self) -> SumTree:
        """The weights p^alpha, those of the new transitions included."""
        if self._count_new > 0:
            capacity = self._tree.capacity
            new = (self._first_new + np.arange(min(self._count_new, capacity))) % capacity
            self._tree.set(new, self.largest**self.exponent)
            self._count_new = 0
        return self._tree

    @property
    def beta(self) -> float:
        """β now."""
        return 1.0 - (1.0 - self.importance_exponent) * self.progress_remaining

    def add(self, first: int, count: int) -> None:
        """Give new transitions the largest priority so far, so that each is soon drawn once.

        The tree hears of them when it is asked next: one change for many costs little more than one for one.

        :param first: index of the first; calls go round the ring, each where the one before ended
        :param count: how many, one behind the other
        """
        if self._count_new == 0:
            self._first_new = first
        self._count_new += count

    def draw(self, batch_size: int) -> NDArray[np.intp]:
        """Draw one transition from each of ``batch_size`` equal parts of the priorities' sum (appendix B.2.1).

        Such a stratified draw has the chances P(i) and less variance than independent ones.

        :param batch_size: how many
        :return: indices, (batch,), in the order of the ring
        """
        tree = self.tree
        total = tree.total
        return tree.find((np.arange(batch_size) + np.random.random_sample(batch_size)) * (total / batch_size))

    def chances(self, indices: NDArray[np.intp]) -> NDArray[np.float64]:
        """P(i) = pᵢ^alpha / Σ p^alpha (equation 1).

        :param indices: (batch,)
        """
        tree = self.tree
        return tree.weights[indices] / tree.total

    def weights(self, indices: NDArray[np.intp], count: int) -> NDArray[np.float32]:
        """Importance weights (N · P(i))^-β, divided by the largest of the batch (section 3.4).

        The maximum over the batch, not over the memory: cheap, and like the paper's algorithm 1 it only scales down.

        :param indices: (batch,)
        :param count: N, transitions in memory
        :return: (batch, 1)
        """
        weights: NDArray[np.float64] = (count * self.chances(indices)) ** -self.beta
        weights /= weights.max()
        return weights.astype(np.float32)[:, None]

    def update(self, indices: NDArray[np.intp], td_errors: NDArray[np.floating]) -> None:
        """Set pᵢ = abs(δᵢ) + ε.

        :param indices: (batch,)
        :param td_errors: δ, of either sign, as many
        :raises ValueError: if their numbers differ, or one is not finite
        """
        if np.size(td_errors) != len(indices):
            raise ValueError(f"{len(indices)} transitions need as many TD errors, got {np.size(td_errors)}")
        priorities = np.abs(td_errors).reshape(-1).astype(np.float64) + self.epsilon
        if not np.isfinite(priorities).all():
            raise ValueError(
                f"{np.sum(~np.isfinite(priorities))} of {len(indices)} TD errors are not finite: the training has "
                "diverged, or a reward or observation is NaN; lower the learning rate, or look at the env"
            )
        # The new ones first: they have the largest of before, and may be among the updated.
        tree = self.tree
        tree.set(indices, priorities**self.exponent)
        self.largest = max(self.largest, float(priorities.max(initial=0.0)))

    def clear(self) -> None:
        """Forget all."""
        self._tree = SumTree(self._tree.capacity)
        self._count_new = 0
        self.largest = 1.0
