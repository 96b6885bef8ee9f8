"""Showing how long an evaluation takes: a live line in a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable

    from stable_baselines3.common.vec_env import VecEnv

_REFRESH_SECONDS = 0.2
_SILENCE_SECONDS = 30.0


@contextmanager
def episode_progress(console: Console, env_id: str, episodes: int) -> "Iterator[Callable[[int], None]]":
    """Show how many episodes of an evaluation are finished.

    :param console: where to
    :param env_id: what is played
    :param episodes: how many there are
    :return: to be called with the number of episodes finished, as often as one likes
    """
    last, moves = time.monotonic(), 0
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task(env_id, total=episodes)

        def show(finished: int) -> None:
            nonlocal last, moves
            moves += 1
            if time.monotonic() - last < (_REFRESH_SECONDS if console.is_terminal else _SILENCE_SECONDS):
                return
            last = time.monotonic()
            # All envs step at once: where episodes are long, their steps show that something happens.
            how_far = f"{env_id}: {finished} of {episodes} episodes, {moves:,} steps of each env"
            if console.is_terminal:
                bar.update(task, completed=finished, description=how_far)
            else:
                console.print(how_far)

        yield show


def remark_on_cuts(env: "VecEnv", flag: str) -> str:
    """Say that episodes were cut, in a sentence; nothing where none were.

    :param env: an evaluation's, as ``evaluation_envs`` made it
    :param flag: the option that sets the bound
    """
    if not env.has_attr("cut_episodes") or not sum(env.get_attr("cut_episodes")):
        return ""
    bound = max(env.get_attr("bound_steps"))
    return (
        f"evaluation episodes that have no end after {bound:,} steps are cut there ({flag} sets how long one may last)"
    )
