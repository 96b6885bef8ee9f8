"""A Ray cluster: it places runs on its nodes, and repeats those whose node has died."""

import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.errors import UsageError, one_line
from sb3_ddpg_custom.cli.experiments.engines.apart import RunApart
from sb3_ddpg_custom.cli.experiments.engines.interface import STOPPED, Ended, Engine
from sb3_ddpg_custom.cli.experiments.plan import Job
from sb3_ddpg_custom.cli.status import ask_to_stop

# Of a run whose node or worker has died; what fails by itself ends well in Ray's eyes.
_MOST_MOVES = 20


class RayCluster(Engine[Any]):
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
        super().__init__(at_once)
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

    def _begin(self, job: Job) -> Any:
        return self._make.remote(str(job.folder), self._threads)

    def _end_of(self, handle: Any, job: Job) -> Ended | None:
        if not self._ray.wait([handle], timeout=0)[0]:
            return None
        try:
            return Ended(job=job, code=self._ray.get(handle))
        except self._ray.exceptions.TaskCancelledError:
            return Ended(job=job, code=STOPPED)
        except Exception as error:  # a dead worker, too many moves
            return Ended(job=job, code=1, reason=f"Ray gave it up: {one_line(error)}")

    def _ask_to_stop(self, handle: Any, job: Job) -> bool:
        ask_to_stop(job.folder)
        if not self._is_running(handle, job):
            with suppress(Exception):
                self._ray.cancel(handle)
        return False

    def close(self) -> None:
        """Take back what still runs, and leave the cluster."""
        for handle, _ in self._pending:
            with suppress(Exception):
                self._ray.cancel(handle, force=True)
        self._pending = []
        if not self._was_there:
            self._ray.shutdown()


def _make_run(folder: str, threads: int) -> int:
    """Make a run on the node where Ray has put this."""
    return RunApart(Path(folder), threads).wait()
