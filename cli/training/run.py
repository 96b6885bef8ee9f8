"""One training run: how it goes, and how it ends."""

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from stable_baselines3.common.utils import safe_mean

from sb3_ddpg_custom.checkpoint import replacing, save_checkpoint
from sb3_ddpg_custom.checkpoint.store import CheckpointStore
from sb3_ddpg_custom.cli.blame import exits_are_errors, reason
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import RunError
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.run_folder import DONE, STATE
from sb3_ddpg_custom.cli.signals import SignalReceivedError, Signals
from sb3_ddpg_custom.cli.training.blas import remarks_on_blas
from sb3_ddpg_custom.cli.training.callbacks import Stop, TensorBoardPages, checkpoint_path
from sb3_ddpg_custom.cli.training.divergence import DivergedError, diverged, with_rates
from sb3_ddpg_custom.cli.training.failures import (
    failure,
    mistakes_are_sentences,
    removed_if_unused,
    what_is_left,
)
from sb3_ddpg_custom.cli.training.film import film_best
from sb3_ddpg_custom.cli.training.model import remarks_on_numba, remarks_on_precision
from sb3_ddpg_custom.cli.training.options import most_rollbacks
from sb3_ddpg_custom.cli.training.run_files import owned
from sb3_ddpg_custom.cli.training.threads import torch_threads
from sb3_ddpg_custom.cli.watching.training_progress import TrainingProgress
from sb3_ddpg_custom.updates.divergence import NonFiniteUpdateError

if TYPE_CHECKING:
    from sb3_ddpg_custom.ddpg import DDPG
from sb3_ddpg_custom.cli.training.make import Parts, Plan, make


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
    :param curve: picture of the learning curve; None where it could not be drawn
    :param film: one episode of the best policy; None where films were not wanted, or could not be made
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
    curve: Path | None
    film: Path | None
    signal: int | None


def run(plan: Plan, console: Console) -> TrainResult:
    """Train as planned, going back to the last checkpoint where the plan says so.

    Before the first env step everything can still be refused, and the folder goes then. Signals end the command at once
    until the training begins; from there on they end it with a saved model.

    :param plan: what was decided
    :param console: for progress and notes
    :raises UsageError: if the settings do not fit together, or not the env
    :raises RunError: if the env or the training fails; the model is saved before, if the disk lets it
    """
    left = most_rollbacks(plan.request.on_divergence)
    while True:
        try:
            return _train(plan, console)
        except DivergedError as error:
            if left == 0 or not CheckpointStore(plan.folder / STATE).steps():
                raise
            left -= 1
            plan = replace(plan, may_vanish=False, goes_on=True, start_from=None, rate_scale=plan.rate_scale / 2)
            console.print(
                f"{error}; back to the last checkpoint, with {plan.rate_scale:g} of the learning rates", soft_wrap=True
            )


