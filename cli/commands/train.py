"""``ddpg train``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from sb3_ddpg_custom.cli.errors import RunError, UsageError
from sb3_ddpg_custom.cli.imports import no_garbage_collection
from sb3_ddpg_custom.cli.options import Debug, Import, path_option, refuse_without_display

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.training.prepare import TrainRequest
    from sb3_ddpg_custom.cli.training.run import TrainResult


def train_command(
    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An alias (see `ddpg list`) or a registered environment id.")
    ],
    steps: Annotated[int | None, typer.Option(help="Environment steps; default: the config's.")] = None,
    seed: Annotated[
        int | None, typer.Option(help="Seed of everything random; default: drawn, shown and recorded.")
    ] = None,
    config: Annotated[
        Path | None, path_option("--config", help="YAML file with hyper-parameters, in rl_zoo3's format.")
    ] = None,
    overrides: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one hyper-parameter; dotted keys, YAML values; repeatable."
        ),
    ] = None,
    out: Annotated[Path, path_option("--out", help="Folder of all runs.")] = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Name of this run's folder; default: the next number.")] = None,
    device: Annotated[str, typer.Option(help="Torch device: auto, cpu, cuda, cuda:1 …")] = "auto",
    threads: Annotated[
        int | None, typer.Option(min=1, help="Torch's threads; default: one for small networks, else torch's choice.")
    ] = None,
    n_envs: Annotated[
        int | None, typer.Option(help="Environments stepped in turn in one process; default: the config's.")
    ] = None,
    eval_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps between evaluations and checkpoints; default: a tenth of the training, more where all "
            "evaluations together would take over ten times its steps.",
        ),
    ] = None,
    eval_episodes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Episodes per evaluation.")] = 10,
    eval_max_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps after which an evaluation's episode is cut; default: the environment's own limit, and where it "
            "has none a twentieth of the training's, from 100 to 10,000.",
        ),
    ] = None,
    video: Annotated[
        str | None,
        typer.Option(
            metavar="none|cubic|N",
            help="Training episodes to film: none, cubic (0, 1, 8, 27 …, 1000, 2000 …) or every N-th. "
            "Default: cubic where the environment can be drawn quickly.",
        ),
    ] = None,
    render: Annotated[
        bool, typer.Option("--render", help="Show the training in a window (one environment only).")
    ] = False,
    start_from: Annotated[
        Path | None,
        path_option(
            "--from", help="Begin with the networks of a run folder or checkpoint; the replay buffer begins empty."
        ),
    ] = None,
    imports: Import = None,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train DDPG and keep models, curves, statistics and videos in a run folder."""
    schedule = _parse_video(video)
    if render:
        refuse_without_display()

    with no_garbage_collection():
        from sb3_ddpg_custom.cli.screen import discard_standard_output, screen
        from sb3_ddpg_custom.cli.training.prepare import TrainRequest, train

    request = TrainRequest(
        env=env,
        steps=steps,
        seed=seed,
        config=config,
        overrides=tuple(overrides or ()),
        out=out,
        name=name,
        device=device,
        threads=threads,
        n_envs=n_envs,
        eval_every=eval_every,
        eval_episodes=eval_episodes,
        eval_max_steps=eval_max_steps,
        video=schedule,
        render=render,
        imports=tuple(imports or ()),
        start_from=start_from,
    )
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


def _parse_video(video: str | None) -> "int | Literal['none', 'cubic'] | None":
    match video:
        case None | "none" | "cubic":
            return video
    if video.isascii() and video.isdecimal() and int(video) >= 1:
        return int(video)
    raise UsageError(f"--video {video} is neither none, cubic nor a whole number of at least 1")


def _report(result: "TrainResult", request: "TrainRequest") -> None:
    import math
    import shlex
    import signal

    from rich.table import Table

    from sb3_ddpg_custom.cli.paths import shown
    from sb3_ddpg_custom.cli.screen import screen
    from sb3_ddpg_custom.cli.training.command_line import evaluating, going_on

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
