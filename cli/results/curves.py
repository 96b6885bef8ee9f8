"""A run's curves, as TensorBoard's files hold them."""

from contextlib import suppress
from pathlib import Path

import numpy as np

from sb3_ddpg_custom.cli.results.monitor_csv import MAX_BYTES
from sb3_ddpg_custom.diagnosis.facts import Curve

_EVENTS = "events.out.tfevents.*"


def read_curves(run: Path) -> dict[str, Curve]:
    """Read all curves of a run; where it was gone on with, what was computed again counts once.

    :param run: its folder
    :return: by TensorBoard's tags; empty where it has no such files, or none that can be read
    """
    found: dict[str, Curve] = {}
    for path in sorted(run.glob(_EVENTS)):
        if path.is_file() and path.stat().st_size <= MAX_BYTES:
            with suppress(Exception):  # whatever a file that is none of TensorBoard's makes of its reader
                for tag, curve in _curves_of(path).items():
                    found[tag] = _behind(found.get(tag), curve)
    return found


def _curves_of(path: Path) -> dict[str, Curve]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    events = EventAccumulator(str(path), size_guidance={"scalars": 0}, purge_orphaned_data=False)
    events.Reload()
    curves = {}
    for tag in events.Tags()["scalars"]:
        points = events.Scalars(tag)
        steps = np.array([point.step for point in points], np.int64)
        values = np.array([point.value for point in points], np.float64)
        rises = np.concatenate([[True], np.diff(steps) >= 0])
        curves[tag] = Curve(steps[rises], values[rises])
    return curves


def _behind(earlier: Curve | None, later: Curve) -> Curve:
    if earlier is None or not len(later.steps):
        return later if earlier is None else earlier
    kept = earlier.steps < later.steps[0]
    return Curve(*(np.concatenate([old[kept], new]) for old, new in zip(earlier, later, strict=True)))
