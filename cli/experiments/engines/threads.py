"""How many threads a process multiplies matrices with: said to libraries before they are loaded."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

_VARIABLES = (
    *("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS", "NUMBA_NUM_THREADS"),
)


def thread_variables(threads: int) -> dict[str, str]:
    """Give the environment variables that torch, NumPy's BLAS and Numba read.

    :param threads: of one process
    """
    return dict.fromkeys(_VARIABLES, str(threads))


@contextmanager
def threads_of_children(threads: int) -> Iterator[None]:
    """Have processes that are started inside of the block use so many threads.

    :param threads: of one process
    """
    before = {name: os.environ.get(name) for name in _VARIABLES}
    os.environ.update(thread_variables(threads))
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
