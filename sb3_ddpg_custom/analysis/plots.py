"""Figures of runs: learning curves, performance profiles, aggregates with intervals.

Each function takes runs or a long table and returns a matplotlib ``Figure``, which nothing shows; write it with
:func:`sb3_ddpg_custom.analysis.plot_style.save_figure`. matplotlib is imported when one is called.
"""

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np

from sb3_ddpg_custom.analysis.aggregates import aggregate
from sb3_ddpg_custom.analysis.bands import band_of
from sb3_ddpg_custom.analysis.plot_style import Look, add_legend, columns_of, look, new_figure, styled
from sb3_ddpg_custom.analysis.runs import Run, Runs, by_place, normalised_finals, runs_of, settings_of
from sb3_ddpg_custom.analysis.statistics import AGGREGATES, Array, performance_profile, profile_band

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Size: TypeAlias = tuple[float, float]
_TITLES = {"iqm": "IQM", "mean": "mean", "median": "median"}


def plot_curves(
    data: Runs,
    *,
    middle: Literal["iqm", "mean", "median"] = "iqm",
    x_label: str = "environment steps",
    y_label: str = "return",
    marks_ends: bool = True,
    title: str | None = None,
    size: Size | None = None,
) -> "Figure":
    """Draw learning curves: a panel per environment, a line and a band per setting, its seeds faint behind it.

    The line ends where fewer than half of a setting's runs go on. A cross marks where a run ends that
    has not come to its end, long before others.

    :param data: runs, or a long table; those without evaluations are left out
    :param middle: what the line is, and the band the 95 % bootstrap interval of
    :param x_label: of what the runs' ``steps`` are
    :param y_label: of what their ``returns`` are
    :param marks_ends: whether to draw the crosses; runs along hours end where the machine was fast, too
    :param title: above all
    :param size: inches; None chooses by the number of panels
    :raises ValueError: if no run has an evaluation
    """
    runs = [run for run in runs_of(data) if len(run.steps)]
    if not runs:
        raise ValueError("no run has an evaluation to draw")
    places = by_place(runs)
    looks = _looks(runs)
    with styled():
        figure, panels = new_figure(len(places), size)
        handles: dict[str, Any] = {}
        for number, (axes, (environment, settings)) in enumerate(zip(panels, places.items(), strict=True)):
            end = max(float(run.steps[-1]) for own in settings.values() for run in own)
            for setting, own in settings.items():
                handle = _curve(axes, own, AGGREGATES[middle], looks[setting], end if marks_ends else 0.0)
                handles.setdefault(setting, handle)
            axes.set_title(environment)
            axes.margins(x=0.02)
            _plain_numbers(axes.xaxis)
            _plain_numbers(axes.yaxis)
            if number % columns_of(len(places)) == 0:
                axes.set_ylabel(f"{y_label}\n({_TITLES[middle]}, 95 % interval)")
            axes.set_xlabel(x_label)
        add_legend(figure, [handles[one] for one in looks], [_with_seeds(one, runs) for one in looks])
        if title:
            figure.suptitle(title)
    return figure


