"""``ddpg train``."""

from typing import Annotated

import typer

from sb3_ddpg_custom.cli.commands.end_of_training import tell
from sb3_ddpg_custom.cli.declared_options import takes
from sb3_ddpg_custom.cli.environments.processes.server import start_server
from sb3_ddpg_custom.cli.imports import no_garbage_collection
from sb3_ddpg_custom.cli.shared_options import Debug, refuse_without_display
from sb3_ddpg_custom.cli.training.options import TrainRequest


@takes(TrainRequest)
def train_command(
    request: TrainRequest,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train DDPG and keep models, curves, statistics and videos in a run folder."""
    if request.render:
        refuse_without_display()
    if request.vec_env == "subproc":
        start_server()

    with no_garbage_collection():
        from sb3_ddpg_custom.cli.screen import screen
        from sb3_ddpg_custom.cli.training.prepare import train

    tell(train(request, screen(stderr=True, quiet=quiet)), request.imports, quiet=quiet)
