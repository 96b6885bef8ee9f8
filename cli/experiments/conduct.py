"""Many runs, from the first to the last: what is made is skipped, what failed is tried again, what stops is saved."""

import signal
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sb3_ddpg_custom.cli.experiments.board import Board
from sb3_ddpg_custom.cli.experiments.engines.interface import STOPPED, AnyEngine, Ended
from sb3_ddpg_custom.cli.experiments.plan import Job, check_is_of, write_job
from sb3_ddpg_custom.cli.run_folder import is_done
from sb3_ddpg_custom.cli.signals import Signals
from sb3_ddpg_custom.cli.status import clear_status, read_status

_LOOK_SECONDS = 0.1


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How a run ended.

    :param job: the run
    :param state: ``"done"`` now, or ``"made before"``; ``"stopped"`` with what it had saved; ``"not begun"``
    :param reason: why it failed, None otherwise
    :param attempts: how often it was begun or gone on with by this command
    """

    job: Job
    state: Literal["done", "made before", "failed", "stopped", "not begun"]
    reason: str | None = None
    attempts: int = 0


@dataclass(frozen=True, kw_only=True)
class Conducted:
    """How all runs ended.

    :param outcomes: one for each run, in their order
    :param signal: number of the signal that ended the command early, None if none did
    """

    outcomes: Sequence[Outcome]
    signal: int | None

    @property
    def exit_code(self) -> int:
        """0, 1 where a run failed, and 128 and the signal's number where one ended all."""
        if self.signal is not None:
            return 128 + self.signal
        return int(any(outcome.state == "failed" for outcome in self.outcomes))


def conduct(jobs: Sequence[Job], engine: AnyEngine, board: Board, *, retry: int) -> Conducted:
    """Make all runs that are not made yet.

    :param jobs: the runs
    :param engine: computes them; it is closed at the end
    :param board: shows how they go
    :param retry: how often a run that failed is gone on with
    :raises UsageError: before anything is begun, if a run's folder holds something else
    """
    signals = Signals()
    with closing(engine):
        for job in jobs:
            check_is_of(job)
        outcomes = {job.folder: Outcome(job=job, state="not begun") for job in jobs}
        attempts = dict.fromkeys(outcomes, 0)
        with board, signals.caught():
            for job in jobs:
                if is_done(job.folder, job.total_steps):
                    outcomes[job.folder] = Outcome(job=job, state="made before")
                    board.ended(outcomes[job.folder])
                    continue
                write_job(job)
                clear_status(job.folder)
                _submit(engine, job, attempts)
            waiting = sum(attempts.values())
            was_stopped = False
            while waiting:
                if signals.received is not None and not was_stopped:
                    was_stopped = True
                    engine.stop()
                    board.stopping(len(engine.running()))
                for end in engine.ended():
                    outcome = outcome_of(end, attempts[end.job.folder], was_stopped=was_stopped)
                    if outcome.state == "failed" and end.code != 2 and outcome.attempts <= retry:
                        board.trying_again(outcome)
                        _submit(engine, end.job, attempts)
                        continue
                    waiting -= 1
                    outcomes[end.job.folder] = outcome
                    board.ended(outcome)
                board.look(engine.running())
                time.sleep(_LOOK_SECONDS)
    received = signals.received
    return Conducted(outcomes=list(outcomes.values()), signal=None if received is None else int(received))


def _submit(engine: AnyEngine, job: Job, attempts: dict[Path, int]) -> None:
    attempts[job.folder] += 1
    engine.submit(job)


def outcome_of(end: Ended, attempts: int, *, was_stopped: bool) -> Outcome:
    """Say what the end of a process means.

    :param end: of the process
    :param attempts: how often the run was begun or gone on with
    :param was_stopped: whether it was asked to stop
    """
    if end.code == 0 and is_done(end.job.folder, end.job.total_steps):
        return Outcome(job=end.job, state="done", attempts=attempts)
    status = read_status(end.job.folder)
    if was_stopped and (end.code in (STOPPED, -15) or (status is not None and status.state == "stopped")):
        return Outcome(job=end.job, state="not begun" if status is None else "stopped", attempts=attempts)
    told = end.reason or (status.reason if status is not None and status.state in ("failed", "stopped") else None)
    return Outcome(job=end.job, state="failed", reason=told or _how_killed(end.code), attempts=attempts)


def _how_killed(code: int) -> str:
    if code >= 0:
        return f"its process ended with code {code} and said nothing"
    name = signal.Signals(-code).name if -code in signal.valid_signals() else f"signal {-code}"
    return f"its process was killed by {name}" + ("; was the memory full?" if name == "SIGKILL" else "")
