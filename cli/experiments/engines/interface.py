"""What there is to compute runs with, behind one interface."""

from dataclasses import dataclass
from typing import Protocol

from sb3_ddpg_custom.cli.experiments.plan import Job

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


class Engine(Protocol):
    """Computes runs, each from wherever its folder says that it is. What a run prints is in its folder."""

    #: how many runs it computes at once; None where it decides by itself
    at_once: int | None

    def submit(self, job: Job) -> None:
        """Queue a run.

        :param job: whose folder says what it is
        """

    def running(self) -> list[Job]:
        """List the runs that are being computed, as far as the engine knows."""

    def ended(self) -> list[Ended]:
        """List the runs that have ended since this was asked before."""

    def stop(self) -> None:
        """Have all runs save what they have and end, and begin no other; :meth:`ended` goes on to tell of each."""

    def close(self) -> None:
        """End what is still running at once, and give back what was taken."""
