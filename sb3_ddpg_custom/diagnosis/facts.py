"""What is known of a training when somebody looks whether it is well."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

# Late is the last third.
_LATE = 2 / 3


class Curve(NamedTuple):
    """One quantity over the training.

    :param steps: rising, (points,); env steps, but for curves over episodes
    :param values: (points,)
    """

    steps: NDArray[np.int64]
    values: Array


NOTHING = Curve(np.empty(0, np.int64), np.empty(0))


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What there is to look at; what is missing is empty, and says nothing.

    :param settings: hyper-parameters by the names that configurations have
    :param steps: env steps made
    :param curves: by TensorBoard's tags
    :param evaluations: env steps, (n,)
    :param evaluation_returns: (n, episodes)
    :param episode_steps: env steps at which training episodes ended, (m,)
    :param episode_returns: (m,)
    :param episode_lengths: env steps, (m,)
    """

    settings: Mapping[str, Any] = field(default_factory=dict)
    steps: int = 0
    curves: Mapping[str, Curve] = field(default_factory=dict)
    evaluations: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    evaluation_returns: Array = field(default_factory=lambda: np.empty((0, 0)))
    episode_steps: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))
    episode_returns: Array = field(default_factory=lambda: np.empty(0))
    episode_lengths: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, np.int64))

    @property
    def evaluation_means(self) -> Array:
        """Mean return of each evaluation, (n,)."""
        means: Array = self.evaluation_returns.mean(axis=1) if self.evaluation_returns.size else np.empty(0)
        return means

    @property
    def is_late(self) -> NDArray[np.bool_]:
        """Which training episodes ended in the last third of what was trained, (m,)."""
        late: NDArray[np.bool_] = self.episode_steps > _LATE * self.steps
        return late

    def late(self, tag: str) -> Array:
        """Give the finite values of a curve in the last third of what was trained.

        :param tag: TensorBoard's, of a curve over env steps
        """
        steps, values = self.curves.get(tag, NOTHING)
        chosen: Array = values[(steps > _LATE * self.steps) & np.isfinite(values)]
        return chosen

    def late_median(self, tag: str) -> float:
        """Give the median of a curve's last third; NaN where it has none."""
        values = self.late(tag)
        return float(np.median(values)) if len(values) else float("nan")
