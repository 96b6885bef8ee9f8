"""``ddpg film``."""

from sb3_ddpg_custom.cli.declared_options import takes
from sb3_ddpg_custom.cli.films.options import FilmRequest
from sb3_ddpg_custom.cli.shared_options import Debug


@takes(FilmRequest)
def film_command(request: FilmRequest, debug: Debug = False) -> None:  # noqa: ARG001
    """Film a run's learning: one start state after 0, 10, 30 and 100 % of the training, side by side."""
    from sb3_ddpg_custom.cli.films.learning import film_learning
    from sb3_ddpg_custom.cli.results.names import plain_path
    from sb3_ddpg_custom.cli.screen import screen

    path = film_learning(request, screen(stderr=True))
    screen().print(plain_path(path), soft_wrap=True)
