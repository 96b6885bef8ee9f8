"""What ``ddpg train`` and ``ddpg resume`` say at the end, and the code that they end with."""

import math
import shlex
import signal
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from sb3_ddpg_custom.cli.errors import RunError, one_line
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.screen import discard_standard_output, screen
from sb3_ddpg_custom.cli.training.commands_to_paste import evaluating

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.training.run import TrainResult


def tell(result: "TrainResult", imports: tuple[str, ...], *, quiet: bool) -> None:
    """Report a training on the screen.

    :param result: how it ended
    :param imports: values of ``--import``, for the commands to paste
    :param quiet: say nothing
    :raises RunError: if that cannot be printed
    :raises typer.Exit: where a signal ended it
    """
    try:
        page = _page(result)
        if not quiet:
            _print(result, imports, page)
    except (OSError, ValueError) as error:  # a closed terminal or file, a full disk
        discard_standard_output()
        if result.signal is None:
            raise RunError(
                f"the training is over and the model is in {result.checkpoint}, but this cannot be printed ({error})"
            ) from error
    if result.signal is not None:
        raise typer.Exit(128 + result.signal)


def _page(result: "TrainResult") -> Path | None:
    """Write the page about the run; the training is over and saved, whatever happens here."""
    try:
        from sb3_ddpg_custom.cli.report.page import NAME, write_report

        write_report([str(result.folder)], result.folder / NAME)
        return result.folder / NAME
    except Exception as error:  # any disk, any library
        screen(stderr=True).print(f"no report: {one_line(error)}", soft_wrap=True)
        return None


def _print(result: "TrainResult", imports: tuple[str, ...], page: Path | None) -> None:
    from rich.table import Table

    from sb3_ddpg_custom.cli.training.resume import how_to_go_on

    console = screen()
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("environment", result.env_id)
    table.add_row("seed", str(result.seed))
    table.add_row(
        "steps", f"{result.steps:,} of {result.total_steps:,} in {result.seconds:.1f} s, {result.episodes:,} episodes"
    )
    if not math.isnan(result.last_return):
        table.add_row(
            "return in training",
            f"{result.last_return:.1f} (mean of the last {min(result.episodes, 100)} episodes, with exploration)",
        )
    if math.isfinite(result.best_return):
        table.add_row("best evaluation", f"{result.best_return:.1f}")
    table.add_row("model", str(shown(result.checkpoint)))
    for name, path in (("learning curve", result.curve), ("best policy's film", result.film), ("report", page)):
        if path is not None:
            table.add_row(name, str(shown(path)))
    console.print(table)
    # Pasted lines must not be broken by the terminal's width.
    if result.signal is not None:
        by = f"stopped early by {signal.Signals(result.signal).name}"
        command = how_to_go_on(result.folder)
        if command is None:
            console.print(f"{by}, before there was a state to go on from")
        else:
            console.print(f"{by}; the run is saved. To go on with it:")
            console.out(f"  {command}")
    console.print("next:")
    console.out(f"  {evaluating(result.folder if result.signal is None else result.checkpoint, imports)}")
    console.out(f"  {shlex.join(['tensorboard', '--logdir', str(shown(result.folder))])}")
