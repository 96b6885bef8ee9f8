"""Consoles that print every text as it is: messages, paths and names of others may hold brackets."""

from rich.console import Console


def screen(*, stderr: bool = False, quiet: bool = False) -> Console:
    """Open a console without markup and without colours for numbers.

    :param stderr: for progress and notes; results go to standard output
    :param quiet: print nothing
    """
    return Console(stderr=stderr, quiet=quiet, highlight=False, markup=False)
