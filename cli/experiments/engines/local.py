"""Processes on this machine, each with its share of the cores."""

import os
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.child_processes import context, start_conditions, start_server
from sb3_ddpg_custom.cli.experiments.engines.interface import Ended, Engine
from sb3_ddpg_custom.cli.experiments.plan import Job

#: imported once, by the process that all others are forked from: two seconds less for each run.
IMPORTED_ONCE = (
    *("sb3_ddpg_custom.cli.experiments.worker", "sb3_ddpg_custom.cli.figures.curve"),
    *("sb3_ddpg_custom.cli.experiments.engines.loaded_kernels", "tensorboard.summary.writer.event_file_writer"),
)


class LocalPool(Engine[tuple[Any, Connection]]):
    """Computes so many runs at once.

    :param at_once: how many
    :param threads: of each
    """

    def __init__(self, *, at_once: int, threads: int) -> None:
        super().__init__(at_once)
        self._threads = threads
        start_server(IMPORTED_ONCE, threads)

    def _begin(self, job: Job) -> tuple[Any, Connection]:
        theirs, ours = context().Pipe(duplex=False)
        process = context().Process(target=run_in_process, args=(job.folder, theirs), name=job.name)
        with start_conditions(self._threads):
            process.start()
        theirs.close()
        return process, ours

    def _end_of(self, handle: tuple[Any, Connection], job: Job) -> Ended | None:
        process, lifeline = handle
        if process.is_alive():
            return None
        lifeline.close()
        process.join()
        return Ended(job=job, code=process.exitcode)

    def _is_running(self, handle: tuple[Any, Connection], job: Job) -> bool:  # noqa: ARG002
        return True

    def _ask_to_stop(self, handle: tuple[Any, Connection], job: Job) -> bool:  # noqa: ARG002
        handle[1].close()
        return False

    def close(self) -> None:
        """Kill what still runs."""
        for (process, lifeline), _ in self._pending:
            lifeline.close()
            process.kill()
            process.join()
        self._pending = []


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
