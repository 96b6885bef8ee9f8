"""The process that all envs' processes are forked from: it has imported what they need, and computed nothing."""

import multiprocessing
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.context import BaseContext
from types import ModuleType

# Of libraries that compute in threads of their own: there are as many processes as envs already.
_THREADS = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "NUMBA_NUM_THREADS",
)
_PRELOADED = "sb3_ddpg_custom.cli.environments.processes.preloaded"


def start_server() -> None:
    """Begin to import what the envs' processes need, beside what this process does in the meantime.

    A fork of this process would be quicker, and hang as soon as torch or OpenMP have threads here; a new interpreter
    for each env takes two seconds and 250 MB. Where there is no fork at all (Windows), it has to be that.
    """
    if "forkserver" not in multiprocessing.get_all_start_methods():
        return
    from multiprocessing import forkserver

    multiprocessing.get_context("forkserver").set_forkserver_preload([_PRELOADED])
    with start_conditions():
        forkserver.ensure_running()


def context() -> BaseContext:
    """Choose how processes are started."""
    has_fork = "forkserver" in multiprocessing.get_all_start_methods()
    return multiprocessing.get_context("forkserver" if has_fork else "spawn")


@contextmanager
def start_conditions() -> Iterator[None]:
    """Have processes started in the block compute in one thread each, and leave the main script to this one."""
    variables = {name: os.environ.get(name) for name in _THREADS}
    # A new process runs the main script once more, which may lack the guard against that, and takes its time.
    main = sys.modules["__main__"]
    os.environ.update(one_thread())
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        for name, value in variables.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def one_thread() -> dict[str, str]:
    """Give the environment variables that have libraries compute in one thread."""
    return dict.fromkeys(_THREADS, "1")
