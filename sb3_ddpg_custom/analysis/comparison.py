"""Two or more settings side by side: their scores, the differences between them, and what may be concluded."""

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np

from sb3_ddpg_custom.analysis.aggregates import aggregate
from sb3_ddpg_custom.analysis.findings import Comparison, Difference, Estimate, Pair, Scores, Summary, Verdict
from sb3_ddpg_custom.analysis.runs import LAST_EVALUATIONS, Run, Runs, by_place, normalised_finals, runs_of, settings_of
from sb3_ddpg_custom.analysis.sentences import sentence
from sb3_ddpg_custom.analysis.significance import (
    fewest_runs,
    holm,
    permutation_p_value,
    runs_needed,
    welch_interval,
)
from sb3_ddpg_custom.analysis.statistics import probability_interval, probability_of_improvement


def compare(
    data: Runs, *, baseline: str | None = None, last: int = LAST_EVALUATIONS, level: float = 0.05, seed: int = 0
) -> Comparison:
    """Compare the settings of runs, in each environment and over all.

    >>> scores = [1.0, 2.0, 3.0, 4.0, 11.0, 12.0, 13.0, 14.0]
    >>> table = {"setting": ["old"] * 4 + ["new"] * 4, "seed": [0, 1, 2, 3] * 2, "return": scores}
    >>> compare(table).pairs[0].sentence
    'new is better than old.'

    :param data: runs, or a long table (:func:`sb3_ddpg_custom.analysis.runs.runs_of_table`)
    :param baseline: compare each setting with this one only, which takes fewer tests; None compares all with all
    :param last: evaluations that a final score averages
    :param level: how often a comparison without any true difference may find one
    :param seed: of bootstrap and permutations
    :raises ValueError: if there are no runs, or the baseline is none of the settings
    """
    runs = runs_of(data)
    settings = settings_of(runs)
    if baseline is not None and baseline not in settings:
        raise ValueError(f"the baseline '{baseline}' is none of the settings, which are {', '.join(settings)}")
    summaries = {
        (environment, setting): _summary(environment, setting, own, last, seed)
        for environment, of_settings in by_place(runs).items()
        for setting, own in of_settings.items()
    }
    cases = [
        (summaries[environment, first], summaries[environment, second])
        for first, second in _couples(settings, baseline)
        for environment in by_place(runs)
        if all((environment, one) in summaries and summaries[environment, one].runs for one in (first, second))
    ]
    differences = _differences(cases, level, seed)
    return Comparison(
        settings=tuple(settings),
        summaries=tuple(summaries.values()),
        differences=tuple(differences),
        pairs=tuple(_pair(couple, cases, differences, seed) for couple in _couples(settings, baseline)),
        overall=_overall(runs, last, seed),
        level=level,
    )


def _couples(settings: Sequence[str], baseline: str | None) -> list[tuple[str, str]]:
    if baseline is None:
        # What was named later is usually what is new: it is spoken of first.
        return [(second, first) for first, second in combinations(settings, 2)]
    return [(setting, baseline) for setting in settings if setting != baseline]


def _summary(environment: str, setting: str, runs: Sequence[Run], last: int, seed: int) -> Summary:
    counted = [run for run in runs if math.isfinite(run.final(last))]
    finals, bests = [run.final(last) for run in counted], [run.best() for run in counted]
    steps = [float(run.steps[-1]) for run in counted]
    return Summary(
        environment=environment,
        setting=setting,
        runs=len(counted),
        left_out=len(runs) - len(counted),
        unfinished=sum(run.is_finished is False for run in counted),
        last_steps=(min(steps), max(steps)) if steps else (math.nan, math.nan),
        evaluations_averaged=min((min(last, len(run.steps)) for run in counted), default=0),
        final=aggregate([np.array(finals)], seed),
        best=aggregate([np.array(bests)], seed),
        finals=tuple(finals),
        bests=tuple(bests),
    )


def _overall(runs: Sequence[Run], last: int, seed: int) -> dict[str, Scores]:
    if len(by_place(runs)) < 2:
        return {}
    return {setting: aggregate(strata, seed) for setting, strata in normalised_finals(runs, last).items()}


def _differences(cases: Sequence[tuple[Summary, Summary]], level: float, seed: int) -> list[Difference]:
    p_values = [
        permutation_p_value(first.finals, second.finals, seed=seed) if min(first.runs, second.runs) > 1 else math.nan
        for first, second in cases
    ]
    adjusted = iter(holm([p for p in p_values if not math.isnan(p)]))
    # What Holm asks of the first difference: with it, the number of runs that are needed is on the safe side.
    strictest = level / max(len(cases), 1)
    return [
        _difference(first, second, (p, math.nan if math.isnan(p) else next(adjusted)), level, strictest, seed)
        for (first, second), p in zip(cases, p_values, strict=True)
    ]


def _difference(
    first: Summary, second: Summary, p_values: tuple[float, float], level: float, strictest: float, seed: int
) -> Difference:
    one, other = np.array(first.finals), np.array(second.finals)
    gap = float(one.mean() - other.mean())
    low, high = welch_interval(one, other)
    verdict: Verdict = "unclear"
    if p_values[1] <= level:
        verdict = "better" if gap > 0 else "worse"
    needed: int | None = fewest_runs(strictest)
    standardised = math.nan
    if min(first.runs, second.runs) > 1:
        needed = runs_needed(one, other, level=strictest)
        if verdict == "unclear" and needed is not None:
            needed = max(needed, min(first.runs, second.runs) + 1)  # as many as these were not enough
        spread = math.sqrt((one.var(ddof=1) + other.var(ddof=1)) / 2)
        standardised = gap / spread if spread > 0 else math.nan
    return Difference(
        environment=first.environment,
        first=first.setting,
        second=second.setting,
        difference=Estimate(value=gap, low=low, high=high),
        standardised=standardised,
        probability_of_improvement=_improvement([(first, second)], seed),
        p_value=p_values[0],
        adjusted_p_value=p_values[1],
        verdict=verdict,
        runs=(first.runs, second.runs),
        left_out=(first.left_out, second.left_out),
        unfinished=(first.unfinished, second.unfinished),
        runs_needed=needed,
    )


def _improvement(cases: Sequence[tuple[Summary, Summary]], seed: int) -> Estimate:
    if not cases:
        return Estimate(value=math.nan, low=math.nan, high=math.nan)
    first, second = ([np.array(case[side].finals) for case in cases] for side in (0, 1))
    low, high = probability_interval(first, second, seed=seed)
    return Estimate(value=float(probability_of_improvement(first, second)), low=low, high=high)


def _pair(
    couple: tuple[str, str],
    cases: Sequence[tuple[Summary, Summary]],
    differences: Sequence[Difference],
    seed: int,
) -> Pair:
    own = [case for case in cases if (case[0].setting, case[1].setting) == couple]
    found = [one for one in differences if (one.first, one.second) == couple]
    return Pair(
        first=couple[0],
        second=couple[1],
        environments=tuple(one.environment for one in found),
        probability_of_improvement=_improvement(own, seed),
        sentence=sentence(*couple, found),
    )
