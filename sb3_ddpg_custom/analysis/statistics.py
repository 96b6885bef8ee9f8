"""Aggregates of scores over runs and environments, and their bootstrap intervals.

Definitions as in Agarwal et al. 2021, "Deep Reinforcement Learning at the Edge of the Statistical Precipice",
arXiv 2108.13264. Scores are given per environment, because runs are drawn again within each environment only
(a *stratified* bootstrap): a list with one array (runs,) for each, a matrix (runs, environments), or one array (runs,)
for a single environment.
"""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array: TypeAlias = NDArray[np.float64]
#: one array (..., runs) per environment; in front of the runs, what a bootstrap adds
Strata: TypeAlias = Sequence[Array]
Statistic: TypeAlias = Callable[[Any], Any]

CONFIDENCE = 0.95
RESAMPLES = 10_000
# So many numbers at once: some tens of megabytes.
_MOST_AT_ONCE = 4_000_000


def strata_of(scores: ArrayLike | Strata) -> list[Array]:
    """Bring scores into one form.

    :param scores: (runs,), (runs, environments), or one array (..., runs) per environment
    :return: one array (..., runs) per environment
    :raises ValueError: if there are none
    """
    if isinstance(scores, list | tuple) and len(scores) and all(np.ndim(one) > 0 for one in scores):
        strata = [np.asarray(one, np.float64) for one in scores]
    else:
        array = np.asarray(scores, np.float64)
        if array.ndim not in (1, 2):
            raise ValueError(f"scores have the shape {array.shape}; give (runs,) or (runs, environments)")
        strata = [array] if array.ndim == 1 else list(array.T)
    if not strata or not all(one.shape[-1] for one in strata):
        raise ValueError("an environment has no scores; leave it out")
    return strata


def iqm(scores: ArrayLike | Strata) -> Any:
    """Average the middle half of all scores (interquartile mean, arXiv 2108.13264 section 4.3).

    A quarter, rounded down, is cut off at each end: with three runs of one environment nothing is.

    >>> float(iqm([0.0, 1.0, 3.0, 100.0]))
    2.0

    :param scores: see the module
    """
    from scipy import stats  # half a second, and not wanted by every report

    return stats.trim_mean(np.concatenate(strata_of(scores), axis=-1), 0.25, axis=-1)


def mean(scores: ArrayLike | Strata) -> Any:
    """Average the environments' means.

    :param scores: see the module
    """
    return np.mean([one.mean(axis=-1) for one in strata_of(scores)], axis=0)


def median(scores: ArrayLike | Strata) -> Any:
    """Take the median over the runs of one environment, or over several environments' means, as papers print it.

    :param scores: see the module
    """
    strata = strata_of(scores)
    if len(strata) == 1:
        return np.median(strata[0], axis=-1)
    return np.median([one.mean(axis=-1) for one in strata], axis=0)


AGGREGATES: dict[str, Statistic] = {"iqm": iqm, "mean": mean, "median": median}


def bootstrap_intervals(
    scores: ArrayLike | Strata,
    statistics: Sequence[Statistic] = (iqm,),
    *,
    confidence: float = CONFIDENCE,
    resamples: int = RESAMPLES,
    seed: int = 0,
) -> list[tuple[float, float]]:
    """Bound statistics by the stratified percentile bootstrap: runs are drawn again within each environment.

    With few runs these intervals are too narrow: over 3 runs they hold the true value less often than they say.

    :param scores: see the module
    :param statistics: functions such as :func:`iqm`, all of the same draws
    :param confidence: share of the intervals that should hold the true value, between 0 and 1
    :param resamples: how often all runs are drawn again
    :param seed: of these draws
    :return: low and high per statistic; NaN where no environment has two runs
    """
    strata = strata_of(scores)
    if max(len(one) for one in strata) < 2:
        return [(float("nan"), float("nan"))] * len(statistics)
    generator = np.random.default_rng(seed)
    drawn: list[list[Array]] = [[] for _ in statistics]
    for times in _portions(resamples, sum(len(one) for one in strata)):
        again = [_drawn_again(one, times, generator) for one in strata]
        for values, statistic in zip(drawn, statistics, strict=True):
            values.append(np.asarray(statistic(again)))
    return [_percentiles(np.concatenate(values), confidence) for values in drawn]


