"""The trackers: each begins a run, takes numbers, and ends it. Their own settings are their environment variables."""

import contextlib
import io
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.cli.blame import reason
from sb3_ddpg_custom.cli.errors import UsageError, one_line
from sb3_ddpg_custom.cli.tracking.names import TrackerName

_KEPT = "tracking.json"  # in a run's folder: under which name the tracker knows it


@dataclass(frozen=True, kw_only=True)
class Tracked:
    """What a tracker is told of a run.

    :param project: the environment's id
    :param name: of the run
    :param folder: of the run
    :param settings: hyper-parameters
    :param goes_on: whether it was tracked before
    """

    project: str
    name: str
    folder: Path
    settings: Mapping[str, Any]
    goes_on: bool


class Tracker(Protocol):
    """A run at a tracker."""

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        """Take numbers of a step."""

    def finish(self, *, is_well: bool) -> None:
        """End the run."""


def begin(name: TrackerName, run: Tracked) -> Tracker:
    """Begin a run at a tracker, or go on with it.

    :param name: of the tracker
    :param run: what to tell it
    :raises UsageError: if its package is missing, or it refuses
    """
    try:
        with _quietly():
            return _BEGIN[name](run)
    except ImportError as error:
        raise UsageError(
            f'--track {name} needs a package that is missing ({one_line(error)}): pip install "sb3-ddpg-custom[{name}]"'
        ) from error
    except Exception as error:  # any network, any library
        raise UsageError(f"--track {name}: {reason(error)}; or leave it out") from error


class _Mlflow:
    def __init__(self, run: Tracked) -> None:
        import mlflow

        self._mlflow = mlflow
        mlflow.set_experiment(run.project)
        known = _kept(run) if run.goes_on else None
        started = mlflow.start_run(run_id=known, run_name=None if known else run.name)
        if known is None:
            # Values longer than that are refused.
            mlflow.log_params({key: str(value)[:500] for key, value in run.settings.items()})
        _keep(run, started.info.run_id)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._mlflow.log_metrics(dict(numbers), step=step)

    def finish(self, *, is_well: bool) -> None:
        self._mlflow.end_run("FINISHED" if is_well else "FAILED")


class _Trackio:
    def __init__(self, run: Tracked) -> None:
        import trackio

        self._trackio = trackio
        name = (_kept(run) if run.goes_on else None) or run.name
        settings = {
            key: value if isinstance(value, int | float | str | bool) else str(value)
            for key, value in run.settings.items()
        }
        trackio.init(
            project=run.project, name=name, config=settings, resume="allow" if run.goes_on else "never", embed=False
        )
        _keep(run, name)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        self._trackio.log(dict(numbers), step=step)

    def finish(self, *, is_well: bool) -> None:
        del is_well  # it does not ask
        with _quietly():
            end: Any = self._trackio.finish  # without types
            end()


class _Wandb:
    """What TensorBoard gets, Weights & Biases takes by itself."""

    def __init__(self, run: Tracked) -> None:
        import wandb

        known = _kept(run) if run.goes_on else None
        self._run = wandb.init(
            project=run.project,
            name=run.name,
            dir=run.folder,
            config=dict(run.settings),
            sync_tensorboard=True,
            id=known,
            resume="allow",
        )
        _keep(run, self._run.id)

    def log(self, numbers: Mapping[str, float], step: int) -> None:
        pass

    def finish(self, *, is_well: bool) -> None:
        self._run.finish(exit_code=0 if is_well else 1)


_BEGIN: dict[TrackerName, Callable[[Tracked], Tracker]] = {"mlflow": _Mlflow, "trackio": _Trackio, "wandb": _Wandb}


def _kept(run: Tracked) -> str | None:
    """Read under which name the tracker knows a run."""
    try:
        known = json.loads((run.folder / _KEPT).read_text("utf-8"))["id"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return known if isinstance(known, str) else None


def _keep(run: Tracked, known: str) -> None:
    with replacing(run.folder / _KEPT) as file:
        file.write(json.dumps({"id": known}).encode())


@contextmanager
def _quietly() -> Iterator[None]:
    """Keep a tracker's chatter off the screen."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)
