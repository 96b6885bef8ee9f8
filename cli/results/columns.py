"""What a curve shows and what it runs along: columns of evaluations, of training episodes, tags of TensorBoard's."""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from sb3_ddpg_custom.analysis.bands import binned
from sb3_ddpg_custom.analysis.runs import Run
from sb3_ddpg_custom.analysis.statistics import Array
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, one_line
from sb3_ddpg_custom.cli.results.load import Loaded
from sb3_ddpg_custom.cli.results.names import plain
from sb3_ddpg_custom.cli.results.read import Found

#: in front of the columns of training episodes; TensorBoard has tags of these names too, over episodes, not steps
EPISODE = "episode/"
_EVALUATED = {"return": "results", "length": "ep_lengths", "success": "successes"}
_AXES = {"steps": "environment steps", "episodes": "training episodes", "hours": "hours of training"}
_UNITS = {"return": "return", "length": "length of an episode, steps", "success": "share of successes"}
_MOST_SCALARS = 10_000
_MOST_EVENT_BYTES = 2**30


def with_column(loaded: Loaded, y: str) -> tuple[list[Run], str]:
    """Put a column in the place of the runs' returns.

    :param loaded: runs
    :param y: value of ``--y``
    :return: the runs, and what to call the column
    :raises UsageError: if no run has it; the sentence lists what there is
    """
    if y == "return":
        return list(loaded.runs), _UNITS[y]
    if y in _EVALUATED:
        curves = [_evaluated(one, _EVALUATED[y]) for one in loaded.found]
    elif y.startswith(EPISODE):
        name = y.removeprefix(EPISODE)
        name = "return" if name == "reward" else name
        curves = [_of_episodes(one, name) for one in loaded.found]
    else:
        curves = [_of_tag(one.place.path, y) for one in loaded.found]
    if not any(len(steps) for steps, _ in curves):
        known = _known(loaded.found)
        hint = did_you_mean(y, known) or f"; there are {', '.join(map(plain, known))}"
        raise UsageError(f"--y {plain(y)}: no run has such a column{hint}")
    label = _UNITS.get(y, plain(y)) if not y.startswith(EPISODE) else f"{plain(y[len(EPISODE) :])} of training episodes"
    runs = [replace(run, steps=steps, returns=values) for run, (steps, values) in zip(loaded.runs, curves, strict=True)]
    return runs, label


def along(runs: Sequence[Run], x: str) -> tuple[list[Run], str]:
    """Let curves run along training episodes or hours instead of steps.

    :param runs: with steps
    :param x: value of ``--x``
    :return: the runs, those without training episodes without points, and what to call the axis
    :raises UsageError: if no run has training episodes
    """
    if x == "steps":
        return list(runs), _AXES[x]
    if not any(len(run.episodes.get("steps", ())) for run in runs):
        raise UsageError(
            f"--x {x} needs training episodes, rewards.npz or monitor.csv, and no run has any; use --x steps"
        )
    return [_moved(run, x) for run in runs], _AXES[x]


def _moved(run: Run, x: str) -> Run:
    ends, seconds = run.episodes.get("steps", np.empty(0)), run.episodes.get("seconds", np.empty(0))
    if not len(ends):
        return replace(run, steps=np.empty(0), returns=run.returns[:0])
    if x == "episodes":
        return replace(run, steps=np.searchsorted(ends, run.steps, side="right").astype(np.float64))
    # Before the first episode's end the time has run evenly, and so from the last one's on.
    hours = np.interp(run.steps, np.append(0.0, ends), np.append(0.0, seconds)) / 3600
    pace = seconds[-1] / max(ends[-1], 1.0) / 3600
    return replace(run, steps=hours + np.maximum(run.steps - ends[-1], 0) * pace)


def _evaluated(found: Found, name: str) -> tuple[Array, Array]:
    values = found.evaluations.get(name)
    if values is None or values.ndim != 2:
        return np.empty(0), np.empty(0)
    return found.evaluations["timesteps"], values


def _of_episodes(found: Found, name: str) -> tuple[Array, Array]:
    if name not in found.episodes or name == "steps":
        return np.empty(0), np.empty(0)
    steps, values = found.episodes["steps"], found.episodes[name]
    there = np.isfinite(values)  # a column may have no value for some episodes, as qmax has before the first update
    return binned(steps[there], values[there])


def _of_tag(run: Path, tag: str) -> tuple[Array, Array]:
    events = _scalars(run, tag)
    steps, values = np.array([step for step, _ in events]), np.array([value for _, value in events])
    order = np.argsort(steps, kind="stable")
    return steps[order].astype(np.float64), values[order].astype(np.float64)


def _scalars(run: Path, tag: str) -> list[tuple[int, float]]:
    found = []
    for folder in _event_folders(run):
        accumulator = _accumulator(folder)
        if accumulator is not None and tag in accumulator.Tags()["scalars"]:
            found += [(event.step, event.value) for event in accumulator.Scalars(tag)]
    return found


def _event_folders(run: Path) -> list[Path]:
    """List the folders with event files: the run's, and those that SB3's ``tensorboard_log`` makes in it."""
    if not run.is_dir():
        return []
    files = sorted({*run.glob("events.out.tfevents.*"), *run.glob("*/events.out.tfevents.*")})
    return list(dict.fromkeys(file.parent for file in files if file.is_file()))


def _accumulator(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    if sum(file.stat().st_size for file in folder.glob("events.out.tfevents.*")) > _MOST_EVENT_BYTES:
        return None
    accumulator = EventAccumulator(str(folder), size_guidance={"scalars": _MOST_SCALARS})
    logging.getLogger("tensorboard").setLevel(logging.ERROR)
    try:
        accumulator.Reload()
    except Exception as error:  # protobuf, a damaged record: whatever a made-up file brings about
        logging.getLogger(__name__).info("no events in %s (%s)", folder, one_line(error))
        return None
    return accumulator


def _known(found: Sequence[Found]) -> list[str]:
    evaluated = [name for name, key in _EVALUATED.items() if any(key in one.evaluations for one in found)]
    episodes = dict.fromkeys(
        f"{EPISODE}{name}" for one in found for name, values in one.episodes.items() if name != "steps" and len(values)
    )
    tags: dict[str, None] = {}
    for one in found[:3]:  # runs of one kind have the same tags
        for folder in _event_folders(one.place.path):
            accumulator = _accumulator(folder)
            tags |= dict.fromkeys(accumulator.Tags()["scalars"] if accumulator is not None else ())
    return list(dict.fromkeys([*evaluated, *episodes, *tags]))
