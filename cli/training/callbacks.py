"""What happens beside a training: evaluations, checkpoints, TensorBoard's extra pages, and a clean stop."""

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import HParam, TensorBoardOutputFormat
from stable_baselines3.common.type_aliases import TrainFrequencyUnit
from stable_baselines3.common.vec_env import VecEnv, sync_envs_normalization

from sb3_ddpg_custom.checkpoint import replacing, save_checkpoint
from sb3_ddpg_custom.checkpoint.exact import ExactCheckpoint
from sb3_ddpg_custom.cli.evaluation.episodes import play
from sb3_ddpg_custom.cli.signals import SignalReceivedError, Signals
from sb3_ddpg_custom.cli.watching.training_progress import TrainingProgress

# One page with what matters: TensorBoard's "Custom Scalars" tab.
_LAYOUT = {
    "DDPG": {
        "return": ["Multiline", ["rollout/ep_rew_mean", "eval/mean_reward"]],
        "return of each episode": ["Multiline", ["episode/reward"]],
        "Q": ["Multiline", ["train/q_mean", "train/q_max"]],
        "qmax of each episode": ["Multiline", ["episode/qmax"]],
        "Q beside what came of it": ["Multiline", ["diagnosis/q_predicted", "diagnosis/q_realised"]],
        "saturated actions, dead units": [
            "Multiline",
            ["diagnosis/saturated_actions", "diagnosis/dead_units_actor", "diagnosis/dead_units_critic"],
        ],
        "critic loss": ["Multiline", ["train/critic_loss"]],
        "actor loss": ["Multiline", ["train/actor_loss"]],
        "TD error": ["Multiline", ["train/td_error"]],
        "gradient norms": ["Multiline", ["train/grad_norm_critic", "train/grad_norm_actor"]],
    }
}
_BRIEF_SECONDS = 2.0
_METRICS = ("eval/mean_reward", "rollout/ep_rew_mean", "train/q_mean", "train/critic_loss")


class Stop(BaseCallback):
    """End the training soon after a signal, with its state saved, and at its last step.

    The state is whole between two rollouts only. SB3 ends a training there, too: with ``train_freq`` in episodes that
    is the end of an episode, which may never come; a signal then ends it at once, and the last checkpoint has to do.

    :param signals: that may come
    :param total_steps: length of the training, env steps
    :param checkpoint: of the whole state
    """

    leaves_the_model_alone = True

    def __init__(self, signals: Signals, total_steps: int, checkpoint: ExactCheckpoint) -> None:
        super().__init__()
        self.signals = signals
        self.total_steps = total_steps
        self.checkpoint = checkpoint
        self._stops_itself = False
        self._is_saved = False
        #: whether the training was not left in the middle of a rollout
        self.is_whole = True

    def _on_rollout_start(self) -> None:
        if self.signals.received is not None:
            self.checkpoint.save()
            self._is_saved = True

    def _on_training_start(self) -> None:
        model: Any = self.model
        self._stops_itself = model.train_freq.unit is TrainFrequencyUnit.EPISODE

    def _on_step(self) -> bool:
        is_over = self._stops_itself and self.num_timesteps >= self.total_steps
        if self.signals.received is not None:
            self.is_whole = not (self._is_saved or self._stops_itself)
            return self.is_whole
        return not is_over


