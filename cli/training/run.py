"""One training run: its envs, its callbacks, and how it ends."""

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import configure
from stable_baselines3.common.utils import safe_mean

from sb3_ddpg_custom.checkpoint import Checkpoint, replacing, save_checkpoint
from sb3_ddpg_custom.checkpoint.exact import ExactCheckpoint, PlainState, ResumeError, restore
from sb3_ddpg_custom.checkpoint.normalization import restore as restore_normalization
from sb3_ddpg_custom.checkpoint.store import CheckpointStore
from sb3_ddpg_custom.cli.blame import exits_are_errors, reason
from sb3_ddpg_custom.cli.config.classes import import_class
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.seeds import evaluation_seeds
from sb3_ddpg_custom.cli.environments.vectorised import evaluation_envs, normalizer, training_envs
from sb3_ddpg_custom.cli.errors import RunError, UsageError
from sb3_ddpg_custom.cli.paths import shown, shown_in
from sb3_ddpg_custom.cli.progress import TrainingProgress
from sb3_ddpg_custom.cli.run_folder import STATE
from sb3_ddpg_custom.cli.signals import SignalReceivedError, Signals
from sb3_ddpg_custom.cli.training.blas import remarks_on_blas
from sb3_ddpg_custom.cli.training.callbacks import Evaluation, Stop, TensorBoardPages, checkpoint_path
from sb3_ddpg_custom.cli.training.divergence import RATES, DivergedError, diverged, with_rates
from sb3_ddpg_custom.cli.training.failures import (
    closing,
    drawing_failed,
    failure,
    mistakes_are_sentences,
    removed_if_unused,
    what_is_left,
)
from sb3_ddpg_custom.cli.training.film import film_best
from sb3_ddpg_custom.cli.training.model import build_model, remarks_on_numba, remarks_on_precision
from sb3_ddpg_custom.cli.training.options import FilmedEpisodes, TrainRequest, most_rollbacks
from sb3_ddpg_custom.cli.training.run_files import RunFiles, owned
from sb3_ddpg_custom.cli.training.threads import torch_threads
from sb3_ddpg_custom.updates.divergence import NonFiniteUpdateError
from sb3_ddpg_custom.wrappers import RenderError

