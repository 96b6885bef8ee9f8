"""How many runs go: a live table in a terminal, plain lines elsewhere."""

import time
from collections.abc import Collection, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from rich.console import Console
from rich.live import Live
from rich.table import Table

from sb3_ddpg_custom.cli.experiments.plan import LOG_FILE, Job
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.status import Status, read_status
from sb3_ddpg_custom.cli.watching.duration import duration

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.experiments.conduct import Outcome

_REFRESH_SECONDS = 0.5
_SILENCE_SECONDS = 30.0
_LINES_AROUND = 6  # of the terminal's height: heading, summary, and what stood there before
_SHOWN_FIRST = ("running", "failed", "stopped", "waiting", "done", "made before", "not begun")


class Board:
    """Shows how many runs go.

    :param console: a terminal gets a table of them all, anything else a line when a run ends and one now and then
    :param jobs: all runs
    """

    def __init__(self, console: Console, jobs: Sequence[Job]) -> None:
        self._console = console
        self._jobs = jobs
        self._outcomes: dict[Path, Outcome] = {}
        self._statuses: dict[Path, Status | None] = {}
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._last_look = self._last_line = time.monotonic()

    def __enter__(self) -> "Board":
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self._live is not None:
            self._live.stop()

    def ended(self, outcome: "Outcome") -> None:
        """Take note of how a run ended.

        :param outcome: the run's
        """
        self._outcomes[outcome.job.folder] = outcome
        status = self._statuses[outcome.job.folder] = read_status(outcome.job.folder)
        if outcome.state == "failed":
            self._say(f"{outcome.job.name} failed: {outcome.reason} ({shown(outcome.job.folder / LOG_FILE)})")
        elif self._live is None and outcome.state != "made before":
            return_ = "" if status is None or status.evaluation is None else f", evaluated {status.evaluation:.1f}"
            self._say(f"{outcome.job.name}: {outcome.state}{return_} ({len(self._outcomes)} of {len(self._jobs)})")

    def trying_again(self, outcome: "Outcome") -> None:
        """Say that a run failed, and is gone on with.

        :param outcome: the run's, so far
        """
        self._say(f"{outcome.job.name} failed and is tried again: {outcome.reason}")

    def stopping(self, running: int) -> None:
        """Say that the command ends as soon as all is saved.

        :param running: runs that have something to save
        """
        self._say(f"saving {running} runs; once more ends them at once")

    def look(self, running: Collection[Job]) -> None:
        """Look at the runs that are being computed, now and then.

        :param running: them
        """
        now = time.monotonic()
        if now - self._last_look < _REFRESH_SECONDS:
            return
        self._last_look = now
        folders = {job.folder for job in running}
        for folder in folders:
            self._statuses[folder] = read_status(folder)
        if self._live is not None:
            self._live.update(self._table(folders), refresh=True)
        elif now - self._last_line >= _SILENCE_SECONDS:
            self._say(self._summary(folders))

    def _say(self, text: str) -> None:
        self._last_line = time.monotonic()
        self._console.print(text, soft_wrap=True)

    def _state(self, job: Job, running: Collection[Path]) -> str:
        if job.folder in self._outcomes:
            return self._outcomes[job.folder].state
        return "running" if job.folder in running else "waiting"

    def _table(self, running: Collection[Path]) -> Table:
        ranked = sorted(self._jobs, key=lambda job: _SHOWN_FIRST.index(self._state(job, running)))
        room = max(self._console.height - _LINES_AROUND, 3)
        table = Table(box=None, pad_edge=False, caption=self._summary(running), caption_justify="left")
        # What all runs share needs no column.
        names = [
            (heading, part)
            for heading, part in (("environment", "env_id"), ("setting", "setting"))
            if len({getattr(job, part) for job in self._jobs}) > 1
        ]
        for heading, _ in names:
            table.add_column(heading, no_wrap=True, overflow="ellipsis", ratio=1)
        table.add_column("seed", no_wrap=True, justify="right")
        for heading in ("", "steps", "", "return", "steps/s", "left"):
            table.add_column(heading, justify="right", no_wrap=True)
        for job in ranked[:room]:
            cells = self._cells(job, self._state(job, running))
            table.add_row(*(getattr(job, part) for _, part in names), str(job.seed), *cells)
        if len(ranked) > room:
            table.add_row(f"… {len(ranked) - room} more")
        return table

    def _cells(self, job: Job, state: str) -> list[str]:
        status = self._statuses.get(job.folder)
        if status is None:
            return [state, "", "", "", "", ""]
        share = f"{100 * status.step / max(job.total_steps, 1):.0f} %"
        figure = status.last_return if state == "running" else status.evaluation
        is_on = state == "running" and status.steps_per_second is not None
        return [
            "starting" if state == "running" and status.state == "starting" else state,
            f"{status.step:,}",
            share,
            "" if figure is None else f"{figure:.1f}",
            f"{status.steps_per_second:,.0f}" if is_on else "",
            duration(status.seconds_left) if is_on else "",
        ]

    def _summary(self, running: Collection[Path]) -> str:
        states = [self._state(job, running) for job in self._jobs]
        parts = [f"{states.count(state)} {state}" for state in dict.fromkeys(_SHOWN_FIRST) if state in states]
        left = self._seconds_left(running)
        rest = f"; about {duration(left)} left" if left is not None else ""
        return f"{len(self._jobs)} runs: {', '.join(parts)}{rest}"

    def _seconds_left(self, running: Collection[Path]) -> float | None:
        """Estimate when all is made, from how fast the runs go that are being computed."""
        rate = sum((status.steps_per_second or 0.0) for folder in running if (status := self._statuses.get(folder)))
        made = {job.folder: status.step for job in self._jobs if (status := self._statuses.get(job.folder))}
        steps = sum(job.total_steps - made.get(job.folder, 0) for job in self._jobs if job.folder not in self._outcomes)
        longest = max(
            (status.seconds_left or 0.0 for folder in running if (status := self._statuses.get(folder))), default=0.0
        )
        return None if rate == 0 else max(steps / rate, longest)
