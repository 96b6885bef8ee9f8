"""The runs of one trial: which there are, what their evaluations say, and how the trial ends."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.analysis.statistics import iqm
from sb3_ddpg_custom.cli.experiments.plan import Job, Setting, plan_jobs
from sb3_ddpg_custom.cli.run_folder import is_done
from sb3_ddpg_custom.cli.search.options import TuneRequest
from sb3_ddpg_custom.cli.search.space import Space
from sb3_ddpg_custom.cli.status import ask_to_stop
from sb3_ddpg_custom.cli.training.options import TrainRequest
from sb3_ddpg_custom.wrappers.statistics_file import read_npz

if TYPE_CHECKING:
    from optuna.trial import Trial

#: evaluations at a run's end whose mean is its score: the best one of a run would reward luck
LAST_EVALUATIONS = 3


@dataclass
class TrialRuns:
    """A trial under way.

    :param trial: Optuna's
    :param jobs: its runs, one for each seed
    :param open: folders of those that have not ended
    :param failures: why runs failed
    :param is_pruned: its runs were asked to stop
    :param reported: evaluations that Optuna knows, of whichever process
    """

    trial: "Trial"
    jobs: Sequence[Job]
    open: set[Path] = field(default_factory=set)
    failures: list[str] = field(default_factory=list)
    is_pruned: bool = False
    reported: int = 0

    def report(self, begun: set[Path]) -> None:
        """Tell Optuna of the evaluations that all runs that have begun have made, and prune where it says so.

        :param begun: folders of all runs that have
        """
        if self.is_pruned or self.failures:
            return
        curves = [evaluations(job.folder) for job in self.jobs if job.folder in begun or job.folder not in self.open]
        for place in range(self.reported, min(map(len, curves), default=0)):
            self.trial.report(float(iqm([curve[place] for curve in curves])), place)
            self.reported = place + 1
            if self.open and self.trial.should_prune():
                self.is_pruned = True
                for folder in self.open:
                    ask_to_stop(folder)
                return

    def value(self) -> float:
        """Give the interquartile mean over the seeds of what each came to in its last evaluations."""
        return float(iqm([evaluations(job.folder)[-LAST_EVALUATIONS:].mean() for job in self.jobs]))


def runs_of(trial: "Trial", request: TuneRequest, space: Space) -> TrialRuns:
    """Ask Optuna for a trial's hyper-parameters, those of a trial that somebody began included, and plan its runs.

    :param trial: Optuna's
    :param request: of the search, with absolute paths
    :param space: what varies
    :raises UsageError: if what was suggested is no configuration
    """
    suggested = tuple(f"{name}={json.dumps(part.suggest(name, trial))}" for name, part in space.items())
    setting = Setting(name=f"trial-{trial.number}", config=request.config, overrides=(*request.overrides, *suggested))
    jobs = plan_jobs(template_of(request), [request.env], [setting], range(request.seeds_per_trial))
    missing = {job.folder for job in jobs if not is_done(job.folder, job.total_steps)}
    known = trial.study.get_trials(deepcopy=False)[trial.number].intermediate_values
    return TrialRuns(trial, jobs, missing, reported=len(known))


def overrides_of(trial: Any, space: Space) -> tuple[str, ...]:
    """Give the hyper-parameters of a finished trial as ``--set`` takes them.

    :param trial: Optuna's, frozen
    :param space: what varied
    """
    from optuna.trial import FixedTrial

    fixed: Any = FixedTrial(trial.params)
    return tuple(f"{name}={json.dumps(part.suggest(name, fixed))}" for name, part in space.items())


def template_of(request: TuneRequest) -> TrainRequest:
    """Give the options that all runs of a search share.

    :param request: of the search
    """
    return TrainRequest(
        env=request.env,
        steps=request.steps,
        out=request.out / request.name,
        device=request.device,
        threads=request.threads,
        eval_episodes=request.eval_episodes,
        video="none",
        imports=request.imports,
    )


def evaluations(run: Path) -> NDArray[np.float64]:
    """Read the mean returns of a run's evaluations, as far as there are any.

    :param run: its folder
    :return: (evaluations,)
    """
    try:
        values, _ = read_npz(run / "evaluations.npz")
    except FileNotFoundError:
        return np.empty(0)
    means: NDArray[np.float64] = np.asarray(values["results"], np.float64).mean(axis=1)
    return means