if TYPE_CHECKING:
    from sb3_ddpg_custom.ddpg import DDPG


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Everything that is decided before a run begins.

    :param request: what was asked for, and what was chosen where nothing was asked; ``env`` is an id
    :param settings: the hyper-parameters
    :param seed: the training's seed
    :param eval_every: env steps between evaluations
    :param video: which training episodes to record
    :param folder: the run's folder, which exists
    :param config: text of its ``config.yml``, which is written into it
    :param start_from: checkpoint to begin with
    :param goes_on: whether the folder has a state to go on from
    :param rate_scale: the learning rates' factor, below 1 after a rollback
    """

    request: TrainRequest
    settings: Settings
    seed: int
    eval_every: int
    video: FilmedEpisodes
    folder: Path
    config: str
    start_from: Checkpoint | None
    goes_on: bool = False
    rate_scale: float = 1.0


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
            plan = replace(plan, goes_on=True, rate_scale=plan.rate_scale / 2)
            console.print(
                f"{error}; back to the last checkpoint, with {plan.rate_scale:g} of the learning rates", soft_wrap=True
            )


def _train(plan: Plan, console: Console) -> TrainResult:
    request, env_id = plan.request, plan.request.env
    settings = with_rates(plan.settings, plan.rate_scale)
    signals = Signals()
    with ExitStack() as stack:
        unused = stack.enter_context(removed_if_unused(plan.folder, is_new=not plan.goes_on))
        stack.enter_context(owned(plan.folder))
        stack.enter_context(torch_threads(request.threads, settings))
        progress = TrainingProgress(console, settings.n_timesteps)

        def no_more_films(error: RenderError) -> None:
            progress.note(f"no videos from here on: {drawing_failed(error)}")

        with mistakes_are_sentences(env_id, plan.folder):
            if not plan.goes_on:
                _write_config(plan)
            envs = training_envs(
                env_id,
                settings,
                plan.folder,
                video=plan.video,
                render=request.render,
                on_render_error=no_more_films,
                goes_on=plan.goes_on,
            )
            stack.push(closing(envs.close, progress.note))
            seeds = evaluation_seeds(0, request.eval_episodes)
            side_by_side = min(request.eval_episodes, 10)
            frozen = normalizer(settings, training=False)
            evaluation_env = evaluation_envs(
                env_id, settings, seeds, n_envs=side_by_side, most_steps=request.eval_max_steps, normalize=frozen
            )
            stack.push(closing(evaluation_env.close, progress.note))

            model = build_model(settings, envs, seed=plan.seed, device=request.device)
            if plan.start_from is not None:
                _begin_with(model, plan.start_from)
            extra_callbacks = _extra_callbacks(plan)
            evaluation = Evaluation(
                evaluation_env,
                episodes=request.eval_episodes,
                every_steps=plan.eval_every,
                folder=plan.folder,
                config=plan.config,
                signals=signals,
                progress=progress,
            )
            checkpoint = ExactCheckpoint(
                plan.folder / STATE,
                every_steps=request.checkpoint_every,
                also={
                    "files": RunFiles(plan.folder),
                    "evaluation": evaluation,
                    **{f"callback {place}": PlainState(one) for place, one in enumerate(extra_callbacks)},
                },
                facts={"env": env_id, "rate_scale": plan.rate_scale},
                may_differ=RATES if plan.goes_on else (),
            )
            if plan.goes_on:
                _go_on(model, checkpoint, plan.folder)
                _write_config(plan)
            model.stops_at_non_finite = True
            model.set_logger(configure(str(plan.folder), ["tensorboard"]))
            stack.push(closing(model.logger.close, progress.note))
        unused.model = model
        pages = [] if plan.goes_on else [TensorBoardPages(_hyperparameters(plan))]
        stop = Stop(signals, settings.n_timesteps, checkpoint)
        callbacks = [checkpoint, stop, evaluation, *pages, progress, *extra_callbacks]
        begun = f" from step {model.num_timesteps:,} on" if plan.goes_on else ""
        console.print(f"{env_id}: {settings.n_timesteps:,} steps{begun}, seed {plan.seed}, in {shown(plan.folder)}")
        if plan.goes_on and checkpoint.inexact_because is not None:
            console.print(f"not exactly as if it had not stopped: {checkpoint.inexact_because}", soft_wrap=True)
        remarks = remarks_on_precision(settings.precision, model.device)
        for remark in [*remarks, *remarks_on_blas(), *remarks_on_numba(model)]:
            console.print(remark, soft_wrap=True)
        started = time.monotonic()
        with signals.caught():
            try:
                with exits_are_errors():
                    left = max(settings.n_timesteps - model.num_timesteps, 0) if plan.goes_on else settings.n_timesteps
                    model.learn(left, callbacks, reset_num_timesteps=not plan.goes_on)
                    if signals.received is None:
                        checkpoint.save()
                        evaluation.finish()
            except SignalReceivedError:
                pass
            except NonFiniteUpdateError as error:
                raise DivergedError(diverged(model, plan.folder, error)) from error
            except Exception as error:
                raise RunError(failure(model, plan.folder, plan.config, error)) from error
            finally:
                progress.bar.stop()
            stopped_by = signals.received
            name = plan.folder / "final.zip"
            saved = name if stopped_by is None else checkpoint_path(plan.folder, model.num_timesteps)
            try:
                save_checkpoint(model, saved, config=plan.config)
            except OSError as error:
                raise RunError(
                    f"training ended at step {model.num_timesteps}, but {shown(saved)} cannot be written "
                    f"({reason(error)}); {what_is_left(plan.folder)}"
                ) from error
            seconds = time.monotonic() - started
        curve, film = _to_look_at(model, plan, progress) if stopped_by is None else (None, None)
        return TrainResult(
            env_id=env_id,
            folder=plan.folder,
            checkpoint=saved,
            seed=plan.seed,
            steps=model.num_timesteps,
            total_steps=settings.n_timesteps,
            seconds=seconds,
            episodes=model._episode_num,
            last_return=float(safe_mean([episode["r"] for episode in model.ep_info_buffer or []])),
            best_return=evaluation.best_mean_return,
            curve=curve,
            film=film,
            signal=None if stopped_by is None else int(stopped_by),
        )


def _to_look_at(model: "DDPG", plan: Plan, progress: TrainingProgress) -> tuple[Path | None, Path | None]:
    """Draw the learning curve and film the best policy; the training is over and saved, whatever happens here."""
    curve = film = None
    try:
        from sb3_ddpg_custom.cli.figures.curve import draw_learning_curve

        with exits_are_errors():
            curve = draw_learning_curve(plan.folder, f"{plan.request.env}, seed {plan.seed}")
            if plan.video != "none":
                films = plan.folder / "videos"
                film = film_best(model, plan.folder / "best.zip", plan.request.env, plan.settings, films)
    except Exception as error:  # any renderer, any disk
        progress.note(f"no {'curve' if curve is None else 'film of the best policy'}: {reason(error)}")
    return curve, film


def _write_config(plan: Plan) -> None:
    with replacing(plan.folder / "config.yml") as file:
        file.write(plan.config.encode())


def _go_on(model: "DDPG", checkpoint: ExactCheckpoint, folder: Path) -> None:
    try:
        restore(model, checkpoint)
    except ResumeError as error:
        raise UsageError(f"{shown(folder)} cannot go on: {shown_in(error, folder)}") from error


def _begin_with(model: "DDPG", checkpoint: Checkpoint) -> None:
    normalization = model.get_vec_normalize_env()
    if checkpoint.lacks_normalization:
        raise UsageError(
            f"--from {shown(checkpoint.path)} was trained under VecNormalize and does not hold its statistics; begin "
            "with a checkpoint of this package, which does"
        )
    if normalization is None and checkpoint.normalization is not None:
        raise UsageError(f"--from {shown(checkpoint.path)} was trained with normalisation; add --set normalize=true")
    if normalization is not None and checkpoint.normalization is None:
        raise UsageError(
            f"--from {shown(checkpoint.path)} was trained without normalisation; add --set normalize=false"
        )
    try:
        model.set_parameters(dict(checkpoint.parameters))
        if normalization is not None and checkpoint.normalization is not None:
            restore_normalization(checkpoint.normalization, normalization)
    except (ValueError, RuntimeError, KeyError) as error:
        raise UsageError(f"--from {shown(checkpoint.path)} does not fit these settings: {reason(error)}") from error


def _extra_callbacks(plan: Plan) -> list[BaseCallback]:
    callbacks = []
    for spec in plan.settings.callback:
        kind = import_class(spec.name, "callback")
        if not issubclass(kind, BaseCallback):
            raise UsageError(f"callback {spec.name} is no callback; name a subclass of SB3's BaseCallback")
        try:
            callbacks.append(kind(**spec.kwargs))
        except Exception as error:  # a callback may raise anything while it is made
            raise UsageError(
                f"callback {spec.name} cannot be made with {dict(spec.kwargs)}: {reason(error)}"
            ) from error
    return callbacks


def _hyperparameters(plan: Plan) -> Mapping[str, Any]:
    values = {"env_id": plan.request.env, "seed": plan.seed, **plan.settings.model_dump()}
    return {name: value for name, value in values.items() if value not in (None, (), {})}
