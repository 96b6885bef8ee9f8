"""``ddpg study``."""

from sb3_ddpg_custom.cli.commands.many_runs import make_and_tell
from sb3_ddpg_custom.cli.declared_options import command_line, takes
from sb3_ddpg_custom.cli.experiments.options import PoolRequest, StudyRequest
from sb3_ddpg_custom.cli.shared_options import Debug, Quiet


@takes(StudyRequest, PoolRequest)
def study_command(
    request: StudyRequest,
    pool: PoolRequest,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Make all runs of a study; the same command again goes on where it stopped."""
    from sb3_ddpg_custom.cli.experiments.study_file import jobs_of_file

    again = command_line("study", request, pool)
    make_and_tell(jobs_of_file(request), pool, again=again, threads=request.threads, quiet=quiet)
