"""A run in a process of its own, started by a task of a cluster that waits for it."""

import os
import subprocess
import sys
from pathlib import Path

from sb3_ddpg_custom.cli.child_processes import thread_variables

_SAVING_SECONDS = 120.0


class RunApart:
    """A run's process. When the process that holds this one is killed, it saves what it has and ends.

    :param folder: of the run, which holds a job
    :param threads: of the process
    """

    def __init__(self, folder: Path, threads: int) -> None:
        self._process = subprocess.Popen(  # noqa: S603 (this Python, and our own module)
            [sys.executable, "-m", "sb3_ddpg_custom.cli.experiments.worker", str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, **thread_variables(threads)},
        )

    def wait(self) -> int:
        """Wait for its end; give its exit code."""
        try:
            return self._process.wait()
        except BaseException:  # whatever ends the task
            self.stop()
            raise

    def stop(self) -> None:
        """Have it save what it has, and wait for that."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            self._process.wait(_SAVING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
