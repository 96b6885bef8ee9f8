"""``ddpg doctor``."""

from typing import Annotated

import typer

from sb3_ddpg_custom.cli.results.options import RUNS_ARGUMENT
from sb3_ddpg_custom.cli.shared_options import Debug


def doctor_command(
    runs: Annotated[list[str], RUNS_ARGUMENT],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Say in words what is wrong with runs, and which option to change."""
    import json

    from sb3_ddpg_custom.cli.doctor.examine import examine, lines, to_json
    from sb3_ddpg_custom.cli.results.load import load_runs
    from sb3_ddpg_custom.cli.screen import screen

    loaded = load_runs(runs)
    examined = examine(loaded)
    if as_json:
        typer.echo(json.dumps(to_json(loaded, examined), indent=1))
        return
    notes, console = screen(stderr=True), screen()
    for remark in loaded.remarks:
        notes.print(f"note: {remark}", soft_wrap=True)
    for line, style in lines(loaded, examined):
        console.print(line, style=style, soft_wrap=True)
