"""``ddpg watch``."""

from contextlib import suppress
from pathlib import Path
from typing import Annotated

import typer

from sb3_ddpg_custom.cli.shared_options import Debug

_MOST_COMMANDS = 5


def watch_command(
    runs: Annotated[list[Path], typer.Argument(metavar="RUNS...", help="Run folders, or folders of runs: a study's.")],
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show how far runs are that other processes are making; Ctrl-C stops watching, not the runs."""
    from sb3_ddpg_custom.cli.screen import screen
    from sb3_ddpg_custom.cli.training.resume import how_to_go_on
    from sb3_ddpg_custom.cli.watching.watch import watch

    console = screen()
    with suppress(KeyboardInterrupt):
        killed = watch(runs, console)
        commands = [command for folder in killed if (command := how_to_go_on(folder)) is not None]
        if commands:
            console.print("to go on with what was killed:")
        for command in commands[:_MOST_COMMANDS]:
            console.out(f"  {command}")
        if len(commands) > _MOST_COMMANDS:
            console.print(f"  … {len(commands) - _MOST_COMMANDS} more")
        if len(commands) < len(killed):
            console.print(f"killed before anything was saved: {len(killed) - len(commands)}")
