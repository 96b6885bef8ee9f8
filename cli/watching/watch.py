"""Runs that other processes are making, on this screen; what ``ddpg watch`` does."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.results.names import in_order, plain, plain_path
from sb3_ddpg_custom.cli.status import STATUS_FILE, Status, read_status
from sb3_ddpg_custom.cli.watching.duration import duration
from sb3_ddpg_custom.cli.watching.panel import bars, figure, panel

_LOOK_SECONDS = 0.5
_SCAN_SECONDS = 5.0  # for runs that are new
_LINE_SECONDS = 30.0
_SILENT_SECONDS = 60.0
_MOST_DEPTH = 6
_LINES_AROUND = 4


def watch(folders: list[Path], console: Console) -> list[Path]:
    """Show runs until none of them is under way any more, or Ctrl-C.

    :param folders: run folders, or folders of them
    :param console: a terminal gets a live screen, anything else a line per run now and then
    :return: folders of those that were killed on this machine
    :raises UsageError: if a folder does not exist, or no run in it says how far it is
    """
    statuses = _look(_runs(folders))
    if not statuses:
        raise UsageError(f"no run in {plain_path(folders[0])} says how far it is; name a run's folder, or a study's")
    if not console.is_terminal:
        return _watch_in_lines(folders, statuses, console)
    with Live(console=console, auto_refresh=False, transient=True) as live:
        scanned = time.monotonic()
        while _is_any_under_way(statuses):
            live.update(screen_of(statuses, width=console.width, height=console.height), refresh=True)
            time.sleep(_LOOK_SECONDS)
            if time.monotonic() - scanned >= _SCAN_SECONDS:
                scanned = time.monotonic()
                statuses = _look(_runs(folders))
            else:
                statuses = _look(list(statuses))
    console.print(screen_of(statuses, width=console.width, height=10_000))
    return _killed(statuses)


def _watch_in_lines(folders: list[Path], statuses: Mapping[Path, Status], console: Console) -> list[Path]:
    while True:
        for folder, status in statuses.items():
            rate = "" if status.steps_per_second is None else f", {status.steps_per_second:,.0f} steps/s"
            evaluated = "" if status.evaluation is None else f", evaluated {figure(status.evaluation)}"
            console.print(
                f"{plain_path(folder)}: {_state(status)}, {status.step:,} of {status.total_steps:,}{rate}{evaluated}",
                soft_wrap=True,
            )
        if not _is_any_under_way(statuses):
            return _killed(statuses)
        time.sleep(_LINE_SECONDS)
        statuses = _look(_runs(folders))


def screen_of(statuses: Mapping[Path, Status], *, width: int, height: int) -> RenderableType:
    """Draw one run in full, several as a table.

    :param statuses: by the runs' folders
    :param width: columns of the terminal
    :param height: lines of the terminal
    """
    if len(statuses) == 1:
        ((folder, status),) = statuses.items()
        return Group(Text(f"{plain_path(folder)}: {_state(status)}", style="bold"), panel(status, width=width))
    table = Table(box=None, pad_edge=False)
    table.add_column("run", no_wrap=True, overflow="ellipsis", ratio=1)
    table.add_column("", no_wrap=True)
    for heading in ("steps", "", "return", "evaluated", "steps/s", "left"):
        table.add_column(heading, justify="right", no_wrap=True)
    table.add_column("", no_wrap=True, max_width=max(width - 100, 0), overflow="crop")
    ranked = sorted(statuses.items(), key=lambda one: not one[1].is_under_way)
    room = max(height - _LINES_AROUND, 3)
    for folder, status in ranked[:room]:
        is_on = status.is_under_way and status.steps_per_second is not None
        table.add_row(
            Text(_name(folder, list(statuses))),
            Text(_state(status), style=_style(status)),
            f"{status.step:,}",
            f"{100 * status.step / max(status.total_steps, 1):.0f} %",
            figure(status.last_return),
            figure(status.evaluation),
            f"{status.steps_per_second:,.0f}" if is_on else "",
            duration(status.seconds_left) if is_on else "",
            Text(bars(status.returns), style="cyan"),
        )
    left = [f"… {len(ranked) - room} more"] if len(ranked) > room else []
    warnings = [
        f"{_name(folder, list(statuses))}: {plain(status.warning)}" for folder, status in ranked if status.warning
    ]
    return Group(
        table, *(Text(line, style="dim") for line in left), *(Text(one, style="magenta") for one in warnings[:3])
    )


def _runs(folders: list[Path]) -> list[Path]:
    found: dict[Path, None] = {}
    for folder in folders:
        if not folder.is_dir():
            raise UsageError(f"{shown(folder)} is no folder; name a run's folder, or one of runs")
        found.update(dict.fromkeys(_below(folder, _MOST_DEPTH)))
    return list(found)


def _below(folder: Path, depth: int) -> Iterator[Path]:
    if (folder / STATUS_FILE).is_file():
        yield folder
    elif depth:
        try:
            inner = [path for path in folder.iterdir() if path.is_dir() and not path.is_symlink()]
        except OSError:
            return
        for path in sorted(inner, key=in_order):
            yield from _below(path, depth - 1)


def _look(runs: list[Path]) -> dict[Path, Status]:
    return {run: status for run in runs if (status := read_status(run)) is not None}


def _is_any_under_way(statuses: Mapping[Path, Status]) -> bool:
    return any(status.is_under_way for status in statuses.values())


def _state(status: Status) -> str:
    silent = time.time() - status.updated
    if status.is_under_way and silent > _SILENT_SECONDS:
        return f"silent for {duration(silent)}"
    return status.now


def _style(status: Status) -> str:
    return {"failed": "red", "killed": "red", "done": "green"}.get(status.now, "")


def _killed(statuses: Mapping[Path, Status]) -> list[Path]:
    return [folder for folder, status in statuses.items() if status.now == "killed"]


def _name(folder: Path, runs: list[Path]) -> str:
    """Name a run by what its folder does not share with the others."""
    parts = [run.parts for run in runs]
    shared = next((place for place, own in enumerate(zip(*parts, strict=False)) if len(set(own)) > 1), 0)
    return plain("/".join(folder.parts[shared:]) or folder.name)
