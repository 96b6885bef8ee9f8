"""Train, as a plain function: ``ddpg train`` without the command line."""

from dataclasses import fields, replace
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

from rich.console import Console

from sb3_ddpg_custom.checkpoint import Checkpoint, CheckpointError, read_checkpoint
from sb3_ddpg_custom.cli.config.memory import check_training_memory
from sb3_ddpg_custom.cli.config.resolve import Resolved, resolve, to_yaml
from sb3_ddpg_custom.cli.environments.drawing import can_render
from sb3_ddpg_custom.cli.environments.fitting import fit_to_env
from sb3_ddpg_custom.cli.environments.registry import import_modules, registered_ids
from sb3_ddpg_custom.cli.environments.seeds import training_seed
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.evaluation.what_to_play import with_normalization
from sb3_ddpg_custom.cli.paths import shown, shown_in, tied_to_start
from sb3_ddpg_custom.cli.run_folder import create_run_folder, find_checkpoint
from sb3_ddpg_custom.cli.training.commands_to_paste import repeating
from sb3_ddpg_custom.cli.training.leftovers import remove_leftovers
from sb3_ddpg_custom.cli.training.make import Plan
from sb3_ddpg_custom.cli.training.model import check_device
from sb3_ddpg_custom.cli.training.options import FilmedEpisodes, TrainRequest
from sb3_ddpg_custom.cli.training.run import TrainResult, run
from sb3_ddpg_custom.wrappers import prepare_headless_rendering

# MuJoCo without a GPU takes some 90 ms for a frame: twenty times longer than to train the step.
_SLOW_FRAME_SECONDS = 0.03
_PACKAGES = ("sb3-ddpg-custom", "stable-baselines3", "gymnasium", "torch", "numpy")
_COMPILERS = ("numba",) if find_spec("numba") else ()  # an update that it compiled is rounded at other places
# Options that config.yml's settings, or the place where it lies, say already.
_IN_THE_SETTINGS = ("env", "steps", "n_envs", "config", "overrides", "preset", "action_bounds", "out", "name")


def train(request: TrainRequest, console: Console) -> TrainResult:
    """Train and keep everything about it in a new run folder.

    :param request: what to do
    :param console: for progress and notes
    :raises UsageError: if the request cannot be met; nothing has been written then
    :raises RunError: if the env or the training fails; the last good model is saved
    """
    request = tied_to_start(request)
    if not request.render:
        prepare_headless_rendering()  # some packages choose how to draw when they are imported
    import_modules(request.imports)
    resolved = resolve(
        request.env,
        config=request.config,
        overrides=request.all_overrides,
        steps=request.steps,
        n_envs=request.n_envs,
        registered_ids=registered_ids(),
    )
    return train_resolved(request, resolved, console)


def train_resolved(
    request: TrainRequest, resolved: Resolved, console: Console, *, folder: Path | None = None
) -> TrainResult:
    """Train with settings that are found already.

    :param request: what to do, with absolute paths; its modules are imported
    :param resolved: with which settings
    :param console: for progress and notes
    :param folder: of the run, which exists and stays, whatever happens; None makes a new one
    :raises UsageError: as :func:`train`
    :raises RunError: as :func:`train`
    """
    if request.normalization is not None and request.start_from is None:
        raise UsageError("--normalization is for the model that --from names; leave it out, or add --from")
    seed = training_seed(request.seed)
    fitted = fit_to_env(resolved.env_id, resolved.settings)
    resolved = replace(resolved, settings=fitted.settings)
    for remark in fitted.remarks:
        console.print(remark, soft_wrap=True)
    check_training_memory(fitted.settings, fitted.observation_space, fitted.action_space)
    check_device(request.device)
    video = _choose_video(request, resolved, console)
    start_from = None if request.start_from is None else _read(request.start_from, request.normalization, console)

    is_ours = folder is None
    if folder is None:
        folder = create_run_folder(request.out, resolved.env_id, request.name)
        remove_leftovers(folder.parent)
    n_timesteps, eval_max_steps = resolved.settings.n_timesteps, request.eval_max_steps
    if eval_max_steps is None and fitted.step_limit is None:
        eval_max_steps = default_bound(n_timesteps)
    longest = request.eval_episodes * (eval_max_steps or fitted.step_limit or 1)
    eval_every = request.eval_every or default_interval(n_timesteps, longest)
    asked = replace(request, env=resolved.env_id, seed=seed, eval_every=eval_every, eval_max_steps=eval_max_steps)
    config = to_yaml(resolved, run=_facts(asked, resolved.source, folder, video))
    plan = Plan(
        request=asked,
        settings=resolved.settings,
        seed=seed,
        eval_every=eval_every,
        video=video,
        folder=folder,
        config=config,
        start_from=start_from,
        may_vanish=is_ours,
    )
    return run(plan, console)


