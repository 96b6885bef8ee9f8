"""The options of ``ddpg tune``, each declared once."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer

from sb3_ddpg_custom.cli.shared_options import IMPORT, Device, EvalEpisodes, Out, ThreadsOfEach, path_option


@dataclass(frozen=True, kw_only=True)
class TuneRequest:
    """What ``ddpg tune`` was asked for. Each field's help says what it is; None leaves the choice to the search."""

    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An alias (see `ddpg list`) or a registered environment id.")
    ]
    trials: Annotated[int, typer.Option(min=1, max=100_000, help="Settings to try, over all processes.")] = 100
    seeds_per_trial: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each, seeds 0, 1, 2 …")] = 3
    space: Annotated[
        Path | None,
        path_option("--space", help="YAML file of what varies and between what; --print-space shows the default."),
    ] = None
    storage: Annotated[
        str | None,
        typer.Option(
            metavar="URL|FILE",
            help="Optuna's storage, such as sqlite:///tune.db or postgresql://…; default: journal.log in the folder.",
        ),
    ] = None
    confirm_seeds: Annotated[
        int,
        typer.Option(
            min=0, max=1000, help="Runs of the best setting, and of the default, with fresh seeds at the end."
        ),
    ] = 5
    prune: Annotated[
        bool, typer.Option("--prune/--no-prune", help="Stop trials whose evaluations are below the median so far.")
    ] = True
    seed: Annotated[int, typer.Option(min=0, max=2**31, help="Of what Optuna draws.")] = 0
    steps: Annotated[int | None, typer.Option(help="Environment steps of a run; default: the config's.")] = None
    config: Annotated[
        Path | None, path_option("--config", help="YAML file with hyper-parameters that do not vary.")
    ] = None
    overrides: Annotated[
        tuple[str, ...],
        typer.Option(
            "--set",
            metavar="KEY=VALUE",
            help="Change one of all trials, where --space does not vary it, and of the default; repeatable.",
        ),
    ] = ()
    out: Out = Path("runs")
    name: Annotated[str, typer.Option(help="Of the search, and of its folder in --out.")] = "tune"
    device: Device = "auto"
    threads: ThreadsOfEach = None
    eval_episodes: EvalEpisodes = 10
    imports: Annotated[tuple[str, ...], IMPORT] = ()
