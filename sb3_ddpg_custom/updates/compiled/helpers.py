"""Threads that compute parts of an update, beside the one that asked for it."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

_pool: ThreadPoolExecutor | None = None


def compute(function: Callable[..., object], parts: Sequence[tuple[Any, ...]]) -> None:
    """Call a function for all parts at once, the first one in this thread.

    :param function: machine code that lets go of Python's lock
    :param parts: arguments of each call
    """
    global _pool
    if _pool is None:
        _pool = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="ddpg-update")
    others = [_pool.submit(function, *part) for part in parts[1:]]
    try:
        function(*parts[0])
    finally:
        wait(others)  # whatever comes: nobody may write into what the next update reads
    for other in others:
        other.result()


def _forget() -> None:
    # A forked process has none of its parent's threads.
    global _pool
    _pool = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget)
