"""A run's learning curve as one picture."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter
from numpy.typing import NDArray

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.wrappers import load_statistics

NAME = "curve.png"
_TRAINING, _EVALUATION = "#8fb4d9", "#d1495b"
_WINDOW_EPISODES = 20


def draw_learning_curve(run: Path, title: str) -> Path | None:
    """Draw what ``rewards.npz`` and ``evaluations.npz`` of a run hold.

    A dot is a training episode, with exploration; the line through them the mean of 20 episodes. The other line is
    the mean of each evaluation, with a band of one standard deviation over its episodes.

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
    if len(returns) >= _WINDOW_EPISODES:
        axes.plot(steps[_WINDOW_EPISODES - 1 :], running_mean(returns, _WINDOW_EPISODES), color=_TRAINING)
    return True


def _draw_evaluations(axes: Axes, run: Path) -> bool:
    try:
        with np.load(run / "evaluations.npz", allow_pickle=False) as file:
            steps, results = file["timesteps"], file["results"]
    except FileNotFoundError:
        return False
    mean, spread = results.mean(axis=1), results.std(axis=1)
    if not np.isfinite(mean).any():
        return False
    axes.fill_between(steps, mean - spread, mean + spread, color=_EVALUATION, alpha=0.15, linewidth=0)
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
