"""IQM, mean and median of one kind of score, each with its interval."""

import math

from sb3_ddpg_custom.analysis.findings import Estimate, Scores
from sb3_ddpg_custom.analysis.statistics import AGGREGATES, Strata, bootstrap_intervals


def aggregate(strata: Strata, seed: int = 0) -> Scores:
    """Aggregate scores over runs and environments.

    :param strata: one array (runs,) per environment
    :param seed: of the bootstrap
    :return: NaN where an environment has no run
    """
    if not all(len(one) for one in strata):
        nothing = Estimate(value=math.nan, low=math.nan, high=math.nan)
        return Scores(iqm=nothing, mean=nothing, median=nothing)
    intervals = bootstrap_intervals(strata, list(AGGREGATES.values()), seed=seed)
    estimates = {
        name: Estimate(value=float(statistic(strata)), low=low, high=high)
        for (name, statistic), (low, high) in zip(AGGREGATES.items(), intervals, strict=True)
    }
    return Scores(**estimates)
