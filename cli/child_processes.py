"""How processes are started: forked from one that has imported what they need, on so many threads each."""

import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import ModuleType
from typing import Any

# What multiplies matrices asks for its number of threads when it is loaded.
_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)


def thread_variables(threads: int = 1) -> dict[str, str]:
    """Give the environment variables by which libraries compute in so many threads.

    :param threads: of one process
    """
    return dict.fromkeys(_VARIABLES, str(threads))


def context() -> Any:
    """Choose how processes are started.

    A fork of this process would be quicker, and hang as soon as torch or OpenMP have threads here; a new interpreter
    for each takes two seconds and 250 MB. Where there is no fork at all (Windows), it has to be that.
    """
    return multiprocessing.get_context("forkserver" if has_fork() else "spawn")


def has_fork() -> bool:
    """Say whether processes are forked from a server."""
    return "forkserver" in multiprocessing.get_all_start_methods()


def start_server(preloaded: Sequence[str], threads: int = 1) -> None:
    """Begin to import what processes need, beside what this process does in the meantime.

    :param preloaded: modules
    :param threads: of each process
    """
    if not has_fork():
        return
    from multiprocessing import forkserver

    context().set_forkserver_preload(list(preloaded))
    with start_conditions(threads):
        forkserver.ensure_running()


@contextmanager
def start_conditions(threads: int = 1) -> Iterator[None]:
    """Have processes started in the block compute in so many threads each, and leave the main script to this one.

    :param threads: of each process
    """
    before = {name: os.environ.get(name) for name in _VARIABLES}
    # A new process runs the main script once more, which may lack the guard against that, and takes its time.
    main = sys.modules["__main__"]
    os.environ.update(thread_variables(threads))
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
