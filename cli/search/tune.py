"""Search, and measure again what was found, as a plain function: ``ddpg tune`` without the command line."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.cli.config.resolve import resolve, to_yaml
from sb3_ddpg_custom.cli.environments.registry import import_modules, registered_ids
from sb3_ddpg_custom.cli.errors import RunError, UsageError
from sb3_ddpg_custom.cli.experiments.board import Board
from sb3_ddpg_custom.cli.experiments.conduct import Conducted, conduct
from sb3_ddpg_custom.cli.experiments.engines.choice import engine_for
from sb3_ddpg_custom.cli.experiments.options import PoolRequest
from sb3_ddpg_custom.cli.experiments.plan import Setting, plan_jobs
from sb3_ddpg_custom.cli.paths import shown, tied_to_start
from sb3_ddpg_custom.cli.run_folder import check_folder_name
from sb3_ddpg_custom.cli.search.options import TuneRequest
from sb3_ddpg_custom.cli.search.same_search import check_same_search
from sb3_ddpg_custom.cli.search.search import Search
from sb3_ddpg_custom.cli.search.space import Space, read_space
from sb3_ddpg_custom.cli.search.storage import Claims, open_study
from sb3_ddpg_custom.cli.search.trial_runs import overrides_of, template_of
from sb3_ddpg_custom.cli.signals import Signals

if TYPE_CHECKING:
    import optuna

# The seeds of the trials are 0, 1, 2 …: what was best with those is measured with others.
_FIRST_FRESH_SEED = 1000
_SCORE = "score (mean of middle half over seeds)"


@dataclass(frozen=True, kw_only=True)
class TuneResult:
    """How a search ended.

    :param folder: of the search
    :param trials: how many ended in each state
    :param best: number of the best trial; None where a signal came first
    :param value: what it came to
    :param params: its hyper-parameters
    :param config: file with them
    :param confirmed: how the runs with fresh seeds ended; None without any
    :param signal: number of the signal that ended the search early, None if none did
    """

    folder: Path
    trials: dict[str, int]
    best: int | None = None
    value: float | None = None
    params: dict[str, Any] | None = None
    config: Path | None = None
    confirmed: Conducted | None = None
    signal: int | None = None


def tune(request: TuneRequest, pool: PoolRequest, console: Console) -> TuneResult:
    """Make the trials that are missing, write the best setting, and measure it beside the default with fresh seeds.

    :param request: what to do
    :param pool: where the runs are computed
    :param console: for progress and notes
    :raises UsageError: if it cannot be done as asked
    :raises RunError: if every trial failed
    """
    request = tied_to_start(request)
    check_folder_name(request.name, "--name")
    import_modules(request.imports)
    space = read_space(request.space)
    base = _resolved(request, request.overrides)
    _check_space(request, space)
    folder = request.out / request.name
    folder.mkdir(parents=True, exist_ok=True)
    engine = engine_for(pool, None, request.threads, folder)
    if engine.at_once is None:
        raise UsageError(f"ddpg tune --on {pool.on} needs to know how many runs to make at once; add --jobs N")
    study = open_study(request.storage, folder, name=request.name, prune=request.prune)
    signals, claims = Signals(), Claims(folder)
    with claims.alone("beginning"):
        check_same_search(study, request, base, space)
    at_once = f"{engine.at_once} run{'s' * (engine.at_once > 1)} at once"
    console.print(f"{request.env}: {request.trials} trials, {at_once}, in {shown(folder)}")
    with signals.caught():
        Search(study, request, space, engine, claims, console, retry=pool.retry).run(signals)
    counts = _counts(study)
    if signals.received is not None:
        return TuneResult(folder=folder, trials=counts, signal=int(signals.received))
    if "COMPLETE" not in counts:
        raise RunError(f"none of the {request.trials} trials was made to its end; see the reasons above")
    best = study.best_trial
    overrides = overrides_of(best, space)
    with claims.alone("confirming"):
        config = _write_best(request, overrides, folder)
        confirmed = _confirm(request, overrides, pool, console) if request.confirm_seeds else None
        draw(study, folder)
    return TuneResult(
        folder=folder,
        trials=counts,
        best=best.number,
        value=best.value,
        params=best.params,
        config=config,
        confirmed=confirmed,
        signal=None if confirmed is None else confirmed.signal,
    )


def _check_space(request: TuneRequest, space: Space) -> None:
    """Refuse a value that fits neither the other settings as they are nor with the space's others, before any trial."""
    source = "default_space.yml" if request.space is None else shown(request.space)
    firsts, lasts = (
        {name: _override(name, part.examples()[place]) for name, part in space.items()} for place in (0, -1)
    )
    for name, part in space.items():
        for value in part.examples():
            own, errors = _override(name, value), []
            for others in ({}, firsts, lasts):
                try:
                    _resolved(request, (*request.overrides, *({**others, name: own}.values())))
                    break
                except UsageError as error:
                    errors.append(error)
            else:
                raise UsageError(f"`{source}`: {str(errors[0]).removeprefix('--set ')}") from errors[0]


