"""Options that several commands share."""

import os
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
