"""``ddpg inspect``."""

from functools import partial
from pathlib import Path
from typing import Annotated, Any

import typer

from sb3_ddpg_custom.cli.shared_options import Debug, read_path


def inspect_command(
    path: Annotated[
        Path,
        typer.Argument(
            metavar="PATH",
            parser=partial(read_path, "PATH"),
            help="A run folder, a .zip of this package or of Stable-Baselines3, a replay buffer, an exported policy, "
            "or another .npz.",
        ),
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Show what a run folder or file holds; nothing in it is run."""
    import json
    from dataclasses import asdict

    from rich.table import Table

    from sb3_ddpg_custom.cli.inspection.inspect import inspect
    from sb3_ddpg_custom.cli.screen import screen

    found = inspect(path)
    if as_json:
        typer.echo(json.dumps(asdict(found), indent=1, default=str))
        return
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row(found.kind, found.path)
    for name, value in found.facts.items():
        if isinstance(value, dict):
            for place, (key, part) in enumerate(value.items()):
                table.add_row(name if place == 0 else "", f"{key}: {_text(part)}")
        else:
            table.add_row(name, _text(value))
    screen().print(table)


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else str(value)
