"""``ddpg plot``."""

from sb3_ddpg_custom.cli.declared_options import takes
from sb3_ddpg_custom.cli.results.options import PlotRequest
from sb3_ddpg_custom.cli.shared_options import Debug


@takes(PlotRequest)
def plot_command(request: PlotRequest, debug: Debug = False) -> None:  # noqa: ARG001
    """Draw learning curves, performance profiles or aggregates of runs, for a paper or the terminal."""
    from sb3_ddpg_custom.cli.results.names import plain_path
    from sb3_ddpg_custom.cli.results.plot import draw_file, draw_text, prepare
    from sb3_ddpg_custom.cli.screen import screen

    drawing = prepare(request)
    notes, console = screen(stderr=True), screen()
    for remark in drawing.remarks:
        notes.print(f"note: {remark}", soft_wrap=True)
    if request.ascii:
        for line in draw_text(drawing, console.width):
            console.print(line, soft_wrap=True)
    if not request.ascii or request.out is not None:
        console.print(plain_path(draw_file(drawing)), soft_wrap=True)
