"""The driving side of a benchmark's worker: a process that answers each line with one line of JSON."""

import contextlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from types import TracebackType
from typing import Any

from sb3_ddpg_custom.cli.errors import RunError, one_line

_THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")
_QUIT_SECONDS = 10.0

# The worker finds its modules where this process finds them, whatever the current folder holds.
_OWN_WORKER = """
import sys
sys.path[:] = {path!r}
from sb3_ddpg_custom.cli.bench.worker import main
main({contender!r}, sys.argv[1])
"""


def own_command(contender: str) -> list[str]:
    """Write the command line of one of our workers, which takes the case's name as its argument.

    :param contender: one of ``bench_worker.CONTENDERS``
    """
    return [sys.executable, "-c", _OWN_WORKER.format(path=sys.path, contender=contender)]


def _keep_to(process: int, count: int) -> None:
    """Give a process some CPUs: some libraries start more threads than they are told to. Linux only.

    :param process: its id, before it has started threads
    :param count: number of CPUs
    """
    if hasattr(os, "sched_setaffinity"):
        with contextlib.suppress(OSError):  # it is gone already: its first answer tells why
            os.sched_setaffinity(process, sorted(os.sched_getaffinity(0))[-count:])


class Worker:
    """A worker process; it ends with the ``with`` block, at once if the block fails.

    :param name: for messages
    :param command: command line, to which the case's name is appended
    :param case: the case's name
    :param threads: that the worker may compute with
    :raises RunError: if it cannot be started
    """

    def __init__(self, name: str, command: Sequence[str], case: str, *, threads: int) -> None:
        self.name = name
        self.case = case
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 (closed in __exit__; a pipe nobody reads would fill up)
        try:
            self._process = subprocess.Popen(  # noqa: S603 (ours, or the caller's own)
                [*command, case],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._errors,
                text=True,
                encoding="utf-8",
                env={**os.environ, **dict.fromkeys(_THREAD_VARIABLES, str(threads))},
                start_new_session=True,  # Ctrl-C is for the parent, which ends its workers
            )
        except OSError as error:
            self._errors.close()
            raise RunError(f"the worker of {name!r} cannot be started: {one_line(error)}") from error
        _keep_to(self._process.pid, threads)

    def __enter__(self) -> "Worker":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            self._process.kill()
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.close()  # type: ignore[union-attr]  # the end of stdin means quit
        try:
            self._process.wait(_QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()  # type: ignore[union-attr]
        self._errors.close()

    def ask(self, request: str) -> dict[str, Any]:
        """Send one line and wait for its answer.

        :param request: ``steps N``, ``updates N`` or ``memory``
        :raises RunError: if the worker has died, or answers in another language
        """
        assert self._process.stdin is not None  # noqa: S101 (for mypy)
        with contextlib.suppress(BrokenPipeError):  # then there is no answer either
            self._process.stdin.write(request + "\n")
            self._process.stdin.flush()
        return self.answer()

    def answer(self) -> dict[str, Any]:
        """Wait for the next line; the first one says that the worker is ready.

        :raises RunError: if the worker has died, or answers in another language
        """
        assert self._process.stdout is not None  # noqa: S101 (for mypy)
        line = self._process.stdout.readline()
        if not line:
            raise RunError(f"the worker of {self.name!r} on {self.case} {self._last_words()}")
        try:
            answer = json.loads(line)
        except ValueError:
            answer = None
        if not isinstance(answer, dict) or "error" in answer:
            raise RunError(f"the worker of {self.name!r} on {self.case} answered {one_line(line)}")
        return answer

    def _last_words(self) -> str:
        """Say how it ended, with the last line of its stderr."""
        try:
            code = self._process.wait(_QUIT_SECONDS)
        except subprocess.TimeoutExpired:
            return "closed its stdout"
        self._errors.seek(0)
        lines = [line for line in self._errors.read().decode(errors="replace").splitlines() if line.strip()]
        how = f"died of signal {-code}" if code < 0 else f"ended with exit code {code}"
        return f"{how}: {one_line(lines[-1])}" if lines else f"{how} and said nothing"
