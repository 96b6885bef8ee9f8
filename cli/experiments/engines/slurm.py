"""Slurm, by way of submitit: each run a job, put back into the queue where its time is up or it is preempted."""

import re
import signal
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.errors import UsageError, one_line
from sb3_ddpg_custom.cli.experiments.engines.apart import RunApart
from sb3_ddpg_custom.cli.experiments.engines.interface import Ended, Engine
from sb3_ddpg_custom.cli.experiments.plan import Job
from sb3_ddpg_custom.cli.status import ask_to_stop

_DEFAULT_MINUTES = 24 * 60
# submitit gives up a job whose time is up for the fourth time, however far its run has come.
_MOST_TIMEOUTS = 1_000
# submitit's own names; all others are Slurm's, and get its prefix.
_OF_SUBMITIT = ("timeout_min", "mem_gb", "gpus_per_node", "cpus_per_task", "name")


class Slurm(Engine[Any]):
    """Computes runs as jobs of Slurm, whose nodes share the folder of the runs.

    :param wishes: ``"key=value"`` each, such as ``partition=gpu``; ``time`` is in minutes
    :param at_once: most jobs at once; None leaves it to Slurm
    :param threads: of each run, and cores that are asked for
    :param local: make jobs of processes on this machine instead, as submitit does to try things
    :param logs: folder of what submitit and Slurm write
    :raises UsageError: if submitit or Slurm is missing, or a wish is none
    """

    def __init__(self, wishes: Sequence[str], *, at_once: int | None, threads: int, local: bool, logs: Path) -> None:
        try:
            import submitit
        except ImportError as error:
            raise UsageError('--on slurm needs submitit; pip install "sb3-ddpg-custom[slurm]"') from error
        super().__init__(at_once)
        self._threads = threads
        try:
            cluster = "local" if local else "slurm"
            self._executor: Any = submitit.AutoExecutor(logs, cluster=cluster, slurm_max_num_timeout=_MOST_TIMEOUTS)
            parameters = {"name": "ddpg", "timeout_min": _DEFAULT_MINUTES, "cpus_per_task": threads}
            self._executor.update_parameters(**{**parameters, **read_wishes(wishes)})
        except (RuntimeError, NameError, ValueError, TypeError, AssertionError) as error:
            raise UsageError(f"--on slurm: {one_line(error)}") from error

    def _begin(self, job: Job) -> Any:
        with _without_ctrl_c():
            return self._executor.submit(_SlurmRun(job.folder, self._threads))

    def _end_of(self, handle: Any, job: Job) -> Ended | None:
        if not handle.done():
            return None
        try:
            return Ended(job=job, code=handle.result())
        except Exception as error:  # whatever became of the job
            reason = f"Slurm's job {handle.job_id} ended without a result: {one_line(error)}"
            return Ended(job=job, code=1, reason=reason)

    def _ask_to_stop(self, handle: Any, job: Job) -> bool:
        has_begun = self._is_running(handle, job)
        ask_to_stop(job.folder)
        if not has_begun:
            handle.cancel(check=False)
        return not has_begun

    def close(self) -> None:
        """Take back what still runs."""
        for handle, job in self._pending:
            ask_to_stop(job.folder)
            handle.cancel(check=False)
        self._pending = []


@contextmanager
def _without_ctrl_c() -> Iterator[None]:
    """Have processes that are started in the block, where submitit stands in for Slurm, not hear the terminal's Ctrl-C.

    It is for this process, which asks the runs to save what they have.
    """
    is_main = threading.current_thread() is threading.main_thread()
    before = signal.signal(signal.SIGINT, signal.SIG_IGN) if is_main else None
    try:
        yield
    finally:
        if before is not None:
            signal.signal(signal.SIGINT, before)


class _SlurmRun:
    """What a job of Slurm does; submitit calls ``checkpoint`` where it has to leave the node."""

    def __init__(self, folder: Path, threads: int) -> None:
        self.folder = folder
        self.threads = threads
        self._run: RunApart | None = None

    def __call__(self) -> int:
        self._run = RunApart(self.folder, self.threads)
        return self._run.wait()

    def checkpoint(self) -> Any:
        """Save, and go back into the queue."""
        from submitit.helpers import DelayedSubmission

        if self._run is not None:
            self._run.stop()
        return DelayedSubmission(_SlurmRun(self.folder, self.threads))


def read_wishes(wishes: Sequence[str]) -> dict[str, Any]:
    """Turn ``--slurm`` into submitit's parameters.

    >>> read_wishes(["partition=gpu", "time=90"])
    {'slurm_partition': 'gpu', 'timeout_min': 90}

    :param wishes: ``"key=value"`` each
    :raises UsageError: if one is not
    """
    parameters: dict[str, Any] = {}
    for wish in wishes:
        key, equals, value = wish.partition("=")
        if not equals or not re.fullmatch(r"[a-z][a-z_]*", key) or not value:
            raise UsageError(f"--slurm {wish} is not such as partition=gpu")
        key = "timeout_min" if key == "time" else key
        number = int(value) if value.isascii() and value.isdecimal() else value
        if key == "timeout_min" and not isinstance(number, int):
            raise UsageError(f"--slurm {wish}: time is in whole minutes, such as time=120")
        parameters[key if key in _OF_SUBMITIT else f"slurm_{key}"] = number
    return parameters
