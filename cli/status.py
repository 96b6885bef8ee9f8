"""How far a run is, in a small file of its folder: for whoever watches it from another process or machine."""

import json
import math
import os
import platform
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

STATUS_FILE = "status.json"
STOP_FILE = "stop"
_MOST_BYTES = 20_000
_SECONDS_TO_BELIEVE = 5.0
_TEXTS, _NUMBERS = (str, type(None)), (int, float, type(None))

State = Literal["starting", "training", "done", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Status:
    """How far a run is.

    :param state: what it does; ``"stopped"`` by a signal, and whole
    :param step: env steps made
    :param total_steps: env steps to make
    :param steps_per_second: of late; None before there is one
    :param last_return: mean of the last ten training episodes; None without one
    :param evaluation: mean return of the last evaluation; None without one
    :param evaluated_at: env step of it
    :param best_evaluation: the largest mean return of an evaluation of this attempt
    :param returns: mean returns of training episodes over equal parts of the whole training; None where none ended
    :param q_mean: mean Q of the last updates
    :param q_realised: discounted returns that came of the newest states; None where that is not known
    :param critic_loss: of the last updates
    :param actor_loss: of the last updates
    :param film: path of the last one, as the screen shows it
    :param warning: what the doctor is sure of
    :param reason: why it failed
    :param updated: when this was written, seconds since 1970
    :param host: the machine that makes it
    :param pid: the process there
    """

    state: State
    step: int = 0
    total_steps: int = 0
    steps_per_second: float | None = None
    last_return: float | None = None
    evaluation: float | None = None
    evaluated_at: int | None = None
    best_evaluation: float | None = None
    returns: tuple[float | None, ...] = ()
    q_mean: float | None = None
    q_realised: float | None = None
    critic_loss: float | None = None
    actor_loss: float | None = None
    film: str | None = None
    warning: str | None = None
    reason: str | None = None
    updated: float = 0.0
    host: str = field(default_factory=platform.node)
    pid: int = field(default_factory=os.getpid)

    @property
    def seconds_left(self) -> float | None:
        """Estimate the rest of the training; None where there is nothing to go by."""
        return None if not self.steps_per_second else (self.total_steps - self.step) / self.steps_per_second

    @property
    def is_under_way(self) -> bool:
        """Whether somebody makes the run, as far as this machine can tell."""
        return self.now in ("starting", "training")

    @property
    def now(self) -> str:
        """What the run does in one word; ``"killed"`` where nobody was left to say it."""
        return "killed" if self.state in ("starting", "training") and self._is_killed else self.state

    @property
    def _is_killed(self) -> bool:
        """Whether the process is gone that said something every second, on this machine."""
        if os.name != "posix" or self.host != platform.node():
            return False
        try:
            if time.time() - self.updated >= _SECONDS_TO_BELIEVE:
                os.kill(int(self.pid), 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError, ValueError, TypeError):  # it is somebody else's; or nobody here wrote that file
            return False
        return False


def write_status(folder: Path, status: Status) -> None:
    """Leave a status where a reader finds the old or the new one; where that fails, the run goes on without.

    :param folder: the run's
    :param status: to leave, but for ``updated``
    """
    values = {**asdict(status), "updated": time.time()}
    plain = {name: _plain(value) for name, value in values.items()}
    # Without the wait for the disk that atomic.replacing takes: once a second, and a power cut may have it.
    partial = folder / f".{STATUS_FILE}.{os.getpid()}.partial"
    with suppress(OSError):
        partial.write_text(json.dumps(plain), "utf-8")
        partial.replace(folder / STATUS_FILE)


def read_status(folder: Path) -> Status | None:
    """Read a status.

    :param folder: a run's
    :return: None where there is none, or no whole one
    """
    try:
        with (folder / STATUS_FILE).open("rb") as file:
            values: Any = json.loads(file.read(_MOST_BYTES))
        known = [part.name for part in fields(Status) if part.name in values]  # older releases say less
        return Status(**{name: _checked(name, values[name]) for name in known})
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None


def clear_status(folder: Path) -> None:
    """Forget how far an earlier attempt was, and that it was asked to stop.

    :param folder: a run's
    """
    for name in (STATUS_FILE, STOP_FILE):
        with suppress(OSError):
            (folder / name).unlink()


def ask_to_stop(folder: Path) -> None:
    """Ask whoever makes a run, on whatever machine, to save what it has and to end.

    :param folder: the run's
    """
    with suppress(OSError):
        (folder / STOP_FILE).touch()


def is_asked_to_stop(folder: Path) -> bool:
    """Say whether somebody did, since the run was submitted.

    :param folder: the run's
    """
    return (folder / STOP_FILE).exists()


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _checked(name: str, value: Any) -> Any:
    """Take a value as it is declared: whoever reads a status computes with it."""
    if name == "returns":
        return tuple(_checked("evaluation", part) for part in value)
    known = _TEXTS if name in ("state", "reason", "film", "warning", "host") else _NUMBERS
    if not isinstance(value, known) or isinstance(value, bool):
        raise TypeError(f"{name} is {value!r}")
    return value
