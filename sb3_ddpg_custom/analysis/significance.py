"""Whether two settings differ in one environment, and how many runs it would take to tell."""

import math
from collections.abc import Sequence
from itertools import combinations, count

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_ddpg_custom.analysis.statistics import CONFIDENCE, Array

#: chance of finding a difference, for which :func:`runs_needed` plans
POWER = 0.8
#: beyond that :func:`runs_needed` gives no number
MOST_RUNS = 100
_MOST_SPLITS = 20_000
_RANDOM_SPLITS = 9_999


def permutation_p_value(first: ArrayLike, second: ArrayLike, *, seed: int = 0) -> float:
    """Test whether two samples come from the same distribution: a permutation test on Welch's t, two-sided.

    The runs are dealt to the two sides in every possible way, or in 9,999 random ones where there are more than
    20,000. The p-value is the share of the ways in which Welch's t is at least as far from 0 as it is. With equal
    distributions that holds its level for any number of runs and any shape (Chung and Romano 2013, arXiv 1304.5939,
    who show why the t has to be studentised: unequal variances). Three runs against three have 20 ways, so that even
    perfect separation has a p-value of 0.1.

    >>> permutation_p_value([1.0, 2.0, 3.0], [11.0, 12.0, 13.0])
    0.1

    :param first: (n,), finite
    :param second: (m,), finite
    :param seed: of the random ways
    :raises ValueError: with fewer than two runs on a side: no variance
    """
    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if min(len(one), len(other)) < 2:
        raise ValueError(f"{len(one)} and {len(other)} runs; two on each side are the least")
    together = np.concatenate([one, other])
    together = together - together.mean()
    largest = np.abs(together).max()
    if not largest > 0:
        return 1.0
    together = together / largest
    ways = math.comb(len(together), len(one))
    observed = _welch_t(together[None, :], len(one))[0]
    if ways <= _MOST_SPLITS:
        dealt = _all_splits(len(together), len(one))
    else:
        generator = np.random.default_rng(seed)
        dealt = np.argsort(generator.random((_RANDOM_SPLITS, len(together))), axis=1)
    # A hair less, lest rounding tells two ways apart that are one.
    extreme = np.abs(_welch_t(together[dealt], len(one))) >= abs(observed) * (1 - 1e-9)
    if ways <= _MOST_SPLITS:
        return float(extreme.mean())
    return float((1 + extreme.sum()) / (1 + _RANDOM_SPLITS))


def _all_splits(total: int, size: int) -> NDArray[np.int64]:
    """List every way to choose so many, the others behind them: (ways, total)."""
    chosen = np.array(list(combinations(range(total), size)))
    is_left = np.ones((len(chosen), total), bool)
    np.put_along_axis(is_left, chosen, False, axis=1)
    left = np.nonzero(is_left)[1].reshape(len(chosen), total - size)
    return np.concatenate([chosen, left], axis=1)


def _welch_t(together: Array, size: int) -> Array:
    """Compute Welch's t between the first so many columns and the others, per row; infinite without any variance."""
    one, other = together[:, :size], together[:, size:]
    difference = one.mean(axis=1) - other.mean(axis=1)
    variance = one.var(axis=1, ddof=1) / size + other.var(axis=1, ddof=1) / other.shape[1]
    with np.errstate(divide="ignore", invalid="ignore"):
        t = difference / np.sqrt(variance)
    return np.where(np.abs(difference) < 1e-12, 0.0, t)


def holm(p_values: Sequence[float]) -> list[float]:
    """Adjust p-values for being several, by Holm's step-down method (1979).

    >>> holm([0.01, 0.5, 0.02])
    [0.03, 0.5, 0.04]

    :param p_values: of all tests that are made together
    :return: to be compared with the level, in the same order
    """
    adjusted = [0.0] * len(p_values)
    largest = 0.0
    for rank, place in enumerate(np.argsort(p_values, kind="stable").tolist()):
        largest = max(largest, min((len(p_values) - rank) * p_values[place], 1.0))
        adjusted[place] = largest
    return adjusted


def welch_interval(first: ArrayLike, second: ArrayLike, *, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Bound the difference between two means, first minus second, by Welch's t distribution.

    It is wide with few runs where a bootstrap's is too narrow (Colas et al. 2019, arXiv 1904.06979 section 4).

    :param first: (n,)
    :param second: (m,)
    :param confidence: between 0 and 1
    :return: low and high; NaN with fewer than two runs on a side
    """
    from scipy import stats  # see statistics.iqm

    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    if min(len(one), len(other)) < 2:
        return float("nan"), float("nan")
    difference = float(one.mean() - other.mean())
    parts = one.var(ddof=1) / len(one), other.var(ddof=1) / len(other)
    if not sum(parts) > 0:
        return difference, difference
    freedom = sum(parts) ** 2 / (parts[0] ** 2 / (len(one) - 1) + parts[1] ** 2 / (len(other) - 1))
    half = float(stats.t.ppf((1 + confidence) / 2, freedom) * math.sqrt(sum(parts)))
    return difference - half, difference + half


def runs_needed(first: ArrayLike, second: ArrayLike, *, level: float) -> int | None:
    """Estimate how many runs of each it takes to find the difference that is seen, with a chance of 80 %.

    The power of Welch's t-test (Colas et al. 2019, arXiv 1904.06979 section 5), but never fewer runs than a
    permutation test needs to fall below the level at all.

    >>> runs_needed([0.0, 1.0, 2.0], [1.0, 2.0, 3.0], level=0.05)
    17

    :param first: (n,), n ≥ 2
    :param second: (m,), m ≥ 2
    :param level: of the test
    :return: runs of each; None if more than 100
    """
    from scipy import stats  # see statistics.iqm

    one, other = np.asarray(first, np.float64), np.asarray(second, np.float64)
    least = fewest_runs(level)
    difference = abs(float(one.mean() - other.mean()))
    variances = np.array([one.var(ddof=1), other.var(ddof=1)])
    if not difference > 0:
        return None
    if not variances.sum() > 1e-18 * difference**2:
        return least
    runs = np.arange(least, MOST_RUNS + 1)
    freedom = (runs - 1) * variances.sum() ** 2 / (variances**2).sum()
    shift = difference / np.sqrt(variances.sum() / runs)
    limit = stats.t.ppf(1 - level / 2, freedom)
    # Far out SciPy's noncentral t gives NaN; the chance is 1 there.
    power = np.where(shift > limit + 10, 1.0, stats.nct.sf(limit, freedom, np.minimum(shift, limit + 10)))
    found = runs[power >= POWER]
    return int(found[0]) if len(found) else None


def fewest_runs(level: float) -> int:
    """Give the fewest runs on each side with which perfect separation is significant.

    >>> fewest_runs(0.05)
    4

    :param level: of a two-sided permutation test
    """
    return next(runs for runs in count(2) if 2 / math.comb(2 * runs, runs) <= level)
