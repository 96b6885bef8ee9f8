"""What ``ddpg compare`` shows: a table of scores, one of differences, and what may be concluded."""

import math
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from sb3_ddpg_custom.analysis.findings import Comparison, Difference, Estimate, Pair, Scores, Summary
from sb3_ddpg_custom.analysis.sentences import counted

_DASH = "–"  # noqa: RUF001 (for what does not apply)


def print_comparison(comparison: Comparison, console: Console) -> None:
    """Print tables for people.

    :param comparison: of :func:`sb3_ddpg_custom.analysis.comparison.compare`
    :param console: where to
    """
    width = max(len(name) for name in comparison.settings)
    for environment in dict.fromkeys(one.environment for one in comparison.summaries):
        own = [one for one in comparison.summaries if one.environment == environment]
        console.print(f"{environment or 'environment not named'}{_ends(own)}", style="bold")
        console.print(_scores(own, width))
        console.print()
    if comparison.overall:
        console.print("all environments, 0 to 1", style="bold")
        console.print(_overall(comparison.overall, width))
        console.print()
    for pair in comparison.pairs:
        if pair.environments or len(comparison.pairs) == 1:
            console.print(pair.sentence, style="bold")
            console.print(_differences(pair, comparison.differences))
            console.print()
    console.print(_what_it_is(comparison))


def _scores(summaries: Sequence[Summary], width: int) -> Table:
    table = _table("final scores", "seeds", "IQM", "95 % interval", "mean", "median", "best", width=width)
    for one in summaries:
        table.add_row(
            one.setting,
            f"{one.runs}" + (f" of {one.runs + one.left_out}" if one.left_out else ""),
            *with_interval(one.final.iqm),
            number(one.final.mean.value),
            number(one.final.median.value),
            number(one.best.iqm.value),
        )
    return table


def _overall(overall: Mapping[str, Scores], width: int) -> Table:
    table = _table("scaled final scores", "IQM", "95 % interval", "mean", "median", width=width)
    for setting, scores in overall.items():
        cells = [*with_interval(scores.iqm), number(scores.mean.value), number(scores.median.value)]
        table.add_row(setting, *cells)
    return table


def _differences(pair: Pair, differences: Sequence[Difference]) -> Table:
    table = _table("", "difference", "95 % interval", "P(higher)", "95 % interval", "p")
    for one in differences:
        if (one.first, one.second) == (pair.first, pair.second):
            chance = with_interval(one.probability_of_improvement)
            table.add_row(one.environment, *with_interval(one.difference), *chance, _p(one.adjusted_p_value))
    if len(pair.environments) > 1:
        table.add_row("all", "", "", *with_interval(pair.probability_of_improvement), "")
    return table


def _last(evaluations: int) -> str:
    return "last evaluation" if evaluations == 1 else f"last {evaluations} evaluations"


def _what_it_is(comparison: Comparison) -> str:
    averaged = sorted({one.evaluations_averaged for one in comparison.summaries if one.runs})
    number = f"last {averaged[0]} to {averaged[-1]} evaluations" if len(averaged) > 1 else _last(averaged[-1])
    text = (
        f"A final score is the mean of a run's {number}; best is the IQM of each run's best "
        "evaluation. Intervals of scores: stratified bootstrap over the seeds"
    )
    if any(one.runs < 5 for one in comparison.summaries):
        text += ", too narrow with few of them"
    if comparison.differences:
        tests = counted(len(comparison.differences), "test")
        text += (
            "; of differences of means: Welch's. P(higher): that a run of the first ends above one of the second. "
            f"p: permutation test on Welch's t, {tests} together (Holm), at the level {comparison.level:g}"
        )
    if comparison.overall:
        text += ". Over all environments a score is 0 for the smallest and 1 for the largest run of each"
    return f"{text}."


def _table(first: str, *others: str, width: int = 12) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column(first, overflow="fold", min_width=min(width, 28))
    for title in others:
        table.add_column(title, justify="right", no_wrap=True)
    return table


def _ends(summaries: Sequence[Summary]) -> str:
    ends = [step for one in summaries for step in one.last_steps if math.isfinite(step)]
    if not ends:
        return ""
    if min(ends) == max(ends):
        return f", {ends[0]:,.0f} steps"
    return f", {min(ends):,.0f} to {max(ends):,.0f} steps"


def with_interval(estimate: Estimate) -> tuple[str, str]:
    """Write an estimate, and its interval where it has one.

    :param estimate: of a comparison
    """
    if not math.isfinite(estimate.low):
        return number(estimate.value), _DASH
    return number(estimate.value), f"{number(estimate.low)} to {number(estimate.high)}"


def number(value: float) -> str:
    """Write a score: as many digits as tell something, a dash for what is no number.

    :param value: any
    """
    if not math.isfinite(value):
        return _DASH
    digits = 0 if abs(value) >= 1000 else 1 if abs(value) >= 100 else 2
    return f"{value:,.{digits}f}" if abs(value) < 1e9 else f"{value:.3g}"


def _p(value: float) -> str:
    if not math.isfinite(value):
        return _DASH
    return f"{value:.3f}" if value >= 0.001 else "<0.001"
