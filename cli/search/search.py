"""A search: trials are asked for, made and told, by as many processes as one likes."""

import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn

from sb3_ddpg_custom.cli.experiments.conduct import outcome_of
from sb3_ddpg_custom.cli.experiments.engines.interface import AnyEngine, Ended
from sb3_ddpg_custom.cli.experiments.plan import write_job
from sb3_ddpg_custom.cli.search.options import TuneRequest
from sb3_ddpg_custom.cli.search.space import Space
from sb3_ddpg_custom.cli.search.storage import Claims, sampler
from sb3_ddpg_custom.cli.search.trial_runs import TrialRuns, runs_of
from sb3_ddpg_custom.cli.signals import Signals
from sb3_ddpg_custom.cli.status import clear_status

if TYPE_CHECKING:
    import optuna

_LOOK_SECONDS = 0.5  # reads the storage
_ASK_SECONDS = 0.1
_REPORT_SECONDS = 1.0  # reads files


class Search:
    """Makes trials until there are as many as were asked for, those of processes that have died included.

    :param study: Optuna's
    :param request: what to do, with absolute paths
    :param space: what varies
    :param engine: computes the runs
    :param claims: says which trials are this process's
    :param console: for progress
    :param retry: how often a run that failed is gone on with
    """

    def __init__(
        self,
        study: "optuna.Study",
        request: TuneRequest,
        space: Space,
        engine: AnyEngine,
        claims: Claims,
        console: Console,
        *,
        retry: int,
    ) -> None:
        self._study = study
        self._request = request
        self._space = space
        self._engine = engine
        self._claims = claims
        self._console = console
        self._retry = retry
        self._active: dict[int, TrialRuns] = {}
        self._attempts: dict[Path, int] = {}
        self._reported_at = 0.0

    def run(self, signals: Signals) -> None:
        """Go on until all trials are finished, or a signal came; then all runs are saved.

        :param signals: that may come
        :raises UsageError: if what was suggested is no configuration
        """
        bar = Progress(
            TextColumn("trials"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[best]}"),
            console=self._console,
            expand=True,
            disable=not self._console.is_terminal,
        )
        task = bar.add_task("trials", total=self._request.trials, best="")
        with closing(self._engine), bar:
            while signals.received is None:
                finished = sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))
                bar.update(task, completed=finished, best=self._best())
                if not self._active and finished >= self._request.trials:
                    return
                self._begin_trials()
                self._look(self._wait())
            self._stop()

    def _wait(self) -> list[Ended]:
        """Wait for a run to end, but not for long."""
        until = time.monotonic() + _LOOK_SECONDS
        while True:
            ended = self._engine.ended()
            if ended or time.monotonic() >= until:
                return ended
            time.sleep(_ASK_SECONDS)

    def _begin_trials(self) -> None:
        """Keep the engine busy: with trials that others have left, then with new ones."""
        while sum(len(runs.open) for runs in self._active.values()) < (self._engine.at_once or 1):
            with self._claims.alone("asking"):  # a trial that was just asked for must not look abandoned
                trial = self._left_by_others() or self._new()
            if trial is None:
                return
            try:
                runs = runs_of(trial, self._request, self._space)
            except BaseException:
                self._tell(trial.number, state="FAIL")
                raise
            self._active[trial.number] = runs
            for job in runs.jobs:
                if job.folder in runs.open:
                    write_job(job)
                    clear_status(job.folder)
                    self._attempts[job.folder] = 1
                    self._engine.submit(job)

    def _left_by_others(self) -> "optuna.Trial | None":
        """Take over a trial that a process has begun which is dead."""
        import optuna

        for trial in self._study.get_trials(deepcopy=False, states=(optuna.trial.TrialState.RUNNING,)):
            if trial.number not in self._active and self._claims.claim(_name(trial.number)):
                # It may have been finished, and given back, since the list was made.
                if not self._study.get_trials(deepcopy=False)[trial.number].state.is_finished():
                    return optuna.Trial(self._study, trial._trial_id)
                self._claims.release(_name(trial.number))
        return None

    def _new(self) -> "optuna.Trial | None":
        asked = len(self._study.get_trials(deepcopy=False))
        if asked >= self._request.trials:
            return None
        # Anew for each trial: two processes with one seed would draw the same ones.
        self._study.sampler = sampler(self._request.seed, asked)
        trial = self._study.ask()
        self._claims.claim(_name(trial.number))
        return trial

    def _look(self, ended: Sequence[Ended]) -> None:
        """See what the runs have come to, and which trials are over.

        :param ended: runs that have
        """
        running = {job.folder for job in self._engine.running()}
        by_folder = {job.folder: runs for runs in self._active.values() for job in runs.jobs}
        for end in ended:
            runs = by_folder[end.job.folder]
            outcome = outcome_of(end, self._attempts[end.job.folder], was_stopped=runs.is_pruned)
            if outcome.state == "failed" and end.code != 2 and outcome.attempts <= self._retry:
                self._attempts[end.job.folder] += 1
                self._engine.submit(end.job)
                continue
            runs.open.discard(end.job.folder)
            if outcome.state == "failed":
                runs.failures.append(f"seed {end.job.seed}: {outcome.reason}")
        reports = time.monotonic() - self._reported_at >= _REPORT_SECONDS
        self._reported_at = time.monotonic() if reports else self._reported_at
        for number, runs in [*self._active.items()]:
            if reports or not runs.open:
                runs.report(running)
            if not runs.open:
                self._finish(number, runs)

    def _finish(self, number: int, runs: TrialRuns) -> None:
        if runs.failures:
            runs.trial.set_user_attr("failures", runs.failures)
            self._say(f"trial {number} failed: {'; '.join(runs.failures)}")
            self._tell(number, state="FAIL")
        elif runs.is_pruned:
            self._say(f"trial {number}: stopped, below the median")
            self._tell(number, state="PRUNED")
        else:
            value = runs.value()
            self._tell(number, value)
            params = ", ".join(f"{name} {_short(value)}" for name, value in runs.trial.params.items())
            self._say(f"trial {number}: {value:.1f}{' (best so far)' if self._is_best(number) else ''}  {params}")

    def _tell(self, number: int, value: float | None = None, state: str | None = None) -> None:
        import optuna

        told = None if state is None else optuna.trial.TrialState[state]
        self._study.tell(number, value, state=told, skip_if_finished=True)
        self._active.pop(number, None)
        self._claims.release(_name(number))

    def _stop(self) -> None:
        self._console.print("saving what runs; once more ends it at once")
        self._engine.stop()
        open_runs = sum(len(runs.open) for runs in self._active.values())
        while open_runs:
            open_runs -= len(self._engine.ended())
            time.sleep(_LOOK_SECONDS)
        self._claims.release_all()

    def _say(self, text: str) -> None:
        self._console.print(text, soft_wrap=True)

    def _is_best(self, number: int) -> bool:
        return bool(self._study.best_trial.number == number)

    def _best(self) -> str:
        try:
            return f"best {self._study.best_value:.1f}"
        except ValueError:  # none is complete
            return ""


def _name(number: int) -> str:
    return f"trial-{number}"


def _short(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
