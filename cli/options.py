"""Options that several commands share."""

import os
from collections.abc import Sequence
from typing import Annotated

import typer

# Set by --debug: the error boundary is outside of every command and cannot see their options.
DEBUG_VARIABLE = "DDPG_DEBUG"


def _remember(debug: bool) -> None:
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_remember, help="Show the whole traceback of an error (or set DDPG_DEBUG=1)."),
]
Import = Annotated[
    list[str] | None,
    typer.Option("--import", metavar="MODULE", help="Import a module that registers environments; repeatable."),
]


def import_flags(modules: Sequence[str]) -> list[str]:
    """Write ``--import`` as the user gave it, for a command line to repeat.

    :param modules: values of ``--import``
    """
    return [part for module in modules for part in ("--import", module)]