class Evaluation(BaseCallback):
    """Evaluate every so many steps and at the end; keep each checkpoint, and the best.

    ``evaluations.npz`` has the format of SB3's ``EvalCallback``. The start states are the same each time, so that
    two evaluations differ by the policy only.

    :param env: the envs of ``evaluation_envs``
    :param episodes: episodes per evaluation
    :param every_steps: env steps between evaluations
    :param folder: the run's folder
    :param config: text of its ``config.yml``
    :param signals: interrupts an evaluation too
    :param progress: is told how far an evaluation is, and how it went
    """

    leaves_the_model_alone = True

    def __init__(
        self,
        env: VecEnv,
        *,
        episodes: int,
        every_steps: int,
        folder: Path,
        config: str,
        signals: Signals,
        progress: TrainingProgress,
    ) -> None:
        super().__init__()
        self.env = env
        self.episodes = episodes
        self.every_steps = every_steps
        self.folder = folder
        self.config = config
        self.signals = signals
        self.progress = progress
        self.best_mean_return = -np.inf
        self._next = every_steps
        self._seconds: float | None = None
        #: whether the training was not left in the middle of a rollout
        self.is_whole = True
        self._rows: dict[str, list[Any]] = {"timesteps": [], "results": [], "ep_lengths": []}

    def _on_step(self) -> bool:
        if self.num_timesteps < self._next:
            return True
        self._next += self.every_steps * ((self.num_timesteps - self._next) // self.every_steps + 1)
        try:
            self._evaluate()
        except SignalReceivedError:
            self.is_whole = False
        return self.is_whole

    def needs_checkpoint(self) -> bool:
        """Say whether the rollout that begins now comes to an evaluation that a signal may end half done."""
        model: Any = self.model
        if self._is_brief or model.train_freq.unit is TrainFrequencyUnit.EPISODE:
            return False
        until: int = model.num_timesteps + model.train_freq.frequency * model.n_envs
        return until >= self._next

    @property
    def _is_brief(self) -> bool:
        """Whether a signal can wait for an evaluation's end, as the last one tells."""
        return self._seconds is not None and self._seconds < _BRIEF_SECONDS

    def state(self) -> dict[str, Any]:
        """Copy what was evaluated so far, what comes next, and what the envs' wrappers keep from their episodes."""
        episodes = self.env.unwrapped.env_method("episode_so_far") if self._rows["timesteps"] else None
        return {"best": self.best_mean_return, "next": self._next, "rows": self._rows, "episodes": episodes}

    def restore(self, state: dict[str, Any]) -> str | None:
        """Go on from there.

        :param state: which :meth:`state` gave
        :return: why that was not possible exactly, None if it was
        """
        self.best_mean_return, self._next = state["best"], state["next"]
        self._rows = {name: list(rows) for name, rows in state["rows"].items()}
        if self._rows["timesteps"]:
            self._write()
        for index, episode in enumerate(state["episodes"] or ()):
            if not self.env.unwrapped.env_method("replay_episode", episode, indices=[index])[0]:
                return f"env {index} of the evaluations is not deterministic"
        return None

    def finish(self) -> None:
        """Evaluate the final policy, unless that was just done."""
        if self._rows["timesteps"][-1:] != [self.num_timesteps]:
            self._evaluate()

    def _evaluate(self) -> None:
        sync_envs_normalization(self.training_env, self.env)
        self.env.env_method("restart")
        began = time.monotonic()
        played = play(self.model, self.env, self.episodes, on_step=self._on_evaluation_step)
        self._seconds = time.monotonic() - began
        mean = float(played.returns.mean())
        is_best = mean > self.best_mean_return
        self._rows["timesteps"].append(self.num_timesteps)
        self._rows["results"].append(played.returns)
        self._rows["ep_lengths"].append(played.lengths)
        if played.success_rate is not None:
            self._rows.setdefault("successes", []).append(played.successes)
        self._write()
        save_checkpoint(self.model, checkpoint_path(self.folder, self.num_timesteps), config=self.config)
        if is_best:
            self.best_mean_return = mean
            save_checkpoint(self.model, self.folder / "best.zip", config=self.config)
        self.logger.record("eval/mean_reward", mean)
        self.logger.record("eval/mean_ep_length", float(played.lengths.mean()))
        if played.success_rate is not None:
            self.logger.record("eval/success_rate", played.success_rate)
        self.logger.record("time/total_timesteps", self.num_timesteps, exclude="tensorboard")
        self.logger.dump(self.num_timesteps)
        self.progress.evaluated(self.num_timesteps, played.returns, played.success_rate, is_best=is_best)
        self.progress.cut(self.env)

    def _write(self) -> None:
        with replacing(self.folder / "evaluations.npz") as file:
            np.savez(file, allow_pickle=False, **{name: np.asarray(rows) for name, rows in self._rows.items()})

    def _on_evaluation_step(self, finished: int) -> None:
        if not self._is_brief:
            self.signals.raise_if_received()
        self.progress.evaluating(self.num_timesteps, finished, self.episodes)


def checkpoint_path(folder: Path, step: int) -> Path:
    """Name the checkpoint of a step so that names sort by step."""
    return folder / "checkpoints" / f"step_{step:09d}.zip"


class TensorBoardPages(BaseCallback):
    """Write the hyper-parameters (HParams tab) and the layout of the Custom Scalars tab.

    :param hyperparameters: plain values by name
    :param are_there: an earlier process has written the pages
    """

    leaves_the_model_alone = True

    def __init__(self, hyperparameters: Mapping[str, Any], *, are_there: bool) -> None:
        super().__init__()
        self.are_there = are_there
        self._began_at = 0
        self.hyperparameters = {
            name: value if isinstance(value, bool | int | float | str) else str(value)
            for name, value in hyperparameters.items()
        }

    def _on_training_start(self) -> None:
        self._began_at = self.num_timesteps
        if self.are_there:
            return
        values = HParam(self.hyperparameters, dict.fromkeys(_METRICS, 0.0))
        for output in self.logger.output_formats:
            if isinstance(output, TensorBoardOutputFormat):
                # At once: a training that is killed before its first log, and goes on, writes them no more.
                output.write({"hparams": values}, {"hparams": ()})
                output.writer.add_custom_scalars(_LAYOUT)

    def _on_step(self) -> bool:
        return True

    def _on_training_end(self) -> None:
        # SB3 logs every fourth episode; this is for the episodes since, in a short training for all of them.
        model: Any = self.model
        if self.num_timesteps > self._began_at:
            model.dump_logs()