def default_bound(n_timesteps: int) -> int:
    """Bound the episodes of evaluations in an env that declares no limit: by the training's length, within reason.

    :param n_timesteps: length of the training, env steps
    """
    return min(max(n_timesteps // 20, 100), 10_000)


def default_interval(n_timesteps: int, evaluation_steps: int) -> int:
    """Choose the steps between evaluations: ten evaluations, fewer where those would dwarf the training.

    :param n_timesteps: length of the training, env steps
    :param evaluation_steps: of one evaluation at most
    """
    evaluations = min(max(10 * n_timesteps // evaluation_steps, 1), 10)
    return max(n_timesteps // evaluations, 1)


def _choose_video(request: TrainRequest, resolved: Resolved, console: Console) -> FilmedEpisodes:
    """Record what was asked for; where nothing was asked, the cubic schedule if the env can be drawn quickly here."""
    if request.render or request.video == "none":
        request.look.refuse_without_films("--video cubic")
    if request.render:
        if resolved.settings.n_envs > 1:
            raise UsageError(
                f"--render shows one env, but n_envs is {resolved.settings.n_envs}; leave it out, or add --n-envs 1"
            )
        if request.video not in (None, "none"):
            raise UsageError("--render shows the env in a window, so it cannot be filmed too; leave out --video")
        problem = can_render(resolved.env_id, resolved.settings, "human")
        if problem is not None:
            raise UsageError(f"--render: {problem}; leave it out")
        return "none"
    if request.video == "none":
        return "none"
    if request.video is not None:
        problem = can_render(resolved.env_id, resolved.settings)
        if problem is not None:
            raise UsageError(f"--video: {problem}; use --video none, or see docs/wrappers.md on films without a screen")
        return request.video
    problem = can_render(resolved.env_id, resolved.settings, slow_seconds=_SLOW_FRAME_SECONDS)
    if problem is None:
        return "cubic"
    console.print(f"no videos: {problem} (--video asks for them all the same)", soft_wrap=True)
    return "none"


def _read(path: Path, normalization: Path | Literal["none"] | None, console: Console) -> Checkpoint:
    try:
        return with_normalization(read_checkpoint(find_checkpoint(path, "--from")), normalization, console)
    except CheckpointError as error:
        raise UsageError(f"--from: {shown_in(error, path)}") from error


def _facts(request: TrainRequest, settings_from: str, folder: Path, video: FilmedEpisodes) -> dict[str, Any]:
    """Note what the settings do not say, for whoever wants to repeat the run."""
    asked = {field.name: getattr(request, field.name) for field in fields(request)}
    return {
        **{name: _plain(value) for name, value in asked.items() if name not in _IN_THE_SETTINGS},
        "video": video,
        "settings_from": settings_from,
        "repeat_with": repeating(request, folder),
        "versions": {package: version(package) for package in (*_PACKAGES, *_COMPILERS)},
    }


def _plain(value: Any) -> Any:
    if isinstance(value, Path):
        return str(shown(value))
    return list(value) if isinstance(value, tuple) else value
