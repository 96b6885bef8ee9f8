"""How far a training is: a live screen in a terminal, plain lines elsewhere, and a status in the run's folder."""

import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from rich.console import Console, Group
from rich.live import Live
from stable_baselines3.common.callbacks import BaseCallback

from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.progress import remark_on_cuts
from sb3_ddpg_custom.cli.status import State, Status, write_status
from sb3_ddpg_custom.cli.watching.live_facts import LiveFacts
from sb3_ddpg_custom.cli.watching.panel import panel
from sb3_ddpg_custom.cli.watching.recent_rate import RecentRate

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from sb3_ddpg_custom.diagnosis.rules import Finding

_REFRESH_SECONDS = 0.2
_PLAIN_LINES = 10
_SILENCE_SECONDS = 30.0
_STATUS_SECONDS = 1.0
_PARTS = 50  # of the training, for the row of returns


class TrainingProgress(BaseCallback):
    """How far a training is, on the screen and in the run's folder; and the evaluations between.

    :param console: where to; a terminal gets a few lines that stay in their place, anything else a plain line per
        tenth, and at least two in a minute
    :param settings: hyper-parameters, for the doctor
    :param total_steps: length of the training, env steps
    :param folder: of the run, whose status is kept there
    """

    leaves_the_model_alone = True

    def __init__(self, console: Console, settings: Mapping[str, Any], total_steps: int, folder: Path) -> None:
        super().__init__()
        self.console = console
        self.total_steps = total_steps
        self.folder = folder
        self._live = Live(console=console, auto_refresh=False, transient=True) if console.is_terminal else None
        self._facts = LiveFacts(settings, total_steps)
        self._sums = np.zeros((2, _PARTS))
        self._last_seconds = self._status_seconds = 0.0
        self._evaluation: float | None = None
        self._evaluated_at: int | None = None
        self._best: float | None = None
        self._warned_of: str | None = None
        self._rate: RecentRate | None = None
        self._next_line = max(total_steps // _PLAIN_LINES, 1)
        self._cut_was_said = False

    def _on_training_start(self) -> None:
        self._last_seconds = time.monotonic()
        self._rate = RecentRate(seconds=self._last_seconds, steps=self.num_timesteps)
        self.logger.output_formats.append(self._facts)
        if self._live is not None:
            self._live.start()
        self.keep_status("training")

    def _on_step(self) -> bool:
        for info in self.locals["infos"]:
            if "episode" in info:
                self._add(info["episode"])
        seconds = self._silence()
        if self._live is not None:
            if seconds >= _REFRESH_SECONDS:
                self._show()
        elif self.num_timesteps >= self._next_line or seconds >= _SILENCE_SECONDS:
            self._next_line = self.num_timesteps + max(self.total_steps // _PLAIN_LINES, 1)
            rate = self._steps_per_second()
            shown = "-" if rate is None else f"{rate:,.0f}"
            self._say(f"step {self.num_timesteps:,} of {self.total_steps:,}  {shown} steps/s  {self._figures()}")
        return True

    def _on_training_end(self) -> None:
        self.stop()

    def stop(self) -> None:
        """Give the screen back."""
        if self._live is not None:
            self._live.stop()

    def keep_status(self, state: State, reason: str | None = None) -> None:
        """Leave in the run's folder how far the training is.

        :param state: what it does
        :param reason: why it failed
        """
        self._status_seconds = time.monotonic()
        write_status(self.folder, self._status(state, reason))

    def evaluating(self, step: int, finished: int, episodes: int) -> None:
        """Say how far an evaluation is, now and then.

        :param step: of the training
        :param finished: episodes played
        :param episodes: to play
        """
        seconds = self._silence()
        if self._live is not None:
            if seconds >= _REFRESH_SECONDS:
                self._show(f"evaluating: {finished} of {episodes} episodes")
        elif seconds >= _SILENCE_SECONDS:
            self._say(f"evaluating at step {step:,}: {finished} of {episodes} episodes")

    def evaluated(self, step: int, returns: NDArray[Any], success_rate: float | None, *, is_best: bool) -> None:
        """Say how an evaluation went.

        :param step: when, env steps
        :param returns: of the evaluation's episodes
        :param success_rate: share of its episodes, None where the env says nothing of it
        :param is_best: whether no earlier evaluation was as good
        """
        mean = self._evaluation = float(returns.mean())
        self._evaluated_at = step
        self._best = mean if self._best is None or is_best else max(self._best, mean)
        self._facts.add_evaluation(step, returns)
        success = "" if success_rate is None else f", success {100 * success_rate:.0f} %"
        self._say(f"evaluation at step {step:,}: return {mean:.1f}{success}" + (" (best so far)" if is_best else ""))

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

    def _silence(self) -> float:
        """Tell for how many seconds nothing was shown, and keep the status if it is time."""
        now = time.monotonic()
        if now - self._status_seconds >= _STATUS_SECONDS:
            self.keep_status("training")
        return now - self._last_seconds

    def _say(self, text: str) -> None:
        self._last_seconds = time.monotonic()
        self.console.print(text)

    def _show(self, instead: str = "") -> None:
        self._last_seconds = time.monotonic()
        if self._live is not None:
            drawn = panel(self._status("training"), width=self.console.width)
            self._live.update(Group(drawn, instead) if instead else drawn, refresh=True)

    def _add(self, episode: Mapping[str, Any]) -> None:
        place = min(self.num_timesteps * _PARTS // max(self.total_steps, 1), _PARTS - 1)
        self._sums[:, place] += episode["r"], 1
        self._facts.add_episode(self.num_timesteps, float(episode["r"]), int(episode["l"]))

    def _status(self, state: State, reason: str | None = None) -> Status:
        model: Any = getattr(self, "model", None)
        update = getattr(model, "last_update", None)
        counts = self._sums[1]
        returns = [float(total / count) if count else None for total, count in self._sums.T]
        return Status(
            state=state,
            step=self.num_timesteps,
            total_steps=self.total_steps,
            steps_per_second=self._steps_per_second(),
            last_return=self._last_return(),
            evaluation=self._evaluation,
            evaluated_at=self._evaluated_at,
            best_evaluation=self._best,
            returns=tuple(returns[: int(np.flatnonzero(counts)[-1]) + 1] if counts.any() else ()),
            q_mean=None if update is None else float(update.q_mean),
            q_realised=self._facts.latest("diagnosis/q_realised"),
            critic_loss=None if update is None else float(update.critic_loss),
            actor_loss=None if update is None else float(update.actor_loss),
            film=self._last_film(),
            warning=self._warning() if state == "training" else None,
            reason=reason,
        )

    def _warning(self) -> str | None:
        """Ask the doctor; what it begins to be sure of is said in a line of its own where there is no live screen."""
        finding: Finding | None = None
        with suppress(Exception):  # a doctor who stumbles ends no training
            finding = self._facts.sure_of(self.num_timesteps)
        if finding is None:
            return None
        text = f"{finding.rule}: {finding.sentence}; try {finding.advice}"
        if self._live is None and self._warned_of != finding.rule:
            self.note(f"doctor: {text}")
        self._warned_of = finding.rule
        return text

    def _last_film(self) -> str | None:
        films = sorted((self.folder / "videos").glob("*.mp4"))
        return str(shown(films[-1])) if films else None

    def _steps_per_second(self) -> float | None:
        return None if self._rate is None else self._rate.of(seconds=time.monotonic(), steps=self.num_timesteps)

    def _last_return(self) -> float | None:
        model: Any = getattr(self, "model", None)
        episodes = list((model and model.ep_info_buffer) or [])[-10:]
        return sum(episode["r"] for episode in episodes) / len(episodes) if episodes else None

    def _figures(self) -> str:
        model: Any = self.model
        last_return = self._last_return()
        figures = [] if last_return is None else [f"return {last_return:.1f}"]
        if model.last_update is not None:
            update = model.last_update
            figures += [f"Q {update.q_mean:.1f}", f"loss Q {update.critic_loss:.3g} μ {update.actor_loss:.3g}"]
        return "  ".join(figures)
