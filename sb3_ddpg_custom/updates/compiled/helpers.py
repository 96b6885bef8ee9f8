"""Threads that compute parts of an update, beside the one that asked for it.

Between two updates and inside of one they have nothing to do for some ten microseconds. A thread that sleeps takes as
long to wake, so each stays awake for a moment before it goes to sleep.
"""

import os
import threading
import weakref
from collections.abc import Callable, Sequence
from functools import lru_cache
from queue import SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import NDArray

# Looks at a number in memory, each taking about a cycle of the processor: some 50 microseconds.
_LOOKS = 200_000

#: looks at a count so many times at most while it is a number, and lets go of Python's lock meanwhile
Watch = Callable[[NDArray[np.int64], int, int, int], object]


class _Helper:
    """One thread.

    :param watch: see :data:`Watch`
    """

    def __init__(self, watch: Watch) -> None:
        self._watch = watch
        self._asked: SimpleQueue[Any] = SimpleQueue()
        self._done: SimpleQueue[BaseException | None] = SimpleQueue()
        # How much was asked for, and is done: only to look at; what counts is what lies in the queues.
        self._counts = np.zeros(2, np.int64)
        work = threading.Thread(
            target=_work, args=(watch, self._asked, self._done, self._counts), name="ddpg-update", daemon=True
        )
        work.start()
        weakref.finalize(self, self._asked.put, None)

    def ask(self, function: Callable[..., object], arguments: tuple[Any, ...]) -> None:
        self._asked.put((function, arguments))
        self._counts[0] += 1

    def wait(self) -> BaseException | None:
        self._watch(self._counts, 1, int(self._counts[0]) - 1, _LOOKS)
        return self._done.get()


def _work(watch: Watch, asked: "SimpleQueue[Any]", done: "SimpleQueue[Any]", counts: NDArray[np.int64]) -> None:
    seen = 0
    while (task := asked.get()) is not None:
        function, arguments = task
        seen += 1
        try:
            function(*arguments)
            done.put(None)
        except BaseException as error:
            done.put(error)
        counts[1] += 1
        del task, function, arguments  # asleep, it keeps nothing alive
        watch(counts, 0, seen, _LOOKS)


class Helpers:
    """Threads of one update, which end with it.

    :param count: how many
    :param watch: see :data:`Watch`
    """

    def __init__(self, count: int, watch: Watch) -> None:
        self._count, self._watch = count, watch
        self._threads: list[_Helper] = []
        self._process = 0

    def compute(self, function: Callable[..., object], parts: Sequence[tuple[Any, ...]]) -> None:
        """Call a function for all parts at once, the first one in this thread, and wait until all are done.

        :param function: machine code that lets go of Python's lock
        :param parts: arguments of each call, one more than there are threads at most
        """
        if self._process != os.getpid():  # at first, and in a fork, which has none of its parent's threads
            self._threads = [_Helper(self._watch) for _ in range(self._count)]
            self._process = os.getpid()
        busy = []
        for helper, part in zip(self._threads, parts[1:], strict=False):
            helper.ask(function, part)
            busy.append(helper)
        try:
            function(*parts[0])
        finally:  # whatever comes: nobody may write into what the next update reads
            errors = [helper.wait() for helper in busy]
        for error in errors:
            if error is not None:
                raise error


class OneThread:
    """Has the libraries that multiply matrices compute each product in the thread that asks, while an update is made.

    Their numbers of threads are the process's, and come back when no update is being made any more, in whatever thread.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._limit: Any = None

    def __enter__(self) -> None:
        with self._lock:
            if self._inside == 0:
                self._limit = blas().limit(limits=1, user_api="blas")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if self._inside == 0:
                self._limit.__exit__(None, None, None)


@lru_cache(maxsize=1)
def blas() -> Any:
    """Find the libraries that multiply matrices; Numba calls SciPy's."""
    import scipy.linalg.cython_blas  # noqa: F401  # what is not loaded is not found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
