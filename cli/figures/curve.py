"""A run's learning curve as one picture."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.wrappers import load_statistics
from sb3_ddpg_custom.wrappers.statistics_file import read_npz

NAME = "curve.png"
_TRAINING, _EVALUATION = "#8fb4d9", "#d1495b"
_WINDOW_EPISODES = 20


def draw_learning_curve(run: Path, title: str) -> Path | None:
    """Draw what ``rewards.npz`` and ``evaluations.npz`` of a run hold.

    A dot is a training episode, with exploration; the line through them a running mean. The other line is the mean of
    each evaluation, with a band for the middle half of its episodes.

    :param run: its folder
    :param title: of the picture
    :return: the PNG in that folder; None where there is nothing to draw yet
    """
    figure = Figure(figsize=(8, 4.5), dpi=120, layout="constrained")
    axes = figure.add_subplot()
    if not _draw_training(axes, run) | _draw_evaluations(axes, run):
        return None
    axes.set(title=title, xlabel="environment steps", ylabel="return of an episode")
    axes.xaxis.set_major_formatter(EngFormatter(sep=""))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    path = run / NAME
    with replacing(path) as file:
        figure.savefig(file, format="png")
    return path


def _draw_training(axes: Axes, run: Path) -> bool:
    try:
        statistics = load_statistics(run / "rewards.npz")
    except FileNotFoundError:
        return False
    steps, returns = statistics["timesteps"], statistics["rewards"]
    drawn = np.isfinite(returns)
    steps, returns = steps[drawn], returns[drawn]
    if not len(returns):
        return False
    axes.plot(steps, returns, ".", color=_TRAINING, alpha=0.6, markersize=4, label="training episodes")
    window = min(_WINDOW_EPISODES, len(returns) // 10)  # a longer one would lag behind the dots
    if window > 1:
        axes.plot(steps[window - 1 :], running_mean(returns, window), color=_TRAINING)
    return True


def _draw_evaluations(axes: Axes, run: Path) -> bool:
    try:
        file, _ = read_npz(run / "evaluations.npz")
    except FileNotFoundError:
        return False
    steps, results = file["timesteps"], file["results"]
    drawn = np.isfinite(results).all(axis=1)
    steps, results = steps[drawn], results[drawn]
    if not len(steps):
        return False
    mean = results.mean(axis=1)
    low, high = np.quantile(results, (0.25, 0.75), axis=1)
    axes.fill_between(steps, low, high, color=_EVALUATION, alpha=0.15, linewidth=0)
    axes.plot(steps, mean, "o-", color=_EVALUATION, markersize=4, label=f"evaluations ({results.shape[1]} episodes)")
    return True


def running_mean(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """Average each value with those before it.

    >>> running_mean(np.array([1.0, 3.0, 5.0]), 2).tolist()
    [2.0, 4.0]

    :param values: (n,)
    :param window: how many, at most n
    :return: (n - window + 1,)
    """
    return np.convolve(values, np.full(window, 1 / window), mode="valid")
