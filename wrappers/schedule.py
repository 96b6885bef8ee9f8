"""Which episodes to record."""

import math
import operator
from collections.abc import Callable
from typing import Literal, SupportsIndex, TypeAlias

EpisodeSchedule: TypeAlias = Literal["cubic", "none"] | SupportsIndex | Callable[[int], bool]


def episode_selector(schedule: EpisodeSchedule) -> Callable[[int], bool]:
    """Turn a schedule into a function that says whether to record an episode.

    :param schedule: "cubic", "none", an integer N (episodes 0, N, 2N, ...) or such a function itself
    :return: a function of the episode's index, counted from 0
    """
    if isinstance(schedule, str):
        if schedule in ("cubic", "none"):
            return is_cubic if schedule == "cubic" else _never
    elif isinstance(schedule, SupportsIndex):
        period_episodes = operator.index(schedule)
        if period_episodes >= 1 and not isinstance(schedule, bool):
            return lambda episode: episode % period_episodes == 0
    elif callable(schedule):
        return schedule
    raise ValueError(
        f"schedule is {schedule!r}: pass 'cubic', 'none', an integer N >= 1 (every N-th episode) or a function "
        "of the episode's index that answers True or False"
    )


def is_cubic(episode: int) -> bool:
    """Say whether the schedule of OpenAI Gym's Monitor records an episode.

    The cubes 0, 1, 8, 27, ..., 729 show the fast changes at the start of a training; from 1000 on, every
    thousandth episode shows the slow ones.

    :param episode: the episode's index, counted from 0
    """
    if episode < 1000:
        return round(math.pow(episode, 1 / 3)) ** 3 == episode
    return episode % 1000 == 0


def _never(episode: int) -> bool:
    del episode
    return False
