"""``ddpg evaluate``."""

import contextlib
import json
import math
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sb3_ddpg_custom.cli.declared_options import takes
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
from sb3_ddpg_custom.cli.films.options import is_film
from sb3_ddpg_custom.cli.imports import no_garbage_collection
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.shared_options import Debug, refuse_without_display

if TYPE_CHECKING:
    from rich.console import Console

    from sb3_ddpg_custom.cli.evaluation.evaluate import EvaluateResult


@takes(EvaluateRequest)
def evaluate_command(
    request: EvaluateRequest,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Play a checkpoint without exploration noise and report its returns."""
    if request.render:
        refuse_without_display()

    with no_garbage_collection():
        from sb3_ddpg_custom.cli.evaluation.evaluate import evaluate
        from sb3_ddpg_custom.cli.films.in_one import evaluate_in_one_film
        from sb3_ddpg_custom.cli.screen import screen

    console = screen(stderr=True)
    film = request.video if request.video is not None and is_film(request.video) else None

    def play() -> "EvaluateResult":
        return evaluate(request, console) if film is None else evaluate_in_one_film(request, film, console)

    if as_json:
        # Standard output is for the object alone, whatever the environment prints.
        with contextlib.redirect_stdout(sys.stderr):
            result = play()
        typer.echo(_strict_json(result, console))
        return

    result = play()
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("environment", result.env_id)
    table.add_row("checkpoint" if request.policy is None else "policy", result.checkpoint)
    table.add_row("episodes", f"{result.episodes} (evaluation seed {result.seed}, no exploration noise)")
    table.add_row("mean return", f"{result.mean_return:.2f} ± {result.std_return:.2f}")
    if result.ci95 is not None:
        table.add_row("95 % interval", f"{result.ci95[0]:.2f} to {result.ci95[1]:.2f} (bootstrap of the mean)")
    table.add_row("min, max", f"{result.min_return:.2f}, {result.max_return:.2f}")
    table.add_row("mean length", f"{result.mean_length:.1f} steps")
    if result.success_rate is not None:
        table.add_row("success rate", f"{100 * result.success_rate:.1f} %")
    if request.video is not None:
        table.add_row("film" if film is not None else "films", str(shown(request.video)))
    screen().print(table)


def _strict_json(result: "EvaluateResult", console: "Console") -> str:
    """Write JSON, which knows neither infinity nor NaN: null in their place, and a sentence."""
    figures = asdict(result)
    lost = [name for name, value in figures.items() if _finite(value) != value]
    if lost:
        console.print(f"{', '.join(lost)}: the returns overflow, so what is not finite is null", soft_wrap=True)
    return json.dumps({name: _finite(value) for name, value in figures.items()}, allow_nan=False)


def _finite(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_finite, value))
    return None if isinstance(value, float) and not math.isfinite(value) else value
