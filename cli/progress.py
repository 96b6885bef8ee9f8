"""Showing how long work goes: a live line in a terminal, a plain line now and then elsewhere."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ddpg_custom.cli.status import State, Status, write_status

if TYPE_CHECKING:
    from collections.abc import Callable

    from stable_baselines3.common.vec_env import VecEnv

_REFRESH_SECONDS = 0.2
_PLAIN_LINES = 10
_SILENCE_SECONDS = 30.0
_STATUS_SECONDS = 1.0


class TrainingProgress(BaseCallback):
    """Steps, steps per second, time left, return, Q and losses; and the evaluations between.

    :param console: where to; a terminal gets a live line, anything else a plain line per tenth, and at least two in a
        minute
    :param total_steps: length of the training, env steps
    :param folder: of the run, whose status is kept there
    """

    def __init__(self, console: Console, total_steps: int, folder: Path) -> None:
        super().__init__()
        self.console = console
        self.total_steps = total_steps
        self.folder = folder
        self.bar = Progress(
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]} steps/s"),
            TimeRemainingColumn(compact=True),
            TextColumn("{task.fields[figures]}"),
            console=console,
            expand=True,
            disable=not console.is_terminal,
        )
        self._task = self.bar.add_task("train", total=total_steps, rate="-", figures="")
        self._last_seconds = self._status_seconds = 0.0
        self._evaluation: float | None = None
        self._started = (0.0, 0)
        self._next_line = max(total_steps // _PLAIN_LINES, 1)
        self._cut_was_said = False

    def _on_training_start(self) -> None:
        self._last_seconds = time.monotonic()
        self._started = (self._last_seconds, self.num_timesteps)
        self.bar.start()
        self.keep_status("training")

    def _on_step(self) -> bool:
        now = time.monotonic()
        if now - self._status_seconds >= _STATUS_SECONDS:
            self.keep_status("training")
        seconds = now - self._last_seconds
        if self.console.is_terminal:
            if seconds >= _REFRESH_SECONDS:
                self._show(self._figures())
        elif self.num_timesteps >= self._next_line or seconds >= _SILENCE_SECONDS:
            self._next_line = self.num_timesteps + max(self.total_steps // _PLAIN_LINES, 1)
            self._say(f"step {self.num_timesteps:,} of {self.total_steps:,}  {self._rate()} steps/s  {self._figures()}")
        return True

    def _on_training_end(self) -> None:
        self._show(self._figures())
        self.bar.stop()

    def keep_status(self, state: "State", reason: str | None = None) -> None:
        """Leave in the run's folder how far the training is.

        :param state: what it does
        :param reason: why it failed
        """
        self._status_seconds = time.monotonic()
        rate = self._steps_per_second()
        status = Status(
            state=state,
            step=self.num_timesteps,
            total_steps=self.total_steps,
            steps_per_second=rate,
            last_return=self._last_return(),
            evaluation=self._evaluation,
            reason=reason,
        )
        write_status(self.folder, status)

    def evaluating(self, step: int, finished: int, episodes: int) -> None:
        """Say how far an evaluation is, now and then.

        :param step: of the training
        :param finished: episodes played
        :param episodes: to play
        """
        seconds = time.monotonic() - self._last_seconds
        if self.console.is_terminal:
            if seconds >= _REFRESH_SECONDS:
                self._show(f"evaluating: {finished} of {episodes} episodes")
        elif seconds >= _SILENCE_SECONDS:
            self._say(f"evaluating at step {step:,}: {finished} of {episodes} episodes")

    def evaluated(self, step: int, mean_return: float, success_rate: float | None, *, is_best: bool) -> None:
        """Say how an evaluation went.

        :param step: when, env steps
        :param mean_return: over the evaluation's episodes
        :param success_rate: share of its episodes, None where the env says nothing of it
        :param is_best: whether no earlier evaluation was as good
        """
        self._evaluation = mean_return
        success = "" if success_rate is None else f", success {100 * success_rate:.0f} %"
        self._say(
            f"evaluation at step {step:,}: return {mean_return:.1f}{success}" + (" (best so far)" if is_best else "")
        )

    def cut(self, env: "VecEnv") -> None:
        """Say once if an evaluation's episodes were cut.

        :param env: the evaluation's
        """
        remark = "" if self._cut_was_said else remark_on_cuts(env, "--eval-max-steps")
        if remark:
            self._cut_was_said = True
            self.note(remark)

    def note(self, text: str) -> None:
        """Say something in a line of its own.

        :param text: one sentence
        """
        self.console.print(text, soft_wrap=True)

    def _say(self, text: str) -> None:
        self._last_seconds = time.monotonic()
        self.console.print(text)

    def _show(self, figures: str) -> None:
        self._last_seconds = time.monotonic()
        self.bar.update(self._task, completed=self.num_timesteps, rate=self._rate(), figures=figures)

    def _rate(self) -> str:
        rate = self._steps_per_second()
        return "-" if rate is None else f"{rate:,.0f}"

    def _steps_per_second(self) -> float | None:
        seconds, steps = self._started
        elapsed = time.monotonic() - seconds
        return (self.num_timesteps - steps) / elapsed if seconds and elapsed > 0 else None

    def _last_return(self) -> float | None:
        model: Any = getattr(self, "model", None)
        episodes = list((model and model.ep_info_buffer) or [])[-10:]
        return sum(episode["r"] for episode in episodes) / len(episodes) if episodes else None

    def _figures(self) -> str:
        model: Any = self.model
        last_return = self._last_return()
        shown = [] if last_return is None else [f"return {last_return:.1f}"]
        if model.last_update is not None:
            update = model.last_update
            shown += [f"Q {update.q_mean:.1f}", f"loss Q {update.critic_loss:.3g} μ {update.actor_loss:.3g}"]
        return "  ".join(shown)


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
