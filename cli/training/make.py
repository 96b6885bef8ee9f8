"""From a plan to what a training is made of: envs, model, evaluations, checkpoints."""

from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat, configure

from sb3_ddpg_custom.checkpoint import Checkpoint, replacing
from sb3_ddpg_custom.checkpoint.beside import PlainState
from sb3_ddpg_custom.checkpoint.exact import ExactCheckpoint, ResumeError, restore
from sb3_ddpg_custom.checkpoint.normalization import restore as restore_normalization
from sb3_ddpg_custom.cli.blame import reason
from sb3_ddpg_custom.cli.config.classes import import_class
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.q_readout import QReadout
from sb3_ddpg_custom.cli.environments.seeds import evaluation_seeds
from sb3_ddpg_custom.cli.environments.vectorised import evaluation_envs, normalizer, training_envs
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown, shown_in
from sb3_ddpg_custom.cli.run_folder import STATE
from sb3_ddpg_custom.cli.signals import Signals
from sb3_ddpg_custom.cli.tracking.output import TrackedOutput
from sb3_ddpg_custom.cli.tracking.trackers import Tracked, Tracker, begin
from sb3_ddpg_custom.cli.training.callbacks import Evaluation
from sb3_ddpg_custom.cli.training.divergence import RATES
from sb3_ddpg_custom.cli.training.failures import (
    closing,
    drawing_failed,
)
from sb3_ddpg_custom.cli.training.model import build_model
from sb3_ddpg_custom.cli.training.options import FilmedEpisodes, TrainRequest
from sb3_ddpg_custom.cli.training.run_files import RunFiles
from sb3_ddpg_custom.cli.watching.training_progress import TrainingProgress
from sb3_ddpg_custom.observation_normalizer import holds_statistics, normalizer_of
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
    :param may_vanish: whether the folder goes where the training fails before its first step
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
    may_vanish: bool = False
    goes_on: bool = False
    rate_scale: float = 1.0


class Parts(NamedTuple):
    """What a training is made of.

    :param model: with its envs and logger
    :param evaluation: with envs of its own
    :param checkpoint: of the whole state
    :param extra_callbacks: the settings'
    """

    model: "DDPG"
    evaluation: Evaluation
    checkpoint: ExactCheckpoint
    extra_callbacks: list[BaseCallback]


def make(plan: Plan, settings: Settings, signals: Signals, progress: TrainingProgress, stack: ExitStack) -> Parts:
    """Make envs, model and what goes on beside it.

    :param plan: what was decided; where the run goes on, all is restored
    :param settings: the plan's, with its learning rates
    :param signals: that may come
    :param progress: to tell
    :param stack: closes what is made
    :raises UsageError: if the parts do not fit together
    """
    request, env_id = plan.request, plan.request.env

    def no_more_films(error: RenderError) -> None:
        progress.note(f"no videos from here on: {drawing_failed(error)}")

    if not plan.goes_on:
        _write_config(plan)
    q_value = QReadout()
    envs = training_envs(
        env_id,
        settings,
        plan.folder,
        video=plan.video,
        look=request.look,
        render=request.render,
        on_render_error=no_more_films,
        q_value=q_value,
        seed=plan.seed,
        vec_env=request.vec_env,
        imports=request.imports,
        advise=progress.note,
        goes_on=plan.goes_on,
    )
    stack.push(closing(envs.close, progress.note))
    evaluation_env = evaluation_envs(
        env_id,
        settings,
        evaluation_seeds(0, request.eval_episodes),
        n_envs=min(request.eval_episodes, 10),
        most_steps=request.eval_max_steps,
        normalize=normalizer(settings, training=False),
        replayable=True,
    )
    stack.push(closing(evaluation_env.close, progress.note))
    model = build_model(settings, envs, seed=plan.seed, device=request.device)
    model.stops_at_non_finite = True
    q_value.follow(model.policy, lambda: model._last_obs)
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
            "files": RunFiles(plan.folder, lambda: _flush(model.logger)),
            "evaluation": evaluation,
            **{f"callback {place}": PlainState(one) for place, one in enumerate(extra_callbacks)},
        },
        facts={"env": env_id, "rate_scale": plan.rate_scale},
        may_differ=RATES if plan.goes_on else (),
        wanted=evaluation.needs_checkpoint,
    )
    if plan.goes_on:
        _go_on(model, checkpoint, plan.folder)
        checkpoint.restate(rate_scale=plan.rate_scale)
        _write_config(plan)
    tracker = _tracked(plan, settings, stack)
    model.set_logger(configure(str(plan.folder), ["tensorboard"]))
    if tracker is not None:
        model.logger.output_formats.append(TrackedOutput(tracker, progress.note))
    stack.push(closing(model.logger.close, progress.note))
    return Parts(model, evaluation, checkpoint, extra_callbacks)


def _tracked(plan: Plan, settings: Settings, stack: ExitStack) -> Tracker | None:
    """Begin to track the run where that was asked for; it ends with the training."""
    if plan.request.track is None:
        return None
    run = Tracked(
        project=plan.request.env.replace("/", "-"),
        name="-".join(plan.folder.parts[-2:]),
        folder=plan.folder,
        settings={"seed": plan.seed, **settings.model_dump()},
        goes_on=plan.goes_on,
    )
    tracker = begin(plan.request.track, run)

    def finish(kind: type[BaseException] | None, *_: object) -> None:
        with suppress(Exception):  # the training is over and saved, whatever a network does
            tracker.finish(is_well=kind is None)

    stack.push(finish)
    return tracker


def _flush(logger: Logger) -> None:
    """Write TensorBoard's points that wait in memory."""
    for output in logger.output_formats:
        if isinstance(output, TensorBoardOutputFormat):
            output.writer.flush()


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
    if normalization is None and checkpoint.normalization is not None:
        raise UsageError(f"--from {shown(checkpoint.path)} was trained with normalisation; add --set normalize=true")
    if normalization is not None and checkpoint.normalization is None:
        raise UsageError(
            f"--from {shown(checkpoint.path)} was trained without normalisation; add --set normalize=false"
        )
    by_policy = normalizer_of(model.policy) is not None
    if by_policy != holds_statistics(checkpoint.parameters.get("policy", {})):
        how, value = ("without", "false") if by_policy else ("with", "true")
        raise UsageError(
            f"--from {shown(checkpoint.path)} was trained {how} normalisation in the policy; add --set "
            f"policy_kwargs.normalize_observations={value}"
        )
    difference = _difference(model.policy.state_dict(), checkpoint.parameters.get("policy", {}))
    if difference is not None:
        raise UsageError(f"--from {shown(checkpoint.path)} does not fit these settings: {difference}")
    try:
        model.set_parameters(dict(checkpoint.parameters))
        if normalization is not None and checkpoint.normalization is not None:
            restore_normalization(checkpoint.normalization, normalization)
    except (ValueError, RuntimeError, KeyError) as error:
        raise UsageError(f"--from {shown(checkpoint.path)} does not fit these settings: {reason(error)}") from error


def _difference(here: Mapping[str, Any], there: Mapping[str, Any]) -> str | None:
    """Name the first of a policy's weights that another one has not, or not in this shape; None if there is none."""
    for name, own in here.items():
        if name not in there:
            return f"it lacks {name}"
        if own.shape != there[name].shape:
            return f"its {name} is of shape {tuple(there[name].shape)}, and has to be {tuple(own.shape)}"
    return None


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
