"""``ddpg watch``."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sb3_ddpg_custom.cli.shared_options import Debug


def watch_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Run folders, or folders of runs: a study's.")],
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show how far runs are that other processes are making; Ctrl-C stops watching, not the runs."""
    from sb3_ddpg_custom.cli.screen import screen
    from sb3_ddpg_custom.cli.watching.watch import watch

    with suppress(KeyboardInterrupt):
        watch(runs, screen())
