"""``ddpg resume``."""

from sb3_ddpg_custom.cli.commands.end_of_training import tell
from sb3_ddpg_custom.cli.declared_options import takes
from sb3_ddpg_custom.cli.imports import no_garbage_collection
from sb3_ddpg_custom.cli.shared_options import Debug, Quiet
from sb3_ddpg_custom.cli.training.options import ResumeRequest


@takes(ResumeRequest)
def resume_command(
    request: ResumeRequest,
    quiet: Quiet = False,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Go on with a run that was killed or stopped, as if it had not been."""
    with no_garbage_collection():
        from sb3_ddpg_custom.cli.screen import screen
        from sb3_ddpg_custom.cli.training.resume import resume

    tell(resume(request, screen(stderr=True, quiet=quiet)), request.imports, quiet=quiet)
