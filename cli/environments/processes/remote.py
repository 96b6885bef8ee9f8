"""The process of an env, as the training sees it."""

import pickle
import signal
import time
from contextlib import suppress
from typing import Any

from sb3_ddpg_custom.cli.blame import ToldError, kind_and_reason
from sb3_ddpg_custom.cli.child_processes import context, start_conditions
from sb3_ddpg_custom.cli.environments.processes.answers import Answer
from sb3_ddpg_custom.cli.environments.processes.failures import Failure
from sb3_ddpg_custom.cli.environments.processes.worker import work
from sb3_ddpg_custom.cli.errors import RunError

_SECONDS_TO_REPORT = 2.0  # how a process ended


class RemoteEnv:
    """An env in a process of its own, with the methods that SB3's ``SubprocVecEnv`` calls on a connection.

    :param rank: its index
    :param packed: an :class:`~sb3_ddpg_custom.cli.environments.processes.order.Order`, pickled
    """

    def __init__(self, rank: int, packed: bytes) -> None:
        self.rank = rank
        #: the last answer, with what came beside its value
        self.last = Answer(None)
        #: why films could not go on, where nobody was told yet
        self.undrawn: list[str] = []
        #: whether a signal has ended the waiting for an answer
        self.is_interrupted = False
        self._connection, theirs = context().Pipe()
        # No daemon: an env may start processes of its own, which those must not.
        self.process = context().Process(target=work, args=(theirs, packed), name=f"env {rank}", daemon=False)
        with theirs, start_conditions():
            self.process.start()

    def send(self, command: tuple[str, Any]) -> None:
        """Tell the env what to do.

        :raises RunError: if its process has died
        """
        self.last = Answer(None)
        try:
            self._connection.send(command)
        except OSError as error:
            raise self._died() from error

    def recv(self) -> Any:
        """Wait for the answer.

        :raises RunError: if the process has died
        :raises ToldError: what went wrong in it, or one of the other errors of ``failures``
        """
        try:
            data = self._connection.recv_bytes()
        except (EOFError, OSError) as error:
            raise self._died() from error
        except BaseException:
            self.is_interrupted = True
            raise
        return self._read(data)

    def ask_to_close(self) -> None:
        """Begin to close the env."""
        with suppress(OSError):
            self._connection.send(("close", None))

    def wait_until_closed(self, deadline: float) -> Exception | None:
        """Wait until the env is closed, and its process over.

        :param deadline: on the clock of ``time.monotonic``; whoever is not ready by then is killed
        :return: what went wrong in the env's ``close``
        """
        problem: Exception | None = None
        try:
            # What it was asked before comes first; of an answer that a signal interrupted, a part may be gone.
            while not self.is_interrupted and self._connection.poll(max(deadline - time.monotonic(), 0)):
                data = self._connection.recv_bytes()
                try:
                    self._read(data)
                    problem = None
                except Exception as error:  # an env may raise anything while it is closed
                    problem = error
        except (EOFError, OSError):  # it is over
            pass
        finally:
            self.process.join(max(deadline - time.monotonic(), 0))
            if self.process.is_alive() and not self.is_interrupted:
                problem = problem or ToldError(f"env {self.rank} takes too long to close, and was killed")
            self.end()
        return problem

    def end(self) -> None:
        """Kill the process, if it still runs."""
        if self.process.is_alive():
            self.process.kill()
        self.process.join()
        self._connection.close()

    def _read(self, data: bytes) -> Any:
        try:
            self.last = pickle.loads(data)  # noqa: S301  # from a process of ours
        except Exception as error:  # what it names may not be here
            raise ToldError(f"what env {self.rank} answered cannot be read here ({kind_and_reason(error)})") from error
        self.undrawn += self.last.undrawn
        if isinstance(self.last.value, Failure):
            raise self.last.value.as_error()
        return self.last.value

    def _died(self) -> RunError:
        self.process.join(_SECONDS_TO_REPORT)
        code = self.process.exitcode
        if code is None or code == 255:  # its server has gone, too
            how = "is gone"
        elif code < 0:
            how = f"was ended by {signal.Signals(-code).name}"
        else:
            how = f"ended by itself, with exit code {code}"
        return RunError(f"the process of env {self.rank} {how}")
