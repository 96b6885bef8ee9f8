"""Processes on this machine, each with its share of the cores."""

import os
import sys
from collections import deque
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.child_processes import context, start_conditions, start_server
from sb3_ddpg_custom.cli.experiments.engines.interface import STOPPED, Ended
from sb3_ddpg_custom.cli.experiments.plan import Job

# Imported once, by the process that all others are forked from: two seconds less for each run.
_IMPORTED_ONCE = (
    *("sb3_ddpg_custom.cli.experiments.worker", "sb3_ddpg_custom.cli.figures.curve"),
    *("sb3_ddpg_custom.updates.compiled", "tensorboard.summary.writer.event_file_writer"),
)


class LocalPool:
    """Computes so many runs at once.

    :param at_once: how many
    :param threads: of each
    """

    def __init__(self, *, at_once: int, threads: int) -> None:
        self.at_once: int | None = at_once
        self._most = at_once
        self._threads = threads
        self._queue: deque[Job] = deque()
        self._running: list[tuple[Job, Any, Connection]] = []
        self._never_begun: list[Ended] = []
        start_server(_IMPORTED_ONCE, threads)

    def submit(self, job: Job) -> None:
        """Queue a run, and begin it where there is a place."""
        self._queue.append(job)
        self._fill()

    def running(self) -> list[Job]:
        """List the runs that have a process."""
        return [job for job, _, _ in self._running]

    def ended(self) -> list[Ended]:
        """List the runs whose processes have ended, and begin the next ones."""
        over = [one for one in self._running if not one[1].is_alive()]
        self._running = [one for one in self._running if one not in over]
        found = []
        for job, process, lifeline in over:
            lifeline.close()
            process.join()
            found.append(Ended(job=job, code=process.exitcode))
            process.close()
        found += self._never_begun
        self._never_begun = []
        self._fill()
        return found

    def stop(self) -> None:
        """Begin no other run, and let go of the lifelines."""
        self._never_begun += [Ended(job=job, code=STOPPED) for job in self._queue]
        self._queue.clear()
        for _, _, lifeline in self._running:
            lifeline.close()

    def close(self) -> None:
        """Kill what still runs."""
        self.stop()
        for _, process, _ in self._running:
            process.kill()
            process.join()
        self._running = []

    def _fill(self) -> None:
        while self._queue and len(self._running) < self._most:
            job = self._queue.popleft()
            theirs, ours = context().Pipe(duplex=False)
            process = context().Process(target=run_in_process, args=(job.folder, theirs), name=job.name)
            with start_conditions(self._threads):
                process.start()
            theirs.close()
            self._running.append((job, process, ours))


def run_in_process(folder: Path, lifeline: Connection) -> None:
    """Make the run of a folder in this process, which ends with it.

    :param folder: which holds a job
    :param lifeline: read end of a pipe
    """
    from sb3_ddpg_custom.cli.experiments.worker import work

    def wait_for_end() -> None:
        with suppress(EOFError, OSError):
            lifeline.recv()

    code = work(folder, wait_for_end)
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)  # what an env has left running must not keep the process
