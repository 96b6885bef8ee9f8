"""Drawing runs from their files; what ``ddpg plot`` does, for Python too."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.analysis.runs import Run
from sb3_ddpg_custom.analysis.sentences import counted, remarks
from sb3_ddpg_custom.cli.errors import RunError, UsageError, one_line
from sb3_ddpg_custom.cli.results.columns import along, with_column
from sb3_ddpg_custom.cli.results.load import load_runs
from sb3_ddpg_custom.cli.results.names import plain, plain_path
from sb3_ddpg_custom.cli.results.options import PlotRequest
from sb3_ddpg_custom.cli.results.text_plot import draw_curves


@dataclass(frozen=True, kw_only=True)
class Drawing:
    """What is to be drawn.

    :param request: what was asked for
    :param runs: with the column and axis that were asked for
    :param x_label: of their steps
    :param y_label: of their returns
    :param remarks: what has to be known beside the picture, a sentence each
    """

    request: PlotRequest
    runs: tuple[Run, ...]
    x_label: str
    y_label: str
    remarks: tuple[str, ...]


def prepare(request: PlotRequest) -> Drawing:
    """Read what is to be drawn.

    :param request: what was asked for
    :raises UsageError: if there are no runs, or none has what was asked for
    """
    of_curves = {"--x": request.x != "steps", "--y": request.y != "return", "--ascii": request.ascii}
    flag = next((flag for flag, is_given in of_curves.items() if is_given), None)
    if flag is not None and request.kind != "curves":
        raise UsageError(f"{flag} is for curves, and --kind is {request.kind}; leave one of them out")
    loaded = load_runs(request.runs)
    runs, y_label = with_column(loaded, request.y)
    if request.until is not None:
        runs = [run.until(request.until) for run in runs]
    said = [*loaded.remarks, *remarks(runs, of_finals=request.kind != "curves")]
    runs, x_label = along(runs, request.x)
    if not any(math.isfinite(mean) for run in runs for mean in run.means):
        raise UsageError(f"nothing to draw in {counted(len(runs), 'run')}: {'; '.join(said[:3]) or 'all are empty'}")
    if request.kind != "curves" and not any(math.isfinite(run.final()) for run in runs):
        raise UsageError(f"no final score in {counted(len(runs), 'run')}: {'; '.join(said[:3])}")
    return Drawing(request=request, runs=tuple(runs), x_label=x_label, y_label=y_label, remarks=tuple(said))


def draw_file(drawing: Drawing) -> Path:
    """Write the picture.

    :param drawing: of :func:`prepare`
    :return: its file
    :raises UsageError: if the runs have no scores to draw
    :raises RunError: if the file cannot be written
    """
    from sb3_ddpg_custom.analysis.plot_style import save_figure
    from sb3_ddpg_custom.analysis.plots import plot_curves, plot_intervals, plot_profile

    request = drawing.request
    path = request.out or Path(f"{request.kind}.png")
    options: dict[str, Any] = {"title": request.title and plain(request.title), "size": request.size}
    try:
        if request.kind == "curves":
            labels: dict[str, Any] = {"x_label": drawing.x_label, "y_label": drawing.y_label, "middle": request.middle}
            labels["marks_ends"] = request.x == "steps"
            figure = plot_curves(drawing.runs, **labels, **options)
        else:
            figure = {"profile": plot_profile, "intervals": plot_intervals}[request.kind](drawing.runs, **options)
    except ValueError as error:
        raise UsageError(f"--kind {request.kind}: {one_line(error)}") from error
    try:
        save_figure(figure, path, dpi=request.dpi)
    except OSError as error:
        raise RunError(f"--out {plain_path(path)} cannot be written: {one_line(error.strerror or error)}") from error
    return path


def draw_text(drawing: Drawing, width: int) -> Iterator[str]:
    """Draw curves into a terminal.

    :param drawing: of :func:`prepare`
    :param width: of the terminal, columns
    :return: lines
    """
    labels = {"x_label": drawing.x_label, "y_label": f"{drawing.y_label} ({drawing.request.middle})"}
    return draw_curves(drawing.runs, middle=drawing.request.middle, width=width, **labels)
