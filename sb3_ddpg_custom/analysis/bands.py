"""The middle of several runs' curves, and a band around it."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sb3_ddpg_custom.analysis.runs import Run
from sb3_ddpg_custom.analysis.statistics import CONFIDENCE, Array, Statistic, iqm

_MOST_POINTS = 200
_RESAMPLES = 1_000


@dataclass(frozen=True, kw_only=True, eq=False)
class Band:
    """A curve over runs.

    :param x: (k,) ascending
    :param middle: (k,) over the runs that reach x; NaN where fewer than half of them do
    :param low: (k,) end of the 95 % bootstrap interval; NaN where fewer than two runs reach x
    :param high: (k,)
    """

    x: Array
    middle: Array
    low: Array
    high: Array


def band_of(runs: Sequence[Run], statistic: Statistic = iqm, *, seed: int = 0) -> Band:
    """Aggregate the curves of one setting's runs at the points where any of them has a value.

    Between its own points a run's curve is a straight line; it is nowhere longer than the run. Beyond 200 points,
    200 at equal distances are taken.

    :param runs: at least one with an evaluation
    :param statistic: of (..., runs)
    :param seed: of the bootstrap
    """
    drawn = [run for run in runs if len(run.steps)]
    x = np.unique(np.concatenate([run.steps for run in drawn]))
    if len(x) > _MOST_POINTS:
        x = np.linspace(x[0], x[-1], _MOST_POINTS)
    values = np.stack([np.interp(x, run.steps, run.means, left=np.nan, right=np.nan) for run in drawn], axis=1)
    there = np.isfinite(values)
    middle, low, high = (np.full(len(x), np.nan) for _ in range(3))
    generator = np.random.default_rng(seed)
    for reached in np.unique(there, axis=0):
        rows = (there == reached).all(axis=1)
        number = int(reached.sum())
        if 2 * number < len(drawn) or number == 0:
            continue
        own = values[rows][:, reached]
        middle[rows] = statistic([own])
        if number > 1:
            again = generator.integers(number, size=(_RESAMPLES, number))
            # A row at a time: many points of many runs would fill the memory.
            ends = [np.quantile(statistic([one[again]]), ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2)) for one in own]
            low[rows], high[rows] = np.array(ends).T
    return Band(x=x, middle=middle, low=low, high=high)


def binned(steps: Array, values: Array, *, bins: int = 50) -> tuple[Array, Array]:
    """Average training episodes over stretches of equal length, so that they can be drawn as a curve.

    >>> where, means = binned(np.array([10.0, 20.0, 30.0, 40.0]), np.array([1.0, 3.0, 5.0, 7.0]), bins=2)
    >>> where.tolist(), means.tolist()
    ([20.0, 40.0], [2.0, 6.0])

    :param steps: (m,) ascending, above 0: at which each episode ended
    :param values: (m,) of each episode
    :param bins: number of stretches from 0 to the last step; those without an episode are left out
    :return: the last step of an episode in each stretch, and the stretch's mean
    """
    if not len(steps):
        return steps, values
    place = np.minimum(np.ceil(steps / (steps[-1] or 1.0) * bins), bins).astype(np.int64)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    ends = np.append(starts[1:], len(place))
    return steps[ends - 1], np.add.reduceat(values, starts) / (ends - starts)