def _curve(axes: "Axes", runs: Sequence[Run], statistic: Any, style: Look, end: float) -> Any:
    for run in runs:
        single = ".-" if len(run.steps) == 1 else "-"
        axes.plot(run.steps, run.means, single, color=style.colour, alpha=0.28, linewidth=0.9, zorder=1)
        if run.is_finished is not True and run.steps[-1] < 0.9 * end:
            axes.plot(run.steps[-1:], run.means[-1:], "x", color=style.colour, alpha=0.7, markersize=7, zorder=2)
    band = band_of(runs, statistic)
    axes.fill_between(band.x, band.low, band.high, color=style.colour, alpha=0.18, linewidth=0, zorder=1.5)
    points = max(len(band.x) // 8, 1)
    (line,) = axes.plot(
        band.x,
        band.middle,
        linestyle=style.line,
        marker=style.marker,
        markevery=(points // 2, points),
        markersize=6,
        color=style.colour,
        zorder=3,
    )
    return line


def plot_profile(data: Runs, *, title: str | None = None, size: Size | None = None) -> "Figure":
    """Draw which share of a setting's runs ends above each score, with a 95 % band (arXiv 2108.13264 section 4.2).

    Over several environments the scores are scaled: 0 is the smallest and 1 the largest run of each.

    :param data: runs, or a long table; runs without a final score are left out
    :param title: above it
    :param size: inches
    :raises ValueError: if no run has a final score, or no setting has runs in every environment
    """
    strata, label = _finals(data)
    looks = _looks(data)
    everything = np.concatenate([one for own in strata.values() for one in own])
    spread = float(np.ptp(everything)) or 1.0
    ends = everything.min() - 0.03 * spread, everything.max() + 0.03 * spread
    thresholds = np.unique([*everything, *ends])  # the share changes nowhere else
    with styled():
        figure, (axes,) = new_figure(1, size)
        handles = []
        for setting, own in strata.items():
            style = looks[setting]
            low, high = profile_band(own, thresholds)
            axes.fill_between(thresholds, low, high, color=style.colour, alpha=0.15, linewidth=0, step="post")
            line = axes.plot(
                thresholds, performance_profile(own, thresholds), style.line, color=style.colour, drawstyle="steps-post"
            )
            handles += line
        axes.set(xlabel=f"τ: {label}", ylabel="share of runs above τ", ylim=(-0.02, 1.02))
        _plain_numbers(axes.xaxis)
        add_legend(figure, handles, list(strata))
        if title:
            figure.suptitle(title)
    return figure


def plot_intervals(data: Runs, *, title: str | None = None, size: Size | None = None) -> "Figure":
    """Draw IQM, mean and median of the final scores, each with its 95 % interval, a line per setting.

    Over several environments the scores are scaled: 0 is the smallest and 1 the largest run of each.

    :param data: runs, or a long table; runs without a final score are left out
    :param title: above it
    :param size: inches
    :raises ValueError: if no run has a final score, or no setting has runs in every environment
    """
    strata, label = _finals(data)
    names, looks = list(strata), _looks(data)
    scores = [aggregate(strata[name]) for name in names]
    with styled():
        figure, panels = new_figure(3, size or (9.5, 1.7 + 0.45 * len(names)))
        for axes, (key, heading) in zip(panels, _TITLES.items(), strict=True):
            for row, one in enumerate(scores):
                estimate, style = getattr(one, key), looks[names[row]]
                if math.isfinite(estimate.low):
                    # Other caps would reach beyond the interval.
                    bar: dict[str, Any] = {"linewidth": 9, "solid_capstyle": "butt", "alpha": 0.35}
                    axes.plot([estimate.low, estimate.high], [row, row], color=style.colour, **bar)
                axes.plot([estimate.value], [row], style.marker, color=style.colour, markersize=8)
            axes.set(title=heading, ylim=(len(names) - 0.4, -0.6), yticks=range(len(names)))
            axes.set_yticklabels([_shortened(name) for name in names] if axes is panels[0] else [])
            axes.grid(visible=False, axis="y")
            axes.margins(x=0.08)
            axes.locator_params(axis="x", nbins=5, min_n_ticks=3)
            _plain_numbers(axes.xaxis)
        panels[1].set_xlabel(f"{label}, with 95 % intervals")
        if title:
            figure.suptitle(title)
    return figure


def _looks(data: Runs) -> dict[str, Look]:
    return {setting: look(number) for number, setting in enumerate(settings_of(runs_of(data)))}


def _finals(data: Runs) -> tuple[dict[str, list[Array]], str]:
    runs = [run for run in runs_of(data) if math.isfinite(run.final())]
    if not runs:
        raise ValueError("no run has a final score")
    environments = by_place(runs)
    if len(environments) == 1:
        settings = next(iter(environments.values()))
        finals = {name: [np.array([run.final() for run in own])] for name, own in settings.items()}
        name = next(iter(environments))
        return finals, f"final return on {name}" if name else "final return"
    strata = normalised_finals(runs)
    if not strata:
        raise ValueError("no setting has runs with a final score in every environment")
    return strata, f"final score, scaled per environment ({len(environments)} of them)"


def _with_seeds(setting: str, runs: Sequence[Run]) -> str:
    numbers = sorted({len(own[setting]) for own in by_place(runs).values() if setting in own})
    seeds = f"{numbers[0]}" if len(numbers) == 1 else f"{numbers[0]} to {numbers[-1]}"
    return f"{_shortened(setting, 34)} ({seeds} {'seed' if numbers == [1] else 'seeds'})"


def _shortened(name: str, most: int = 24) -> str:
    return name if len(name) <= most else f"{name[: most - 1]}…"


def _plain_numbers(axis: Any) -> None:
    """Write thousands as 10k and millions as 1M, and smaller numbers as they are."""
    from matplotlib.ticker import EngFormatter

    low, high = axis.get_view_interval()
    if max(abs(low), abs(high)) >= 10_000:
        axis.set_major_formatter(EngFormatter(sep=""))
