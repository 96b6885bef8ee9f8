"""What ``ddpg train --seeds`` and ``ddpg study`` do with their runs, and say of them at the end."""

import json
import shlex
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import typer

from sb3_ddpg_custom.cli.experiments.options import PoolRequest
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.screen import screen

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.experiments.conduct import Conducted, Outcome
    from sb3_ddpg_custom.cli.experiments.plan import Job

# That a command to paste names one by one.
_MOST_FOLDERS = 6


def make_and_tell(jobs: "Sequence[Job]", pool: PoolRequest, *, again: str, threads: int | None, quiet: bool) -> None:
    """Make runs, and say how they ended.

    :param jobs: the runs
    :param pool: where they are computed
    :param again: the command that goes on with them
    :param threads: of each run, as the user asked
    :param quiet: say nothing but errors
    :raises typer.Exit: where a run failed, or a signal ended all
    """
    from sb3_ddpg_custom.cli.experiments.board import Board
    from sb3_ddpg_custom.cli.experiments.conduct import conduct
    from sb3_ddpg_custom.cli.experiments.engines.choice import engine_for

    notes = screen(stderr=True, quiet=quiet)
    out = jobs[0].folder.parents[2]
    engine = engine_for(pool, len(jobs), threads, out)
    at_once = "" if engine.at_once is None else f", {engine.at_once} at once"
    notes.print(f"{len(jobs)} runs{at_once}, in {shown(out)}", soft_wrap=True)
    made = conduct(jobs, engine, Board(notes, jobs), retry=pool.retry)
    if pool.json:
        typer.echo(json.dumps({"runs": [plain(outcome) for outcome in made.outcomes]}))
    elif not quiet:
        _report(made, again)
    if made.exit_code:
        raise typer.Exit(made.exit_code)


def plain(outcome: "Outcome") -> dict[str, Any]:
    """Give a run's outcome as JSON has it.

    :param outcome: the run's
    """
    from sb3_ddpg_custom.cli.status import read_status

    status = read_status(outcome.job.folder)
    return {
        "env": outcome.job.env_id,
        "setting": outcome.job.setting,
        "seed": outcome.job.seed,
        "folder": str(shown(outcome.job.folder)),
        "state": outcome.state,
        "reason": outcome.reason,
        "attempts": outcome.attempts,
        "steps": None if status is None else status.step,
        "total_steps": outcome.job.total_steps,
        "last_evaluation": None if status is None else status.evaluation,
    }


def _report(made: "Conducted", again: str) -> None:
    """Print a line for each environment and setting, what failed, and what to do next."""
    import statistics

    from rich.table import Table

    console = screen()
    table = Table(box=None, pad_edge=False)
    for heading in ("environment", "setting"):
        table.add_column(heading, overflow="fold")
    for heading in ("runs", "made", "last evaluations, mean", "least", "most"):
        table.add_column(heading, justify="right")
    runs = [plain(outcome) for outcome in made.outcomes]
    for env, setting in dict.fromkeys((run["env"], run["setting"]) for run in runs):
        group = [run for run in runs if (run["env"], run["setting"]) == (env, setting)]
        done = [run for run in group if run["state"] in ("done", "made before")]
        values = [run["last_evaluation"] for run in done if run["last_evaluation"] is not None]
        figures = [f"{value:.1f}" for value in (statistics.fmean(values), min(values), max(values))] if values else []
        table.add_row(env, setting, str(len(group)), str(len(done)), *(figures or ["", "", ""]))
    console.print(table)
    for run in runs:
        if run["state"] == "failed":
            console.print(f"failed: {run['env']} {run['setting']} seed {run['seed']}: {run['reason']}", soft_wrap=True)
            console.out(f"  {run['folder']}/log.txt")
    if any(run["state"] in ("done", "made before") for run in runs):
        folders = list(dict.fromkeys(outcome.job.folder.parent for outcome in made.outcomes))
        if len(folders) > _MOST_FOLDERS:
            folders = [folders[0].parents[1]]
        console.print("next:")
        for word in ("compare", "plot"):
            console.out(f"  {shlex.join(['ddpg', word, *(str(shown(folder)) for folder in folders)])}")
    if any(run["state"] not in ("done", "made before") for run in runs):
        console.print("to go on where this stopped:")
        console.out(f"  {again}")
