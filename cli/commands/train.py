"""``ddpg train``."""

from sb3_ddpg_custom.cli.child_processes import start_server
from sb3_ddpg_custom.cli.commands.end_of_training import tell
from sb3_ddpg_custom.cli.commands.many_runs import make_and_tell
from sb3_ddpg_custom.cli.declared_options import command_line, takes
from sb3_ddpg_custom.cli.environments.processes import PRELOADED
from sb3_ddpg_custom.cli.experiments.options import PoolRequest, SeedsRequest, asks_for_many
from sb3_ddpg_custom.cli.imports import no_garbage_collection
from sb3_ddpg_custom.cli.shared_options import Debug, Quiet, refuse_without_display
from sb3_ddpg_custom.cli.training.options import TrainRequest


@takes(TrainRequest, SeedsRequest, PoolRequest)
def train_command(
    request: TrainRequest,
    many: SeedsRequest,
    pool: PoolRequest,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Train DDPG and keep models, curves, statistics and videos in a run folder; with --seeds, many runs at once."""
    if asks_for_many(request, many, pool):
        from sb3_ddpg_custom.cli.experiments.from_train import jobs_of, told_apart

        again = command_line("train", *told_apart(request, many), pool)
        make_and_tell(jobs_of(request, many), pool, again=again, threads=request.threads, quiet=quiet)
        return
    if request.render:
        refuse_without_display()
    if request.vec_env == "subproc":
        start_server(PRELOADED)

    with no_garbage_collection():
        from sb3_ddpg_custom.cli.screen import screen
        from sb3_ddpg_custom.cli.training.prepare import train

    tell(train(request, screen(stderr=True, quiet=quiet)), request.imports, quiet=quiet)
