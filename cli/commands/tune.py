"""``ddpg tune``."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sb3_ddpg_custom.cli.declared_options import command_line, takes
from sb3_ddpg_custom.cli.experiments.options import PoolRequest
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.screen import screen
from sb3_ddpg_custom.cli.search.options import TuneRequest
from sb3_ddpg_custom.cli.shared_options import Debug, Quiet

if TYPE_CHECKING:
    from pathlib import Path

    from sb3_ddpg_custom.cli.search.tune import TuneResult


@takes(TuneRequest, PoolRequest)
def tune_command(
    request: TuneRequest,
    pool: PoolRequest,
    print_space: Annotated[
        bool, typer.Option("--print-space", help="Print the search space as YAML for --space, and do nothing else.")
    ] = False,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Search for better hyper-parameters with Optuna; the same command again, or beside it, goes on with the search."""
    if print_space:
        from sb3_ddpg_custom.cli.search.space import default_space_text

        typer.echo(default_space_text(), nl=False)
        return
    from sb3_ddpg_custom.cli.search.tune import tune

    result = tune(request, pool, screen(stderr=True, quiet=quiet))
    if pool.json:
        typer.echo(json.dumps(_plain(result)))
    elif not quiet:
        _report(result, request, pool)
    if result.signal is not None:
        raise typer.Exit(128 + result.signal)
    if result.confirmed is not None and result.confirmed.exit_code:
        raise typer.Exit(result.confirmed.exit_code)


def _plain(result: "TuneResult") -> dict[str, Any]:
    from sb3_ddpg_custom.cli.commands.many_runs import plain

    return {
        "folder": str(shown(result.folder)),
        "trials": result.trials,
        "best": result.best,
        "value": result.value,
        "params": result.params,
        "config": None if result.config is None else str(shown(result.config)),
        "confirmed": [plain(outcome) for outcome in result.confirmed.outcomes] if result.confirmed else [],
    }


def _compare(runs: "Path") -> None:
    from sb3_ddpg_custom.cli.results.compare import compare_runs
    from sb3_ddpg_custom.cli.results.options import CompareRequest
    from sb3_ddpg_custom.cli.results.tables import print_comparison

    comparison, _ = compare_runs(CompareRequest(runs=(str(runs),), baseline="default"))
    print_comparison(comparison, screen())


def _report(result: "TuneResult", request: TuneRequest, pool: PoolRequest) -> None:
    from sb3_ddpg_custom.cli.training.options import TrainRequest

    console = screen()
    if result.signal is not None:
        console.print("stopped early; the search is saved. To go on with it:")
        console.out(f"  {command_line('tune', request, pool)}")
        return
    counted = ", ".join(f"{number} {state.lower()}" for state, number in result.trials.items())
    console.print(f"trials: {counted}; best: {result.best}, with {result.value:.1f}", soft_wrap=True)
    for name, value in (result.params or {}).items():
        console.out(f"  {name}: {value}")
    console.print(f"its settings: {shown(result.folder / 'best.yml')}", soft_wrap=True)
    for name in ("history.png", "importance.png"):
        if (result.folder / name).exists():
            console.print(f"picture: {shown(result.folder / name)}", soft_wrap=True)
    if result.confirmed is not None:
        console.print("again with fresh seeds, for what wins a search was partly lucky:")
        _compare(result.folder / "confirmed")
    console.print("next:")
    found = TrainRequest(env=request.env, config=result.folder / "best.yml", imports=request.imports)
    console.out(f"  {command_line('train', found)}")
