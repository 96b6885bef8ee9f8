"""``ddpg train``."""

from typing import TYPE_CHECKING, Annotated

import typer

from sb3_ddpg_custom.cli.declared_options import takes
from sb3_ddpg_custom.cli.errors import RunError
from sb3_ddpg_custom.cli.imports import no_garbage_collection
from sb3_ddpg_custom.cli.shared_options import Debug, refuse_without_display
from sb3_ddpg_custom.cli.training.options import TrainRequest

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.training.run import TrainResult


@takes(TrainRequest)
def train_command(
    request: TrainRequest,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train DDPG and keep models, curves, statistics and videos in a run folder."""
    if request.render:
        refuse_without_display()

    with no_garbage_collection():
        from sb3_ddpg_custom.cli.screen import discard_standard_output, screen
        from sb3_ddpg_custom.cli.training.prepare import train

    result = train(request, screen(stderr=True, quiet=quiet))
    try:
        if not quiet:
            _report(result, request)
    except (OSError, ValueError) as error:  # a closed terminal or file, a full disk
        discard_standard_output()
        if result.signal is None:
            raise RunError(
                f"the training is over and the model is in {result.checkpoint}, but this cannot be printed ({error})"
            ) from error
    if result.signal is not None:
        raise typer.Exit(128 + result.signal)


def _report(result: "TrainResult", request: TrainRequest) -> None:
    import math
    import shlex
    import signal

    from rich.table import Table

    from sb3_ddpg_custom.cli.paths import shown
    from sb3_ddpg_custom.cli.screen import screen
    from sb3_ddpg_custom.cli.training.commands_to_paste import evaluating, going_on

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
    for name, path in (("learning curve", result.curve), ("best policy's film", result.film)):
        if path is not None:
            table.add_row(name, str(shown(path)))
    console.print(table)
    # Pasted lines must not be broken by the terminal's width.
    if result.signal is not None:
        console.print(f"stopped early by {signal.Signals(result.signal).name}; the model is saved. To go on from it:")
        console.out(f"  {going_on(request, result)}")
    console.print("next:")
    console.out(f"  {evaluating(result.folder if result.signal is None else result.checkpoint, request.imports)}")
    console.out(f"  {shlex.join(['tensorboard', '--logdir', str(shown(result.folder))])}")
