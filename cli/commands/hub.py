"""``ddpg push`` and ``ddpg pull``."""

from sb3_ddpg_custom.cli.declared_options import takes
from sb3_ddpg_custom.cli.hub.options import PullRequest, PushRequest
from sb3_ddpg_custom.cli.shared_options import Debug


@takes(PushRequest)
def push_command(request: PushRequest, debug: Debug = False) -> None:  # noqa: ARG001
    """Put a run on the Hugging Face hub: model, exported policy, and a card with table, curve and film."""
    from sb3_ddpg_custom.cli.hub.push import push
    from sb3_ddpg_custom.cli.screen import screen

    pushed = push(request, screen(stderr=True))
    if pushed.url is None:
        screen().print(f"nothing was uploaded; add --yes to put these {len(pushed.files)} files on the hub")
    else:
        screen().print(pushed.url, soft_wrap=True)


@takes(PullRequest)
def pull_command(request: PullRequest, debug: Debug = False) -> None:  # noqa: ARG001
    """Get a model from the Hugging Face hub; nothing of it is run."""
    from sb3_ddpg_custom.cli.hub.pull import pull
    from sb3_ddpg_custom.cli.results.names import plain_path
    from sb3_ddpg_custom.cli.screen import screen
    from sb3_ddpg_custom.cli.training.commands_to_paste import evaluating

    folder = pull(request)
    screen().print(plain_path(folder), soft_wrap=True)
    screen().print("next:")
    screen().out(f"  {evaluating(folder, ())}")
