"""Drawing from many weights that change: a tree of sums, every step of which is one NumPy call for the whole batch."""

import numpy as np
from numpy.typing import NDArray

# A wide tree is shallow: a million weights are five levels, and a level costs a few NumPy calls whatever its width.
BRANCHES = 16


class SumTree:
    """Non-negative weights, their sum, and a search in their running sum.

    >>> tree = SumTree(4)
    >>> tree.set(np.array([0, 1, 2]), np.array([1.0, 2.0, 3.0]))
    >>> tree.total
    6.0
    >>> tree.find(np.array([0.5, 1.0, 5.9]))
    array([0, 1, 2])

    :param capacity: number of weights, all 0 at first
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        # from the leaves to the root, each (nodes, BRANCHES)
        self._levels: list[NDArray[np.float64]] = []
        width = capacity
        while not self._levels or width > 1:
            width = -(-width // BRANCHES)
            self._levels.append(np.zeros((width, BRANCHES)))

    @property
    def total(self) -> float:
        """Sum of all weights."""
        return float(self._levels[-1].sum())

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(level.nbytes for level in self._levels)

    @property
    def weights(self) -> NDArray[np.float64]:
        """All weights, (capacity,): a view to read from."""
        return self._levels[0].reshape(-1)[: self.capacity]

    def set(self, indices: NDArray[np.integer], weights: NDArray[np.float64] | float) -> None:
        """Change weights; where an index occurs twice, its last weight counts.

        :param indices: (n,)
        :param weights: (n,) or one for all, finite, not negative
        """
        self._levels[0].reshape(-1)[indices] = weights
        for level, parents in zip(self._levels, self._levels[1:], strict=False):
            indices = indices // BRANCHES
            # Sums are taken anew, not corrected, so that no rounding error builds up.
            parents.reshape(-1)[indices] = level[indices].sum(axis=1)

    def find(self, positions: NDArray[np.float64]) -> NDArray[np.intp]:
        """Find whose share of the running sum contains a position.

        :param positions: (n,), from 0 up to but without ``total``
        :return: indices, (n,); never one whose weight is 0, unless all are
        """
        nodes = np.zeros(len(positions), dtype=np.intp)
        rows = np.arange(len(positions))
        for level in reversed(self._levels):
            weights = level.take(nodes, axis=0)
            upper = weights.cumsum(axis=1)
            # Rounding may carry a position past its node's end, where the branches can be empty.
            positions = np.minimum(positions, np.nextafter(upper[:, -1], 0))
            branches = (upper > positions[:, None]).argmax(axis=1)
            positions = np.maximum(positions - (upper[rows, branches] - weights[rows, branches]), 0)
            nodes = nodes * BRANCHES + branches
        return nodes