def _override(name: str, value: Any) -> str:
    return f"{name}={json.dumps(value, default=str)}"


def _resolved(request: TuneRequest, overrides: tuple[str, ...]) -> Any:
    return resolve(
        request.env,
        config=request.config,
        overrides=overrides,
        steps=request.steps,
        n_envs=None,
        registered_ids=registered_ids(),
    )


def _counts(study: "optuna.Study") -> dict[str, int]:
    states = [trial.state.name for trial in study.get_trials(deepcopy=False)]
    return {state: states.count(state) for state in sorted(set(states))}


def _write_best(request: TuneRequest, overrides: tuple[str, ...], folder: Path) -> Path:
    path = folder / "best.yml"
    with replacing(path) as file:
        file.write(to_yaml(_resolved(request, (*request.overrides, *overrides))).encode())
    return path


def _confirm(request: TuneRequest, overrides: tuple[str, ...], pool: PoolRequest, console: Console) -> Conducted:
    """Measure the best setting again, beside the default: the winner of a search is partly lucky."""
    settings = [
        Setting(name="default", config=request.config, overrides=request.overrides),
        Setting(name="best", config=request.config, overrides=(*request.overrides, *overrides)),
    ]
    seeds = range(_FIRST_FRESH_SEED, _FIRST_FRESH_SEED + request.confirm_seeds)
    template = replace(template_of(request), out=request.out / request.name / "confirmed")
    jobs = plan_jobs(template, [request.env], settings, seeds)
    fresh = f"{request.confirm_seeds} fresh seed{'s' * (request.confirm_seeds > 1)}"
    console.print(f"the best setting and the default again, with {fresh} each")
    engine = engine_for(pool, len(jobs), request.threads, template.out)
    return conduct(jobs, engine, Board(console, jobs), retry=pool.retry)


def draw(study: "optuna.Study", folder: Path) -> list[Path]:
    """Draw Optuna's own pictures of a search, as far as its trials suffice.

    :param study: Optuna's
    :param folder: that they go to
    :return: the pictures
    """
    import warnings

    import matplotlib as mpl

    mpl.use("Agg")
    import optuna.visualization.matplotlib as pictures
    from optuna.importance import PedAnovaImportanceEvaluator

    drawn = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Optuna calls all of this experimental
        for name in ("history", "importance"):
            axes: Any
            try:
                if name == "history":
                    axes = pictures.plot_optimization_history(study, target_name=_SCORE)
                    axes.set_title(f"{study.study_name}: trials, and the best so far")
                else:
                    axes = pictures.plot_param_importances(study, evaluator=PedAnovaImportanceEvaluator())
                    axes.set_title(f"{study.study_name}: what the score depends on")
            except (ValueError, RuntimeError):  # too few trials, or all alike
                continue
            path = folder / f"{name}.png"
            with replacing(path) as file:
                axes.figure.savefig(file, format="png", dpi=120, bbox_inches="tight")
            drawn.append(path)
    return drawn
