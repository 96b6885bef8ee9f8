"""What the page's charts show, as plain data; ``charts.js`` draws them."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.analysis.bands import band_of, binned
from sb3_ddpg_custom.analysis.plot_style import look
from sb3_ddpg_custom.analysis.runs import Run
from sb3_ddpg_custom.diagnosis.facts import NOTHING, Curve, Facts

Chart = dict[str, Any]
Array = NDArray[Any]

_MOST_POINTS = 300
_DIGITS = 5
# Of a chart's lines in turn: told apart on light and on dark paper, and by people who see no red or no green.
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#b1599b", "#b07d00", "#3fa0d6")

_DASHES = ("", "7 4", "2 3", "9 3 2 3")


def charts_of_run(facts: Facts) -> list[Chart]:
    """Choose what to show of one run; a chart without a point is left out.

    :param facts: on it
    """
    curves = facts.curves
    charts = [
        _chart("Return of an episode", [*_evaluations(facts), *_episodes(facts)]),
        _chart(
            "What Q promises, and what came of it",
            [
                _line("promised", curves.get("diagnosis/q_predicted", NOTHING)),
                _line("realised, discounted", curves.get("diagnosis/q_realised", NOTHING)),
                _line("mean Q of the batches", curves.get("train/q_mean", NOTHING)),
            ],
        ),
        _chart("The critic's loss", [_line("loss", curves.get("train/critic_loss", NOTHING))], log=True),
        _chart(
            "Inside of the networks, as shares of 1",
            [
                _line("saturated actions", curves.get("diagnosis/saturated_actions", NOTHING)),
                _line("dead units, actor", curves.get("diagnosis/dead_units_actor", NOTHING)),
                _line("dead units, critic", curves.get("diagnosis/dead_units_critic", NOTHING)),
                _line("exploration", curves.get("diagnosis/exploration", NOTHING)),
            ],
        ),
        _chart(
            "Length of the gradients",
            [
                _line("critic", curves.get("train/grad_norm_critic", NOTHING)),
                _line("actor", curves.get("train/grad_norm_actor", NOTHING)),
            ],
            log=True,
        ),
        _chart("Environment steps per second", [_line("steps/s", curves.get("time/fps", NOTHING))]),
    ]
    return [chart for chart in charts if chart["lines"]]


def chart_of_settings(runs: Sequence[Run], title: str) -> Chart | None:
    """Show the middle of each setting's runs, with bootstrap intervals.

    :param runs: of one environment
    :param title: of the chart
    """
    lines = []
    for number, setting in enumerate(dict.fromkeys(run.setting for run in runs)):
        own = [run for run in runs if run.setting == setting and len(run.steps)]
        if own:
            band = band_of(own)
            line = _points(f"{setting} ({len(own)})", band.x, band.middle, band.low, band.high)
            lines.append({**line, "colour": look(number).colour if number < len(_COLOURS) else None})
    return _chart(title, lines) if lines else None


def _evaluations(facts: Facts) -> list[dict[str, Any]]:
    if not len(facts.evaluations):
        return []
    means, episodes = facts.evaluation_means, facts.evaluation_returns.shape[1]
    with np.errstate(all="ignore"):
        half = 1.96 * facts.evaluation_returns.std(axis=1, ddof=1) / np.sqrt(episodes) if episodes > 1 else None
    low, high = (None, None) if half is None else (means - half, means + half)
    return [_points("evaluations, with 95 % of their mean", facts.evaluations, means, low, high)]


def _episodes(facts: Facts) -> list[dict[str, Any]]:
    there = np.isfinite(facts.episode_returns)
    steps, means = binned(facts.episode_steps[there].astype(np.float64), facts.episode_returns[there])
    return [_points("training episodes, with exploration", steps, means)]


def _line(name: str, curve: Curve) -> dict[str, Any]:
    return _points(name, curve.steps, curve.values)


def _points(name: str, x: Array, y: Array, low: Array | None = None, high: Array | None = None) -> dict[str, Any]:
    is_last = np.concatenate([np.diff(x) != 0, np.ones(min(len(x), 1), bool)])  # of those at one step
    there = np.flatnonzero(np.isfinite(y) & np.isfinite(x) & is_last)
    if len(there) > _MOST_POINTS:
        there = there[np.linspace(0, len(there) - 1, _MOST_POINTS).astype(np.int64)]
    columns: Mapping[str, Array | None] = {"x": x, "y": y, "low": low, "high": high}
    return {
        "name": name,
        **{key: [_short(value) for value in column[there]] for key, column in columns.items() if column is not None},
    }


def _short(value: float) -> float | None:
    return float(f"{value:.{_DIGITS}g}") if np.isfinite(value) else None


def _chart(title: str, lines: Sequence[dict[str, Any]], *, log: bool = False) -> Chart:
    drawn = [line for line in lines if line["x"]]
    coloured = [
        {
            **line,
            "colour": line.get("colour") or _COLOURS[number % len(_COLOURS)],
            "dash": _DASHES[number % len(_DASHES)],
        }
        for number, line in enumerate(drawn)
    ]
    return {"title": title, "lines": coloured, "log": log, "said": _said(coloured)}


def _said(lines: Sequence[dict[str, Any]]) -> str:
    """Say a chart in words, for whoever does not see it."""
    return "; ".join(
        f"{line['name']}: from {line['y'][0]:,.4g} at step {line['x'][0]:,.0f} to {line['y'][-1]:,.4g} at step "
        f"{line['x'][-1]:,.0f}, between {min(line['y']):,.4g} and {max(line['y']):,.4g}"
        for line in lines
    )