def probability_of_improvement(first: ArrayLike | Strata, second: ArrayLike | Strata) -> Any:
    """Estimate how likely a run of the first scores above one of the second, averaged over the environments.

    Mann and Whitney's U over the number of pairs; equal scores count one half (arXiv 2108.13264 section 4.3).

    >>> float(probability_of_improvement([1.0, 2.0], [1.0, 0.0]))
    0.875

    :param first: scores, see the module
    :param second: scores in the same environments, in the same order
    :raises ValueError: if these are not as many environments
    """
    one, other = strata_of(first), strata_of(second)
    if len(one) != len(other):
        raise ValueError(f"the first has scores in {len(one)} environments, the second in {len(other)}")
    return np.mean([_share_above(x, y) for x, y in zip(one, other, strict=True)], axis=0)


def probability_interval(
    first: ArrayLike | Strata,
    second: ArrayLike | Strata,
    *,
    confidence: float = CONFIDENCE,
    resamples: int = 2_000,
    seed: int = 0,
) -> tuple[float, float]:
    """Bound :func:`probability_of_improvement`; both sides' runs are drawn again within each environment.

    :param first: scores, see the module
    :param second: scores in the same environments
    :param confidence: between 0 and 1
    :param resamples: how often all runs are drawn again
    :param seed: of these draws
    :return: low and high; NaN where a side has one run in each environment
    """
    one, other = strata_of(first), strata_of(second)
    if min(max(map(len, one)), max(map(len, other))) < 2:
        return float("nan"), float("nan")
    generator = np.random.default_rng(seed)
    pairs = sum(len(x) * len(y) for x, y in zip(one, other, strict=True))
    values = []
    for times in _portions(resamples, pairs):
        again = [[_drawn_again(x, times, generator) for x in side] for side in (one, other)]
        values.append(probability_of_improvement(*again))
    return _percentiles(np.concatenate(values), confidence)


def performance_profile(scores: ArrayLike | Strata, thresholds: ArrayLike) -> Array:
    """Say which share of the runs scores above each threshold (arXiv 2108.13264 section 4.2).

    :param scores: see the module
    :param thresholds: (k,)
    :return: (k,), or (..., k)
    """
    together = np.concatenate(strata_of(scores), axis=-1)
    return np.stack([(together > one).mean(axis=-1) for one in np.asarray(thresholds, np.float64)], axis=-1)


def profile_band(
    scores: ArrayLike | Strata, thresholds: ArrayLike, *, confidence: float = CONFIDENCE, seed: int = 0
) -> tuple[Array, Array]:
    """Bound a performance profile, each threshold for itself.

    :param scores: see the module
    :param thresholds: (k,)
    :param confidence: between 0 and 1
    :param seed: of the draws
    :return: low and high, (k,) each
    """
    strata = strata_of(scores)
    generator = np.random.default_rng(seed)
    profiles = performance_profile([_drawn_again(one, 2_000, generator) for one in strata], thresholds)
    low, high = np.quantile(profiles, _tails(confidence), axis=0)
    return low, high


def _drawn_again(scores: Array, times: int, generator: np.random.Generator) -> Array:
    return scores[generator.integers(len(scores), size=(times, len(scores)))]


def _share_above(first: Array, second: Array) -> Any:
    one, other = first[..., :, None], second[..., None, :]
    return ((one > other) + 0.5 * (one == other)).mean(axis=(-2, -1))


def _portions(resamples: int, numbers_each: int) -> list[int]:
    most = max(_MOST_AT_ONCE // numbers_each, 1)
    return [min(most, resamples - begun) for begun in range(0, resamples, most)]


def _percentiles(values: Array, confidence: float) -> tuple[float, float]:
    low, high = np.quantile(values, _tails(confidence))
    return float(low), float(high)


def _tails(confidence: float) -> tuple[float, float]:
    return (1 - confidence) / 2, (1 + confidence) / 2
