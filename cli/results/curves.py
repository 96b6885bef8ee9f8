"""A run's curves, as TensorBoard's files hold them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

_EVENTS = "events.out.tfevents.*"


class Curve(NamedTuple):
    """One quantity over the training.

    :param steps: what TensorBoard plots it over: env steps, or episodes for ``episode/…``; rising, (points,)
    :param values: (points,)
    """

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


def read_curves(run: Path) -> dict[str, Curve]:
    """Read all curves of a run; where it was gone on with, what was computed again counts once.

    :param run: its folder
    :return: by TensorBoard's tags; empty where it has no such files
    """
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found: dict[str, Curve] = {}
    for path in sorted(run.glob(_EVENTS)):
        events = EventAccumulator(str(path), size_guidance={"scalars": 0}, purge_orphaned_data=False)
        events.Reload()
        for tag in events.Tags()["scalars"]:
            points = events.Scalars(tag)
            steps = np.array([point.step for point in points], np.int64)
            values = np.array([point.value for point in points], np.float64)
            found[tag] = _behind(found.get(tag), Curve(steps, values))
    return found


def _behind(earlier: Curve | None, later: Curve) -> Curve:
    if earlier is None or not len(later.steps):
        return later if earlier is None else earlier
    kept = earlier.steps < later.steps[0]
    return Curve(*(np.concatenate([old[kept], new]) for old, new in zip(earlier, later, strict=True)))
