"""A run in a process of its own, started by a task of a cluster that waits for it."""

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

from sb3_ddpg_custom.cli.child_processes import thread_variables

_SAVING_SECONDS = 120.0
_LOOK_SECONDS = 0.1


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
        self._code: int | None = None
        threading.Thread(target=self._note_end, daemon=True).start()

    def _note_end(self) -> None:
        self._code = self._process.wait()

    def wait(self) -> int:
        """Wait for its end; give its exit code."""
        try:
            # Without a lock: a signal's handler may stop the run from inside of this very wait.
            while self._code is None:
                time.sleep(_LOOK_SECONDS)
            return self._code
        except BaseException:  # whatever ends the task
            self.stop()
            raise

    def stop(self) -> None:
        """Have it save what it has, and wait for that."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        until = time.monotonic() + _SAVING_SECONDS
        while self._code is None and time.monotonic() < until:
            time.sleep(_LOOK_SECONDS)
        if self._code is None:
            self._process.kill()
