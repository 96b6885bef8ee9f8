"""A Ray cluster: it places runs on its nodes, and repeats those whose node has died."""

import os
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.errors import UsageError, one_line
from sb3_ddpg_custom.cli.experiments.engines.apart import RunApart
from sb3_ddpg_custom.cli.experiments.engines.interface import STOPPED, Ended
from sb3_ddpg_custom.cli.experiments.plan import Job
from sb3_ddpg_custom.cli.status import ask_to_stop, read_status

# Of a run whose node or worker has died; what fails by itself ends well in Ray's eyes.
_MOST_MOVES = 20


class RayCluster:
    """Computes runs on a Ray cluster, whose nodes share the folder of the runs.

    :param address: of a cluster that runs; None starts one of this machine's cores, for as long as this lasts
    :param at_once: most runs at once; None leaves it to the cluster's cores
    :param threads: of each run, and cores that Ray keeps for it
    :raises UsageError: if Ray is missing, or there is no cluster
    """

    def __init__(self, address: str | None, *, at_once: int | None, threads: int) -> None:
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # which would go to the internet
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "error")
        try:
            import ray
        except ImportError as error:
            raise UsageError('--on ray needs Ray; pip install "sb3-ddpg-custom[ray]"') from error
        self.at_once = at_once
        self._ray = ray
        self._was_there = ray.is_initialized()
        try:
            if not self._was_there:
                quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": "error"}
                ray.init(address=address or "local", **quiet)
            # What dying nodes say would land on standard output, between the lines of --json.
            vars(ray._private.worker)["_worker_logs_enabled"] = False
        except Exception as error:  # Ray raises what its parts do
            where = f"at {address}" if address else "here"
            raise UsageError(f"--on ray: no cluster can be reached {where} ({one_line(error)})") from error
        self._make = ray.remote(num_cpus=threads, max_retries=_MOST_MOVES)(_make_run)
        self._threads = threads
        self._queue: deque[Job] = deque()
        self._pending: dict[Any, Job] = {}
        self._never_begun: list[Ended] = []

    def submit(self, job: Job) -> None:
        """Hand a run to the cluster, or keep it until there is a place."""
        self._queue.append(job)
        self._fill()

    def running(self) -> list[Job]:
        """List the runs that have left a sign of life."""
        return [job for job in self._pending.values() if read_status(job.folder) is not None]

    def ended(self) -> list[Ended]:
        """List the runs whose tasks have ended."""
        ready, _ = (
            self._ray.wait([*self._pending], num_returns=len(self._pending), timeout=0) if self._pending else ([], [])
        )
        found, self._never_begun = self._never_begun, []
        for reference in ready:
            job = self._pending.pop(reference)
            try:
                found.append(Ended(job=job, code=self._ray.get(reference)))
            except self._ray.exceptions.TaskCancelledError:
                found.append(Ended(job=job, code=STOPPED))
            except Exception as error:  # a dead worker, too many moves
                found.append(Ended(job=job, code=1, reason=f"Ray gave it up: {one_line(error)}"))
        self._fill()
        return found

    def stop(self) -> None:
        """Ask those that run to save and end, and take back the others."""
        self._never_begun += [Ended(job=job, code=STOPPED) for job in self._queue]
        self._queue.clear()
        for reference, job in self._pending.items():
            ask_to_stop(job.folder)
            if read_status(job.folder) is None:
                with suppress(Exception):
                    self._ray.cancel(reference)

    def close(self) -> None:
        """Take back what still runs, and leave the cluster."""
        for reference in self._pending:
            with suppress(Exception):
                self._ray.cancel(reference, force=True)
        self._pending = {}
        if not self._was_there:
            self._ray.shutdown()

    def _fill(self) -> None:
        while self._queue and (self.at_once is None or len(self._pending) < self.at_once):
            job = self._queue.popleft()
            self._pending[self._make.remote(str(job.folder), self._threads)] = job


def _make_run(folder: str, threads: int) -> int:
    """Make a run on the node where Ray has put this."""
    return RunApart(Path(folder), threads).wait()
