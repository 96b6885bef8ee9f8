"""Learning curves in letters, for a terminal without pictures."""

import math
from collections.abc import Iterator, Sequence

import numpy as np

from sb3_ddpg_custom.analysis.bands import band_of
from sb3_ddpg_custom.analysis.runs import Run, by_place, settings_of
from sb3_ddpg_custom.analysis.sentences import counted
from sb3_ddpg_custom.analysis.statistics import AGGREGATES, Array

_SIGNS = "*o+x#@%&"
_HEIGHT = 14
_LEFT = 9


def draw_curves(runs: Sequence[Run], *, middle: str, x_label: str, y_label: str, width: int = 80) -> Iterator[str]:
    """Draw the middle of each setting's runs, an environment under the other.

    :param runs: those without evaluations are left out
    :param middle: "iqm", "mean" or "median"
    :param x_label: of what the steps are
    :param y_label: of what the returns are
    :param width: of the terminal, columns
    :return: lines of text
    """
    drawn = [run for run in runs if len(run.steps)]
    signs = {setting: _SIGNS[number % len(_SIGNS)] for number, setting in enumerate(settings_of(drawn))}
    columns = max(width - _LEFT - 1, 20)
    for environment, settings in by_place(drawn).items():
        yield f"{environment + ': ' if environment else ''}{y_label} over {x_label}"
        bands = {setting: band_of(own, AGGREGATES[middle]) for setting, own in settings.items()}
        end = max(float(band.x[-1]) for band in bands.values())
        x = np.linspace(0, end, columns)
        rows = {
            setting: np.interp(x, band.x, band.middle, left=np.nan, right=np.nan) for setting, band in bands.items()
        }
        for setting, band in bands.items():
            if not np.isfinite(rows[setting]).any():  # one evaluation between two columns
                rows[setting][np.searchsorted(x, band.x[-1]).clip(0, columns - 1)] = band.middle[-1]
        yield from _canvas(rows, signs)
        yield f"{'':{_LEFT}}0{_short(end / 2):^{columns - 2 - len(_short(end))}}{_short(end)}"
        for setting, own in settings.items():
            yield f"{'':{_LEFT}}{signs[setting]} {setting} ({counted(len(own), 'seed')})"
        yield ""


def _canvas(rows: dict[str, Array], signs: dict[str, str]) -> Iterator[str]:
    values = np.concatenate(list(rows.values()))
    values = values[np.isfinite(values)]
    if not len(values):
        yield f"{'':{_LEFT}}no finite number"
        return
    low, high = float(values.min()), float(values.max())
    if low == high:
        low, high = low - 1, high + 1
    columns = len(next(iter(rows.values())))
    canvas = [[" "] * columns for _ in range(_HEIGHT)]
    for setting, own in rows.items():
        for column in np.flatnonzero(np.isfinite(own)).tolist():
            row = round((high - float(own[column])) / (high - low) * (_HEIGHT - 1))
            # Where lines meet, they take turns.
            if canvas[row][column] == " " or column % len(rows) == list(rows).index(setting):
                canvas[row][column] = signs[setting]
    for number, line in enumerate(canvas):
        named = number % 4 == 0 or number == _HEIGHT - 1
        tick = _short(high - (high - low) * number / (_HEIGHT - 1)) if named else ""
        yield f"{tick:>{_LEFT - 2}} |{''.join(line)}".rstrip()
    yield f"{'':{_LEFT - 1}}+{'-' * columns}"


def _short(value: float) -> str:
    """Write a number in at most seven signs.

    >>> [_short(value) for value in (0.123, 12.0, 3521.5, 200_000.0, -1_500_000.0)]
    ['0.123', '12', '3522', '200k', '-1.5M']
    """
    if not math.isfinite(value):
        return "?"
    for size, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / (1e3 if sign == 'k' else size):.4g}{sign}" if abs(value) < 1e13 else f"{value:.1e}"
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
