"""``ddpg report``."""

from pathlib import Path
from typing import Annotated

import typer

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.results.options import RUNS_ARGUMENT
from sb3_ddpg_custom.cli.shared_options import Debug, read_path


def report_command(
    runs: Annotated[list[str], RUNS_ARGUMENT],
    out: Annotated[
        Path | None,
        typer.Option(help="The HTML file; default: report.html, in the run's folder for one run.", show_default=False),
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Write a page about runs: curves, films, settings, scores, and what is wrong, in one file for any browser."""
    from sb3_ddpg_custom.cli.report.page import NAME, write_report
    from sb3_ddpg_custom.cli.results.layout import own_config
    from sb3_ddpg_custom.cli.results.names import plain_path
    from sb3_ddpg_custom.cli.screen import screen

    if out is None:
        alone = Path(runs[0])
        out = alone / NAME if len(runs) == 1 and alone.is_dir() and own_config(alone) is not None else Path(NAME)
    out = read_path("--out", out)
    if out.is_dir():
        raise UsageError(f"--out {out.name!r} is a folder; name a file in it")
    for remark in write_report(runs, out):
        screen(stderr=True).print(f"note: {remark}", soft_wrap=True)
    screen().print(plain_path(out), soft_wrap=True)
