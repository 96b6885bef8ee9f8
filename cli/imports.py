"""Importing much at once."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_garbage_collection() -> Iterator[None]:
    """Keep Python from looking for garbage inside the block, for imports, which make objects and leave no garbage.

    Each search goes through all objects there are; over torch and SB3 that adds up to an eighth of their time.
    """
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()
