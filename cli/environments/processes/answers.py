"""What the process of an env answers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sb3_ddpg_custom.wrappers.finished_episodes import FinishedEpisode


class Took(NamedTuple):
    """The time that an env took for a command.

    :param seconds: from its beginning to its end
    :param cpu_seconds: of these, how long it computed
    :param is_filmed: whether it was drawn meanwhile
    """

    seconds: float = 0.0
    cpu_seconds: float = 0.0
    is_filmed: bool = False


class Answer(NamedTuple):
    """An answer to one command.

    :param value: what SB3's ``SubprocVecEnv`` expects, or a ``Failure``
    :param finished: episodes that ended with this step
    :param undrawn: why a film could not go on, where one could not
    :param took: the time that the env took
    """

    value: Any
    finished: Sequence[FinishedEpisode] = ()
    undrawn: Sequence[str] = ()
    took: Took = Took()
