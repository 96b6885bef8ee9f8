"""Evaluate a checkpoint, as a plain function: ``ddpg evaluate`` without the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from scipy import stats
from stable_baselines3.common.vec_env import VecEnv

from sb3_ddpg_custom.checkpoint import Checkpoint, CheckpointError, build_policy, read_checkpoint
from sb3_ddpg_custom.checkpoint.normalization import normalize_like
from sb3_ddpg_custom.cli.config import RUN_KEY, resolve
from sb3_ddpg_custom.cli.config_text import parse_yaml
from sb3_ddpg_custom.cli.environments import (
    can_render,
    check_trainable,
    evaluation_envs,
    import_modules,
    registered_ids,
)
from sb3_ddpg_custom.cli.episodes import play
from sb3_ddpg_custom.cli.errors import RunError, UsageError, one_line
from sb3_ddpg_custom.cli.run_folder import find_checkpoint
from sb3_ddpg_custom.cli.seeds import evaluation_seeds
from sb3_ddpg_custom.cli.settings import Settings, validate
from sb3_ddpg_custom.wrappers import RenderError, prepare_headless_rendering
from sb3_ddpg_custom.wrappers.finite_guard import NonFiniteError

# Modules whose classes a checkpoint may ask for without the user's word: they only change what the policy sees.
_HARMLESS = ("gymnasium.wrappers.", "rl_zoo3.wrappers.", "sb3_contrib.common.wrappers.")
_WRITES_FILES = ("RecordVideo",)


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What ``ddpg evaluate`` was asked for; see its help.

    :param checkpoint: a run folder or a zip
    :param episodes: how many
    :param seed: chooses the start states; the same one gives the same numbers
    :param env: alias or id, None for the checkpoint's own
    :param video: folder for videos of all episodes
    :param render: show the episodes in a window
    :param imports: modules that register envs, or that hold wrappers the checkpoint uses
    """

    checkpoint: Path
    episodes: int = 100
    seed: int = 0
    env: str | None = None
    video: Path | None = None
    render: bool = False
    imports: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EvaluateResult:
    """What came out; the names are the keys of ``--json``.

    :param env_id: what was played
    :param checkpoint: whose policy played
    :param episodes: how many
    :param seed: as asked for
    :param mean_return: mean of the undiscounted returns
    :param std_return: their standard deviation (as SB3 reports it: divided by n)
    :param ci95: 95 % bootstrap interval of the mean; None with a single episode
    :param min_return: the worst
    :param max_return: the best
    :param mean_length: env steps per episode
    :param returns: one per episode, in the order of their seeds
    """

    env_id: str
    checkpoint: str
    episodes: int
    seed: int
    mean_return: float
    std_return: float
    ci95: tuple[float, float] | None
    min_return: float
    max_return: float
    mean_length: float
    returns: tuple[float, ...]


