"""One training run: its envs, its callbacks, and how it ends."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import safe_mean

from sb3_ddpg_custom.checkpoint import Checkpoint, save_checkpoint
from sb3_ddpg_custom.checkpoint.normalization import restore
from sb3_ddpg_custom.cli.callbacks import (
    Evaluation,
    SignalReceivedError,
    Signals,
    StopOnSignal,
    TensorBoardPages,
    checkpoint_path,
)
from sb3_ddpg_custom.cli.classes import import_class
from sb3_ddpg_custom.cli.config import Resolved
from sb3_ddpg_custom.cli.environments import evaluation_envs, normalizer, training_envs
from sb3_ddpg_custom.cli.errors import RunError, UsageError
from sb3_ddpg_custom.cli.model import build_model
from sb3_ddpg_custom.cli.progress import TrainingProgress
from sb3_ddpg_custom.cli.seeds import evaluation_seeds
from sb3_ddpg_custom.cli.threads import torch_threads
from sb3_ddpg_custom.wrappers.schedule import EpisodeSchedule

if TYPE_CHECKING:
    from sb3_ddpg_custom.ddpg import DDPG


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is decided before a run begins.

    :param resolved: env id and settings
    :param seed: the training's seed
    :param device: torch device
    :param threads: torch's threads, None to choose by the size of the networks
    :param folder: the run's folder, which exists
    :param config: text of its ``config.yml``
    :param eval_every: env steps between evaluations
    :param eval_episodes: episodes per evaluation
    :param video: which training episodes to record
    :param render: show the first env in a window
    :param start_from: checkpoint to begin with
    """

    resolved: Resolved
    seed: int
    device: str
    threads: int | None
    folder: Path
    config: str
    eval_every: int
    eval_episodes: int
    video: EpisodeSchedule
    render: bool
    start_from: Checkpoint | None


@dataclass(frozen=True, kw_only=True)
class TrainResult:
    """How a training ended.

    :param env_id: what was trained on
    :param folder: the run's folder
    :param checkpoint: the model as the training left it
    :param seed: the training's seed
    :param steps: env steps done
    :param total_steps: env steps asked for
    :param seconds: wall-clock time of the training with its evaluations
    :param episodes: training episodes
    :param last_return: mean return of the last 100 training episodes; NaN without one
    :param best_return: best mean return of an evaluation; -inf without one
    :param signal: number of the signal that ended it early, None if none did
    """

    env_id: str
    folder: Path
    checkpoint: Path
    seed: int
    steps: int
    total_steps: int
    seconds: float
    episodes: int
    last_return: float
    best_return: float
    signal: int | None


def run(plan: Plan, console: Console) -> TrainResult:
    """Train as planned.

    :param plan: what was decided
    :param console: for progress and notes
    :raises RunError: if the env or the training fails; the model is saved before
    """
    settings, env_id = plan.resolved.settings, plan.resolved.env_id
    signals = Signals()
    with ExitStack() as stack:
        stack.enter_context(signals.caught())
        stack.enter_context(torch_threads(plan.threads, settings))
        envs = training_envs(env_id, settings, plan.folder, video=plan.video, render=plan.render)
        stack.callback(envs.close)
        seeds = evaluation_seeds(0, plan.eval_episodes)
        side_by_side = min(plan.eval_episodes, 10)
        frozen = normalizer(settings, training=False)
        evaluation_env = evaluation_envs(env_id, settings, seeds, n_envs=side_by_side, normalize=frozen)
        stack.callback(evaluation_env.close)

        model = build_model(settings, envs, seed=plan.seed, device=plan.device)
        if plan.start_from is not None:
            _begin_with(model, plan.start_from)
        model.set_logger(configure(str(plan.folder), ["tensorboard"]))
        stack.callback(model.logger.close)
        progress = TrainingProgress(console, settings.n_timesteps)
        evaluation = Evaluation(
            evaluation_env,
            episodes=plan.eval_episodes,
            every_steps=plan.eval_every,
            folder=plan.folder,
            config=plan.config,
            signals=signals,
            report=progress.note,
        )
        pages = TensorBoardPages(_hyperparameters(plan))
        callbacks = [StopOnSignal(signals), evaluation, pages, progress, *_extra_callbacks(plan)]
        console.print(f"{env_id}: {settings.n_timesteps:,} steps, seed {plan.seed}, in {plan.folder}")
        started = time.monotonic()
        try:
            model.learn(settings.n_timesteps, callbacks)
            if signals.received is None:
                evaluation.finish()
        except SignalReceivedError:
            pass
        except Exception as error:
            raise RunError(_failure(model, plan, error)) from error
        finally:
            progress.bar.stop()
        if signals.received is None:
            checkpoint = plan.folder / "final.zip"
        else:
            checkpoint = checkpoint_path(plan.folder, model.num_timesteps)
        save_checkpoint(model, checkpoint, config=plan.config)
        return TrainResult(
            env_id=env_id,
            folder=plan.folder,
            checkpoint=checkpoint,
            seed=plan.seed,
            steps=model.num_timesteps,
            total_steps=settings.n_timesteps,
            seconds=time.monotonic() - started,
            episodes=model._episode_num,
            last_return=float(safe_mean([episode["r"] for episode in model.ep_info_buffer or []])),
            best_return=evaluation.best_mean_return,
            signal=None if signals.received is None else int(signals.received),
        )


def _begin_with(model: "DDPG", checkpoint: Checkpoint) -> None:
    try:
        model.set_parameters(dict(checkpoint.parameters))
        normalization = model.get_vec_normalize_env()
        if normalization is not None and checkpoint.normalization is not None:
            restore(checkpoint.normalization, normalization)
    except (ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(f"--from {checkpoint.path} does not fit these settings: {reason}") from error


def _extra_callbacks(plan: Plan) -> list[Any]:
    return [import_class(spec.name, "callback")(**spec.kwargs) for spec in plan.resolved.settings.callback]


def _hyperparameters(plan: Plan) -> Mapping[str, Any]:
    values = {"env_id": plan.resolved.env_id, "seed": plan.seed, **plan.resolved.settings.model_dump()}
    return {name: value for name, value in values.items() if value not in (None, (), {})}


def _failure(model: "DDPG", plan: Plan, error: Exception) -> str:
    """Save what is still good, and say it in one sentence."""
    reason = " ".join(str(error).split()) or type(error).__name__
    message = f"training stopped at step {model.num_timesteps}: {reason}"
    if not all(bool(parameter.isfinite().all()) for parameter in model.policy.parameters()):
        return f"{message}; the weights are no numbers any more, so see best.zip and checkpoints/ in {plan.folder}"
    path = checkpoint_path(plan.folder, model.num_timesteps)
    save_checkpoint(model, path, config=plan.config)
    return f"{message}; the model as it was is in {path}"