def _train(plan: Plan, console: Console) -> TrainResult:
    """Train once, to the end, a signal or an error."""
    settings = with_rates(plan.settings, plan.rate_scale)
    signals = Signals()
    with ExitStack() as stack:
        unused = stack.enter_context(removed_if_unused(plan.folder, is_new=plan.may_vanish))
        stack.enter_context(owned(plan.folder))
        stack.enter_context(torch_threads(plan.request.threads, settings))
        progress = TrainingProgress(console, settings.model_dump(), settings.n_timesteps, plan.folder)
        stack.push(_keeping_status(progress))
        with mistakes_are_sentences(plan.request.env, plan.folder):
            parts = make(plan, settings, signals, progress, stack)
        model = unused.model = parts.model
        _announce(plan, settings, parts, console)
        pages = TensorBoardPages(_hyperparameters(plan), are_there=plan.goes_on)
        stop = Stop(signals, settings.n_timesteps, parts.checkpoint)
        callbacks = [parts.checkpoint, stop, parts.evaluation, pages, progress, *parts.extra_callbacks]
        started = time.monotonic()
        with signals.caught():
            try:
                with exits_are_errors():
                    left = settings.n_timesteps - (model.num_timesteps if plan.goes_on else 0)
                    model.learn(max(left, 0), callbacks, reset_num_timesteps=not plan.goes_on)
                    if stop.is_whole and parts.evaluation.is_whole:
                        parts.checkpoint.save()
                    if signals.received is None:
                        parts.evaluation.finish()
            except SignalReceivedError:
                pass
            except NonFiniteUpdateError as error:
                raise DivergedError(diverged(model, plan.folder, error)) from error
            except Exception as error:
                raise RunError(failure(model, plan.folder, plan.config, error)) from error
            finally:
                progress.stop()
            stopped_by = signals.received
            saved = _save(model, plan, is_final=stopped_by is None)
            seconds = time.monotonic() - started
        curve, film = _to_look_at(model, plan, progress) if stopped_by is None else (None, None)
        if stopped_by is None:
            with replacing(plan.folder / STATE / DONE) as file:
                file.write(str(model.num_timesteps).encode())
        progress.keep_status("done" if stopped_by is None else "stopped")
        return TrainResult(
            env_id=plan.request.env,
            folder=plan.folder,
            checkpoint=saved,
            seed=plan.seed,
            steps=model.num_timesteps,
            total_steps=settings.n_timesteps,
            seconds=seconds,
            episodes=model._episode_num,
            last_return=float(safe_mean([episode["r"] for episode in model.ep_info_buffer or []])),
            best_return=parts.evaluation.best_mean_return,
            curve=curve,
            film=film,
            signal=None if stopped_by is None else int(stopped_by),
        )


def _keeping_status(progress: TrainingProgress) -> Callable[..., None]:
    """Leave in the folder why a training failed."""

    def leave(kind: type[BaseException] | None, error: BaseException | None, *_: object) -> None:
        if kind is not None:
            progress.keep_status("failed", str(error))

    return leave


def _announce(plan: Plan, settings: Settings, parts: Parts, console: Console) -> None:
    begun = f" from step {parts.model.num_timesteps:,} on" if plan.goes_on else ""
    steps = f"{settings.n_timesteps:,} steps{begun}"
    console.print(f"{plan.request.env}: {steps}, seed {plan.seed}, in {shown(plan.folder)}")
    remarks = remarks_on_precision(settings.precision, parts.model.device)
    if plan.goes_on and parts.checkpoint.inexact_because is not None:
        remarks.append(f"not exactly as if it had not stopped: {parts.checkpoint.inexact_because}")
    for remark in [*remarks, *remarks_on_blas(), *remarks_on_numba(parts.model)]:
        console.print(remark, soft_wrap=True)


def _save(model: "DDPG", plan: Plan, *, is_final: bool) -> Path:
    """Save the model as the training left it."""
    path = plan.folder / "final.zip" if is_final else checkpoint_path(plan.folder, model.num_timesteps)
    try:
        save_checkpoint(model, path, config=plan.config)
    except OSError as error:
        raise RunError(
            f"training ended at step {model.num_timesteps}, but {shown(path)} cannot be written ({reason(error)}); "
            f"{what_is_left(plan.folder)}"
        ) from error
    return path


def _to_look_at(model: "DDPG", plan: Plan, progress: TrainingProgress) -> tuple[Path | None, Path | None]:
    """Draw the learning curve and film the best policy; the training is over and saved, whatever happens here."""
    curve = film = None
    try:
        from sb3_ddpg_custom.cli.figures.curve import draw_learning_curve

        with exits_are_errors():
            curve = draw_learning_curve(plan.folder, f"{plan.request.env}, seed {plan.seed}")
            if plan.video != "none":
                films = plan.folder / "videos"
                best, look = plan.folder / "best.zip", plan.request.look
                film = film_best(model, best, plan.request.env, plan.settings, films, look)
    except Exception as error:  # any renderer, any disk
        progress.note(f"no {'curve' if curve is None else 'film of the best policy'}: {reason(error)}")
    return curve, film


def _hyperparameters(plan: Plan) -> Mapping[str, Any]:
    values = {"env_id": plan.request.env, "seed": plan.seed, **plan.settings.model_dump()}
    return {name: value for name, value in values.items() if value not in (None, (), {})}
