"""The ``ddpg`` command: its sub-commands, and the one place where errors become sentences.

Nothing heavy is imported here, so that help and completion answer at once; each command imports what it runs.
"""

import io
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Annotated, NoReturn

import typer

from sb3_ddpg_custom import __version__
from sb3_ddpg_custom.cli.commands.bench import bench_command
from sb3_ddpg_custom.cli.commands.compare import compare_command
from sb3_ddpg_custom.cli.commands.doctor import doctor_command
from sb3_ddpg_custom.cli.commands.evaluate import evaluate_command
from sb3_ddpg_custom.cli.commands.export import export_command
from sb3_ddpg_custom.cli.commands.film import film_command
from sb3_ddpg_custom.cli.commands.hub import pull_command, push_command
from sb3_ddpg_custom.cli.commands.inspect_file import inspect_command
from sb3_ddpg_custom.cli.commands.list_aliases import list_command
from sb3_ddpg_custom.cli.commands.plot import plot_command
from sb3_ddpg_custom.cli.commands.report import report_command
from sb3_ddpg_custom.cli.commands.resume import resume_command
from sb3_ddpg_custom.cli.commands.show_config import config_command
from sb3_ddpg_custom.cli.commands.study import study_command
from sb3_ddpg_custom.cli.commands.train import train_command
from sb3_ddpg_custom.cli.commands.tune import tune_command
from sb3_ddpg_custom.cli.commands.watch import watch_command
from sb3_ddpg_custom.cli.endings import ended
from sb3_ddpg_custom.cli.shared_options import DEBUG_VARIABLE

app = typer.Typer(
    name="ddpg",
    help="Train and evaluate DDPG agents on Gymnasium environments.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
app.command("train")(train_command)
app.command("study")(study_command)
app.command("tune")(tune_command)
app.command("resume")(resume_command)
app.command("evaluate")(evaluate_command)
app.command("compare")(compare_command)
app.command("plot")(plot_command)
app.command("export")(export_command)
app.command("film")(film_command)
app.command("watch")(watch_command)
app.command("report")(report_command)
app.command("doctor")(doctor_command)
app.command("push")(push_command)
app.command("pull")(pull_command)
app.command("inspect")(inspect_command)
app.command("list")(list_command)
app.command("config")(config_command)
app.command("bench")(bench_command)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ddpg {__version__}")
        raise typer.Exit


@app.callback()
def common(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    """Train and evaluate DDPG agents on Gymnasium environments."""


def main() -> NoReturn:
    """Run the command line.

    It exits with 2 for a request that cannot be met, with 1 for a failure on the way, and with 128 and the signal's
    number where a signal ended it.
    """
    _print_what_the_terminal_lacks()
    with _warnings_in_a_line():
        ending = ended(app)
    if ending.error is not None:
        if os.environ.get(DEBUG_VARIABLE):
            raise ending.error
        with suppress(OSError):  # the terminal may be gone
            typer.echo(f"ddpg: {ending.sentence}", err=True)
    sys.exit(ending.code)


def _print_what_the_terminal_lacks() -> None:
    """Let a question mark stand for what cannot be shown, such as ± where all is ASCII: no result is lost."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


@contextmanager
def _warnings_in_a_line() -> Iterator[None]:
    """Show warnings without the line of code that gave them, which is rarely the user's."""
    before = warnings.formatwarning
    warnings.formatwarning = lambda message, category, *_, **__: f"{category.__name__}: {message}\n"
    try:
        yield
    finally:
        warnings.formatwarning = before
