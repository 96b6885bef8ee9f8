"""``ddpg compare``."""

from typing import Annotated

import typer

from sb3_ddpg_custom.cli.declared_options import takes
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.results.options import CompareRequest
from sb3_ddpg_custom.cli.shared_options import Debug


@takes(CompareRequest)
def compare_command(
    request: CompareRequest,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print a line of CSV per environment and setting.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Compare settings over seeds: scores with intervals, and what may be concluded from them."""
    if as_json and as_csv:
        raise UsageError("--json and --csv both print the result; leave one of them out")
    import json

    from sb3_ddpg_custom.cli.results.compare import compare_runs, to_csv, to_json
    from sb3_ddpg_custom.cli.results.tables import print_comparison
    from sb3_ddpg_custom.cli.screen import screen

    comparison, remarks = compare_runs(request)
    notes = screen(stderr=True)
    for remark in remarks:
        notes.print(f"note: {remark}", soft_wrap=True)
    if as_json:
        typer.echo(json.dumps(to_json(comparison, remarks), indent=1, allow_nan=False))
    elif as_csv:
        typer.echo(to_csv(comparison), nl=False)
    else:
        print_comparison(comparison, screen())
