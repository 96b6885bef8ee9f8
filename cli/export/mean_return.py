"""What a training's evaluation said of one of its checkpoints."""

from pathlib import Path

import numpy as np

from sb3_ddpg_custom.cli.results.layout import EVALUATIONS
from sb3_ddpg_custom.wrappers.statistics_file import read_npz


def mean_return_of(checkpoint: Path) -> float | None:
    """Find a checkpoint's evaluation.

    :param checkpoint: best.zip, final.zip or step_N.zip in a run's folder
    :return: the mean return without exploration; None where no file says it
    """
    stem = checkpoint.stem
    folder = checkpoint.parent.parent if checkpoint.parent.name == "checkpoints" else checkpoint.parent
    try:
        arrays, _ = read_npz(folder / EVALUATIONS)
        steps, means = np.ravel(arrays["timesteps"]), arrays["results"].mean(axis=1)
    except Exception:  # anything may come of bytes that somebody has made up
        return None
    if len(means) == 0 or len(steps) != len(means):
        return None
    if stem == "best":
        return _number(means.max())
    if stem == "final":
        return _number(means[-1])
    step = stem.removeprefix("step_")
    of_step = means[steps == int(step)] if step.isdecimal() else means[:0]
    return _number(of_step[0]) if len(of_step) else None


def _number(value: float) -> float | None:
    return float(value) if np.isfinite(value) else None
