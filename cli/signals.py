"""Signals that ask the command to end: Ctrl-C, a kill, a terminal that was closed."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

ENDING = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


class InterruptedBySignal(BaseException):
    """A signal ends the command where it stands; what is open is closed on the way out.

    :param number: of the signal
    """

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.signal = signal.Signals(number)


class SignalReceivedError(Exception):
    """A signal asked the run to end."""


@contextmanager
def ending_signals_raise() -> Iterator[None]:
    """Raise :class:`InterruptedBySignal` inside the block, where the system would end the process on the spot."""

    def leave(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
        raise InterruptedBySignal(number)

    with _handled(lambda _: leave):
        yield


class Signals:
    """Turns ending signals into a wish that the training grants between two steps.

    A second signal finds the handlers from before again, so an impatient user is not held. A signal that whoever
    started this process has it ignore (``nohup``, a job in the background) stays ignored.
    """

    def __init__(self) -> None:
        self.received: signal.Signals | None = None

    @contextmanager
    def caught(self) -> Iterator[None]:
        """Catch the signals inside the block."""

        def make(before: dict[int, Any]) -> Callable[[int, FrameType | None], None]:
            def note(number: int, frame: FrameType | None) -> None:  # noqa: ARG001
                self.received = signal.Signals(number)
                _install(before)

            return note

        with _handled(make):
            yield

    def raise_if_received(self) -> None:
        """Leave the evaluation that is going on.

        :raises SignalReceivedError: if a signal came
        """
        if self.received is not None:
            raise SignalReceivedError


@contextmanager
def _handled(make: Callable[[dict[int, Any]], Callable[[int, FrameType | None], None]]) -> Iterator[None]:
    """Handle the ending signals inside the block, and put the handlers from before back."""
    # Only the main thread may; elsewhere (a test, a notebook's worker) signals do what they do.
    handlers = {number: signal.getsignal(number) for number in ENDING} if _is_main_thread() else {}
    # None: installed by something else than Python, which could not be put back.
    before = {number: handler for number, handler in handlers.items() if handler not in (signal.SIG_IGN, None)}
    _install(dict.fromkeys(before, make(before)))
    try:
        yield
    finally:
        _install(before)


def _install(handlers: dict[int, Any]) -> None:
    for number, handler in handlers.items():
        signal.signal(number, handler)


def _is_main_thread() -> bool:
    return threading.current_thread() is threading.main_thread()
