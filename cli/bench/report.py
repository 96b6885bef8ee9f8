"""What `ddpg bench` shows: how far it is, and the table at the end."""

from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from sb3_ddpg_custom.cli.bench.figures import Figures, Spread
from sb3_ddpg_custom.cli.bench.measure import BenchResult

_MIB = 2**20
_DASH = "–"  # noqa: RUF001 (between numbers, and for what does not apply)


class BenchProgress:
    """A bar in a terminal, a plain line per case elsewhere.

    :param console: where to
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TimeRemainingColumn(compact=True),
            console=console,
            expand=True,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._bar.add_task("", total=None)
        self._case = ""

    def __enter__(self) -> "BenchProgress":
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def __call__(self, case: str, contender: str, done: int, total: int) -> None:
        """Show what is going on.

        :param case: its name
        :param contender: whose turn it is
        :param done: turns
        :param total: turns
        """
        if case != self._case and not self._console.is_terminal:
            self._console.print(f"measuring {case}")
        self._case = case
        self._bar.update(self._task, description=f"{case} {contender:<15}", completed=done, total=total)


def print_table(result: BenchResult, console: Console) -> None:
    """Print one row per case and contender, and what the figures mean.

    :param result: of :func:`sb3_ddpg_custom.cli.bench.measure.measure`
    :param console: where to
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("case", no_wrap=True)
    table.add_column("contender", min_width=9)
    for title in (
        "env\nsteps/s",
        "times SB3\n(range)",
        "ms per\nupdate",
        "of the\nfloor",
        "RSS,\nMiB",
        "bytes per\ntransition",
    ):
        table.add_column(title, justify="right", no_wrap=True)
    for case in result.cases:
        for row, one in enumerate(case.contenders):
            last = row == len(case.contenders) - 1
            table.add_row("" if row else case.name, *_cells(one), end_section=last)
            if last and case is not result.cases[-1]:
                table.add_row()
    console.print(table)
    console.print()
    for case in result.cases:
        console.print(f"{case.name}: {case.description}", markup=False)
    console.print(
        f"Medians of {_counted(result.rounds, 'round')}; one update per env step. Ratios compare figures "
        "of the same round. The floor is the time of an update's matrix products and nothing else, each "
        "through the fastest library there is for it here.",
        markup=False,
    )
    machine = result.machine
    packages = ("torch", "numba", "stable-baselines3", "sb3-ddpg-custom")
    versions = ", ".join(f"{name} {machine[name]}" for name in packages if name in machine)
    console.print(
        f"{machine['processor']}, {_counted(machine['cpus'], 'CPU')}, {_counted(result.threads, 'thread')} each; "
        f"{versions}",
        markup=False,
    )


def _cells(one: Figures) -> list[str]:
    return [
        one.name,
        _DASH if one.steps_per_second is None else f"{one.steps_per_second:,.0f}",
        _ratio(one.times_baseline),
        _DASH if one.update_ms is None else f"{one.update_ms:.3f}",
        _DASH if one.floor_fraction is None else f"{100 * one.floor_fraction:.0f} %",
        _DASH if one.rss_bytes is None else f"{one.rss_bytes / _MIB:,.0f}",
        _DASH if one.bytes_per_transition is None else f"{one.bytes_per_transition:,.0f}",
    ]


def _ratio(times: Spread | None) -> str:
    if times is None:
        return _DASH
    median, low, high = (f"{value:.1f}" if value >= 10 else f"{value:.2f}" for value in vars(times).values())
    return f"{median} ({low}{_DASH}{high})"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
