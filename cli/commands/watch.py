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
    from sb3_ddpg_custom.cli.training.commands_to_paste import going_on
    from sb3_ddpg_custom.cli.watching.watch import watch

    console = screen()
    with suppress(KeyboardInterrupt):
        killed = watch(runs, console)
        if killed:
            console.print("to go on with what was killed:")
        for folder in killed[:_MOST_COMMANDS]:
            console.out(f"  {going_on(folder, ())}")
        if len(killed) > _MOST_COMMANDS:
            console.print(f"  … {len(killed) - _MOST_COMMANDS} more")