def evaluate(request: EvaluateRequest, console: Console) -> EvaluateResult:
    """Play episodes without exploration noise, on start states that no training has seen.

    Nothing in the checkpoint is run: see :mod:`sb3_ddpg_custom.checkpoint.read`.

    :param request: what to do
    :param console: for progress
    :raises UsageError: if the checkpoint or the env does not serve
    :raises RunError: if the env fails
    """
    import_modules(request.imports)
    if not request.render:
        prepare_headless_rendering()
    path = find_checkpoint(request.checkpoint)
    try:
        checkpoint = read_checkpoint(path)
        env_id, settings = _environment(request, checkpoint)
        check_trainable(env_id, settings)
        if request.video is not None or request.render:
            problem = can_render(env_id, settings, "human" if request.render else "rgb_array")
            if problem is not None:
                raise UsageError(f"{'--render' if request.render else '--video'}: {problem}; leave it out")
        envs = evaluation_envs(
            env_id,
            settings,
            evaluation_seeds(request.seed, request.episodes),
            n_envs=1 if request.video or request.render else min(request.episodes, 16),
            video=request.video,
            render=request.render,
            normalize=None if checkpoint.normalization is None else partial(_normalize, checkpoint),
        )
    except CheckpointError as error:
        raise UsageError(f"--checkpoint: {error}") from error
    except OSError as error:
        if request.video is None:
            raise
        raise UsageError(f"--video {request.video}: {error.strerror or error}") from error
    try:
        policy = build_policy(checkpoint, envs.observation_space, envs.action_space)
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task(f"{env_id}: episodes", total=request.episodes)
            played = play(policy, envs, request.episodes, on_step=lambda done: bar.update(task, completed=done))
    except CheckpointError as error:
        raise UsageError(f"--checkpoint: {error}") from error
    except NonFiniteError as error:
        raise RunError(f"evaluation stopped: {error}") from error
    except RenderError as error:
        cause = error.__cause__ or error
        reason = one_line(f"{type(cause).__name__}: {cause}")
        flag = "--video" if request.video is not None else "--render"
        raise RunError(f"evaluation stopped: the environment failed to render ({reason}); leave out {flag}") from error
    except OSError as error:
        if request.video is None:
            raise
        raise RunError(f"evaluation stopped: {one_line(error.strerror or error)}") from error
    finally:
        envs.close()
    returns = played.returns
    return EvaluateResult(
        env_id=env_id,
        checkpoint=str(path),
        episodes=request.episodes,
        seed=request.seed,
        mean_return=float(returns.mean()),
        std_return=float(returns.std()),
        ci95=bootstrap_interval(returns),
        min_return=float(returns.min()),
        max_return=float(returns.max()),
        mean_length=float(played.lengths.mean()),
        returns=tuple(float(value) for value in returns),
    )


def _normalize(checkpoint: Checkpoint, env: VecEnv) -> VecEnv:
    try:
        return normalize_like(checkpoint.normalization or {}, env)
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def bootstrap_interval(values: "np.ndarray[Any, Any] | Sequence[float]") -> tuple[float, float] | None:
    """Give the 95 % percentile bootstrap interval of the mean, the same at each call; None for a single value."""
    if len(values) < 2:
        return None
    interval = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(interval.low), float(interval.high)


def _environment(request: EvaluateRequest, checkpoint: Checkpoint) -> tuple[str, Settings]:
    """Find out what the checkpoint was trained on; the user's word goes first."""
    own = _own_environment(checkpoint)
    if request.env is not None:
        asked = resolve(
            request.env, config=None, overrides=(), steps=None, n_envs=None, registered_ids=registered_ids()
        )
        if own is None or own[0] != asked.env_id:
            return asked.env_id, asked.settings
    if own is None:
        raise UsageError(
            f"{checkpoint.path} does not say what it was trained on; name it with --env, as in --env pendulum"
        )
    env_id, settings = own
    _check_harmless(request, checkpoint, env_id, settings)
    return own


def _own_environment(checkpoint: Checkpoint) -> tuple[str, Settings] | None:
    if checkpoint.config is None:
        return None
    source = f"config.yml in {checkpoint.path}"
    document = parse_yaml(checkpoint.config, source)
    entries = {key: value for key, value in document.items() if key != RUN_KEY} if isinstance(document, dict) else {}
    if len(entries) != 1 or not all(isinstance(value, dict) for value in entries.values()):
        raise UsageError(f"{source} names no single environment; name it with --env")
    ((env_id, entry),) = entries.items()
    return str(env_id), validate(entry, source)


def _check_harmless(request: EvaluateRequest, checkpoint: Checkpoint, env_id: str, settings: Settings) -> None:
    """Refuse to import a module only because a checkpoint names it."""
    names = [spec.name for spec in (*settings.env_wrapper, *settings.vec_env_wrapper)]
    # "module:Env-v0" imports its module, and Gymnasium's bridges to old Gym import what their arguments say.
    imports = ":" in env_id or env_id.startswith(("GymV21", "GymV26"))
    names += [env_id.replace(":", ".")] if imports and request.env is None else []
    for name in names:
        named = any(name.startswith(f"{module}.") for module in request.imports)
        harmless = name.startswith(_HARMLESS) and not name.endswith(_WRITES_FILES)
        if not named and not harmless:
            module = name.rpartition(".")[0] or name
            raise UsageError(
                f"{checkpoint.path} wants to import {module}, which could run anything; "
                f"if you trust it, add --import {module}"
            )
