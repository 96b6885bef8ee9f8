"""``ddpg export``."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sb3_ddpg_custom.cli.declared_options import command_line, takes
from sb3_ddpg_custom.cli.export.options import ExportRequest
from sb3_ddpg_custom.cli.imports import no_garbage_collection
from sb3_ddpg_custom.cli.shared_options import Debug

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.export.export import ExportResult


@takes(ExportRequest)
def export_command(
    request: ExportRequest,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write a policy as one file for elsewhere: from raw observations to the environment's actions."""
    with no_garbage_collection():
        from sb3_ddpg_custom.cli.export.export import export
        from sb3_ddpg_custom.cli.screen import screen

    result = export(request, screen(stderr=True))
    if as_json:
        typer.echo(json.dumps(asdict(result)))
    else:
        _print(result, request)


def _print(result: "ExportResult", request: ExportRequest) -> None:
    from rich.table import Table

    from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
    from sb3_ddpg_custom.cli.screen import screen

    console = screen()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("file", f"{result.file} ({result.format}, {result.bytes:,} bytes)")
    table.add_row("policy of", f"{result.checkpoint}, {result.env_id}")
    table.add_row(
        "checked", f"{result.observations:,} observations, {result.largest_difference:.1e} from predict at most"
    )
    for place, one in enumerate(result.latency):
        name = "one step takes" if place == 0 else ""
        table.add_row(name, f"{one.median_us:,.0f} µs, 99 % below {one.p99_us:,.0f} µs: {one.by}")
    console.print(table)
    if result.format != "torchscript":
        console.print("next:")
        played = EvaluateRequest(policy=Path(result.file), imports=request.imports)
        console.out(f"  {command_line('evaluate', played)}")
