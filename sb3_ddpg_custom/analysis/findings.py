"""What a comparison finds: plain records, for tables and JSON."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

Verdict: TypeAlias = Literal["better", "worse", "unclear"]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A value and its 95 % interval, whose ends are NaN where there is one run only."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Aggregates of one score over runs; NaN without any."""

    iqm: Estimate
    mean: Estimate
    median: Estimate


@dataclass(frozen=True, kw_only=True)
class Summary:
    """One setting in one environment.

    :param runs: whose final score is a finite number; only these count
    :param left_out: runs without evaluations, or whose last ones are no finite numbers
    :param unfinished: of the runs that count, those that are known not to have come to their end
    :param last_steps: smallest and largest of the runs' last evaluations, env steps
    :param evaluations_averaged: that a final score averages; the smallest number over the runs
    :param final: the end of training
    :param best: the best evaluation
    :param finals: each run's final score
    :param bests: each run's best evaluation
    """

    environment: str
    setting: str
    runs: int
    left_out: int
    unfinished: int
    last_steps: tuple[float, float]
    evaluations_averaged: int
    final: Scores
    best: Scores
    finals: tuple[float, ...]
    bests: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Difference:
    """Two settings in one environment, by their final scores.

    :param difference: of the means, first minus second, with Welch's interval
    :param standardised: the same over the pooled standard deviation; NaN with one run on a side
    :param probability_of_improvement: that a run of the first ends above one of the second
    :param p_value: of the permutation test; NaN with one run on a side
    :param adjusted_p_value: after Holm's correction for all differences of the comparison
    :param verdict: of the first beside the second
    :param runs: of the first and of the second
    :param left_out: runs of the first and of the second that have no final score
    :param unfinished: runs of the first and of the second that count, and did not come to their end
    :param runs_needed: of each, to find a difference such as this one; None if more than 100
    """

    environment: str
    first: str
    second: str
    difference: Estimate
    standardised: float
    probability_of_improvement: Estimate
    p_value: float
    adjusted_p_value: float
    verdict: Verdict
    runs: tuple[int, int]
    left_out: tuple[int, int]
    unfinished: tuple[int, int]
    runs_needed: int | None


@dataclass(frozen=True, kw_only=True)
class Pair:
    """Two settings over all environments in which both have runs.

    :param probability_of_improvement: averaged over these environments
    :param sentence: what may be concluded
    """

    first: str
    second: str
    environments: tuple[str, ...]
    probability_of_improvement: Estimate
    sentence: str


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """What :func:`compare` finds.

    :param overall: aggregates over the environments of final scores that are 0 for the smallest and 1 for the largest
        run of each environment; empty with one environment, and without settings that have runs in all of them
    :param level: of the tests, before the correction
    """

    settings: tuple[str, ...]
    summaries: tuple[Summary, ...]
    differences: tuple[Difference, ...]
    pairs: tuple[Pair, ...]
    overall: Mapping[str, Scores]
    level: float
