"""Consoles that print every text as it is: messages, paths and names of others may hold brackets."""

import os
import sys
from contextlib import suppress
from typing import Any, TextIO, cast

from rich.console import Console


def screen(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Open a console without markup and without colours for numbers.

    :param stderr: for progress and notes; results go to standard output
    :param quiet: print nothing
    """
    file = cast(TextIO, _Lasting(sys.stderr)) if stderr else None
    return Console(file=file, stderr=stderr, quiet=quiet, highlight=False, markup=False)


class _Lasting:
    """Standard error that may vanish: a closed terminal or a pipe without a reader must not end a training."""

    def __init__(self, file: TextIO) -> None:
        self._file = file

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._file.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._file.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def discard_standard_output() -> None:
    """Throw away what is left to print where nobody reads it: Python would fail once more when it ends."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
