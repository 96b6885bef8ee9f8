"""What there is to compute runs with, behind one interface."""

from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from typing import Any, Generic, TypeAlias, TypeVar

from sb3_ddpg_custom.cli.experiments.plan import Job
from sb3_ddpg_custom.cli.status import read_status

Handle = TypeVar("Handle")

#: exit code of a run that was asked to end
STOPPED = 143


@dataclass(frozen=True, kw_only=True)
class Ended:
    """How a process of a run ended.

    :param job: the run
    :param code: its exit code; that of a training, or minus the number of the signal that killed it
    :param reason: what the engine has to say of it; None where the run's folder says all
    """

    job: Job
    code: int
    reason: str | None = None


class Engine(ABC, Generic[Handle]):
    """Computes runs, each from wherever its folder says that it is. What a run prints is in its folder.

    Runs wait here until there is a place.

    :param at_once: most runs at once; None hands all of them over
    """

    def __init__(self, at_once: int | None) -> None:
        self.at_once = at_once
        self._queue: deque[Job] = deque()
        self._pending: list[tuple[Handle, Job]] = []
        self._never_begun: list[Ended] = []

    @abstractmethod
    def _begin(self, job: Job) -> Handle:
        """Hand a run over."""

    @abstractmethod
    def _end_of(self, handle: Handle, job: Job) -> Ended | None:
        """Say how a run ended; None while it has not."""

    @abstractmethod
    def _ask_to_stop(self, handle: Handle, job: Job) -> bool:
        """Have a run save what it has and end; say whether it is gone at once, as it had not begun."""

    @abstractmethod
    def close(self) -> None:
        """End what is still running at once, and give back what was taken."""

    def _is_running(self, handle: Handle, job: Job) -> bool:  # noqa: ARG002
        return read_status(job.folder) is not None  # a sign of life

    def submit(self, job: Job) -> None:
        """Queue a run, and hand it over where there is a place."""
        self._queue.append(job)
        self._fill()

    def running(self) -> list[Job]:
        """List the runs that are being computed, as far as the engine knows."""
        return [job for handle, job in self._pending if self._is_running(handle, job)]

    def ended(self) -> list[Ended]:
        """List the runs that have ended since this was asked before, and hand over the next ones."""
        found, self._never_begun = self._never_begun, []
        for one in list(self._pending):
            end = self._end_of(*one)
            if end is not None:
                self._pending.remove(one)
                found.append(end)
        self._fill()
        return found

    def stop(self) -> None:
        """Have all runs save what they have and end, and begin no other; :meth:`ended` goes on to tell of each."""
        gone = [one for one in self._pending if self._ask_to_stop(*one)]
        self._pending = [one for one in self._pending if one not in gone]
        waiting = [*self._queue, *(job for _, job in gone)]
        self._never_begun += [Ended(job=job, code=STOPPED) for job in waiting]
        self._queue.clear()

    def _fill(self) -> None:
        while self._queue and (self.at_once is None or len(self._pending) < self.at_once):
            job = self._queue.popleft()
            self._pending.append((self._begin(job), job))


AnyEngine: TypeAlias = Engine[Any]
