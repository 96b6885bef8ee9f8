"""Showing how a training goes: a live line in a terminal, a plain line now and then elsewhere."""

import time
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from stable_baselines3.common.callbacks import BaseCallback

_REFRESH_SECONDS = 0.2
_PLAIN_LINES = 10


class TrainingProgress(BaseCallback):
    """Steps, steps per second, time left, return, Q and losses.

    :param console: where to; a terminal gets a live line, anything else about ten plain lines
    :param total_steps: length of the training, env steps
    """

    def __init__(self, console: Console, total_steps: int) -> None:
        super().__init__()
        self.console = console
        self.total_steps = total_steps
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
        self._last_seconds = 0.0
        self._started = (0.0, 0)
        self._next_line = max(total_steps // _PLAIN_LINES, 1)

    def _on_training_start(self) -> None:
        self._started = (time.monotonic(), self.num_timesteps)
        self.bar.start()

    def _on_step(self) -> bool:
        if self.console.is_terminal:
            now = time.monotonic()
            if now - self._last_seconds >= _REFRESH_SECONDS:
                self._last_seconds = now
                self._show()
        elif self.num_timesteps >= self._next_line:
            self._next_line += max(self.total_steps // _PLAIN_LINES, 1)
            self.console.print(
                f"step {self.num_timesteps:,} of {self.total_steps:,}  {self._rate()} steps/s  {self._figures()}"
            )
        return True

    def _on_training_end(self) -> None:
        self._show()
        self.bar.stop()

    def note(self, step: int, mean_return: float, is_best: bool) -> None:
        """Say how an evaluation went.

        :param step: when, env steps
        :param mean_return: over the evaluation's episodes
        :param is_best: whether no earlier evaluation was as good
        """
        self.console.print(
            f"evaluation at step {step:,}: return {mean_return:.1f}" + (" (best so far)" if is_best else "")
        )

    def _show(self) -> None:
        self.bar.update(self._task, completed=self.num_timesteps, rate=self._rate(), figures=self._figures())

    def _rate(self) -> str:
        seconds, steps = self._started
        elapsed = time.monotonic() - seconds
        return f"{(self.num_timesteps - steps) / elapsed:,.0f}" if elapsed > 0 else "-"

    def _figures(self) -> str:
        model: Any = self.model
        episodes = list(model.ep_info_buffer or [])[-10:]
        shown = [f"return {sum(episode['r'] for episode in episodes) / len(episodes):.1f}"] if episodes else []
        if model.last_update is not None:
            update = model.last_update
            shown += [f"Q {update.q_mean:.1f}", f"loss Q {update.critic_loss:.3g} μ {update.actor_loss:.3g}"]
        return "  ".join(shown)
