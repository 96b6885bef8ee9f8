"""``ddpg evaluate``."""

import contextlib
import json
import math
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sb3_ddpg_custom.cli.imports import no_garbage_collection
from sb3_ddpg_custom.cli.options import Debug, Import, path_option, refuse_without_display

if TYPE_CHECKING:
    from rich.console import Console

    from sb3_ddpg_custom.cli.evaluation.evaluate import EvaluateResult


def evaluate_command(
    checkpoint: Annotated[
        Path,
        path_option(
            "--checkpoint", help="A run folder, or a .zip of this package or of Stable-Baselines3's DDPG or TD3."
        ),
    ],
    episodes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Episodes to play.")] = 100,
    seed: Annotated[int, typer.Option(min=0, help="Chooses the start states; never those of a training.")] = 0,
    env: Annotated[str | None, typer.Option(help="Alias or environment id; default: the checkpoint's own.")] = None,
    video: Annotated[
        Path | None, path_option("--video", metavar="DIR", help="Film all episodes into this folder.")
    ] = None,
    render: Annotated[bool, typer.Option("--render", help="Show the episodes in a window.")] = False,
    normalization: Annotated[
        Path | None,
        path_option(
            "--normalization",
            metavar="FILE|none",
            help="Statistics of VecNormalize for a checkpoint that does not hold them: what VecNormalize.save wrote "
            "(no code in it is run), or a checkpoint of this package that does.",
        ),
    ] = None,
    max_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps after which an episode is cut; default: the environment's own limit, and where it has none "
            "that of the training's evaluations, or 10,000.",
        ),
    ] = None,
    imports: Import = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object and nothing else.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Play a checkpoint without exploration noise and report its returns."""
    if render:
        refuse_without_display()

    with no_garbage_collection():
        from sb3_ddpg_custom.cli.evaluation.evaluate import EvaluateRequest, evaluate
        from sb3_ddpg_custom.cli.screen import screen

    request = EvaluateRequest(
        checkpoint=checkpoint,
        episodes=episodes,
        seed=seed,
        env=env,
        video=video,
        render=render,
        imports=tuple(imports or ()),
        normalization="none" if normalization == Path("none") else normalization,
        max_steps=max_steps,
    )
    console = screen(stderr=True)
    if as_json:
        # Standard output is for the object alone, whatever the environment prints.
        with contextlib.redirect_stdout(sys.stderr):
            result = evaluate(request, console)
        typer.echo(_strict_json(result, console))
        return

    result = evaluate(request, console)
    from rich.table import Table

    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_row("environment", result.env_id)
    table.add_row("checkpoint", result.checkpoint)
    table.add_row("episodes", f"{result.episodes} (evaluation seed {result.seed}, no exploration noise)")
    table.add_row("mean return", f"{result.mean_return:.2f} ± {result.std_return:.2f}")
    if result.ci95 is not None:
        table.add_row("95 % interval", f"{result.ci95[0]:.2f} to {result.ci95[1]:.2f} (bootstrap of the mean)")
    table.add_row("min, max", f"{result.min_return:.2f}, {result.max_return:.2f}")
    table.add_row("mean length", f"{result.mean_length:.1f} steps")
    if result.success_rate is not None:
        table.add_row("success rate", f"{100 * result.success_rate:.1f} %")
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
