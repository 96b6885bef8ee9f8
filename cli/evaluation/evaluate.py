"""Evaluate a checkpoint, as a plain function: ``ddpg evaluate`` without the command line."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from rich.console import Console
from scipy import stats
from stable_baselines3.common.vec_env import VecEnv

from sb3_ddpg_custom.checkpoint import CheckpointError
from sb3_ddpg_custom.cli.blame import exits_are_errors, reason
from sb3_ddpg_custom.cli.environments.drawing import can_render
from sb3_ddpg_custom.cli.environments.fitting import fit_to_env
from sb3_ddpg_custom.cli.environments.q_readout import QReadout
from sb3_ddpg_custom.cli.environments.registry import import_modules
from sb3_ddpg_custom.cli.environments.seeds import evaluation_seeds
from sb3_ddpg_custom.cli.environments.vectorised import evaluation_envs
from sb3_ddpg_custom.cli.errors import RunError, UsageError, one_line
from sb3_ddpg_custom.cli.evaluation.episodes import Episodes, play
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
from sb3_ddpg_custom.cli.evaluation.players import Choose, Player, player_of
from sb3_ddpg_custom.cli.evaluation.what_to_play import environment
from sb3_ddpg_custom.cli.paths import shown, shown_in, tied_to_start
from sb3_ddpg_custom.cli.progress import episode_progress, remark_on_cuts
from sb3_ddpg_custom.wrappers import RenderError, prepare_headless_rendering

_BOUND = 10_000  # steps of an episode without a limit of its own, in a checkpoint that does not say


@dataclass(frozen=True, kw_only=True)
class EvaluateResult:
    """What came out; the names are the keys of ``--json``.

    :param env_id: what was played
    :param checkpoint: whose policy played, or the exported file
    :param episodes: how many
    :param seed: as asked for
    :param mean_return: mean of the undiscounted returns
    :param std_return: their standard deviation (as SB3 reports it: divided by n)
    :param ci95: 95 % bootstrap interval of the mean; None with a single episode
    :param min_return: the worst
    :param max_return: the best
    :param mean_length: env steps per episode
    :param success_rate: share of the episodes whose last info said ``is_success``; None where the env says nothing
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
    success_rate: float | None
    returns: tuple[float, ...]


def evaluate(request: EvaluateRequest, console: Console, *, choose: Choose | None = None) -> EvaluateResult:
    """Play episodes without exploration noise, on start states that no training has seen.

    Nothing in the checkpoint is run: see :mod:`sb3_ddpg_custom.checkpoint.read`.

    :param request: what to do; films go into a folder here
    :param console: for progress
    :param choose: gives the policy, from the request, the checkpoint and the envs; None for the checkpoint's own
    :raises UsageError: if the checkpoint or the env does not serve
    :raises RunError: if the env fails
    """
    request = tied_to_start(request)
    if request.video is None:
        request.look.refuse_without_films("--video DIR")
    if not request.render:
        prepare_headless_rendering()  # some packages choose how to draw when they are imported
    import_modules(request.imports)
    player = player_of(request, console, choose)
    try:
        env_id, settings, trained_bound = environment(request.env, request.imports, player.config, player.path)
        fitted = fit_to_env(env_id, settings)
        if request.video is not None or request.render:
            problem = can_render(env_id, fitted.settings, "human" if request.render else "rgb_array")
            if problem is not None:
                raise UsageError(f"{'--render' if request.render else '--video'}: {problem}; leave it out")
        q_value = QReadout()
        envs = evaluation_envs(
            env_id,
            fitted.settings,
            evaluation_seeds(request.seed, request.episodes),
            n_envs=1 if request.video or request.render else min(request.episodes, 16),
            most_steps=request.max_steps or (trained_bound or _BOUND if fitted.step_limit is None else None),
            video=request.video,
            look=request.look,
            q_value=q_value,
            render=request.render,
            normalize=player.normalize,
        )
    except CheckpointError as error:
        raise UsageError(f"{player.flag}: {shown_in(error, player.path)}") from error
    except OSError as error:
        if request.video is None:
            raise
        raise UsageError(f"--video {shown(request.video)}: {error.strerror or error}") from error
    played = _play(request, player, envs, env_id, console, q_value)
    returns = played.returns
    return EvaluateResult(
        env_id=env_id,
        checkpoint=str(shown(player.path)),
        episodes=request.episodes,
        seed=request.seed,
        mean_return=float(returns.mean()),
        std_return=float(returns.std()),
        ci95=bootstrap_interval(returns),
        min_return=float(returns.min()),
        max_return=float(returns.max()),
        mean_length=float(played.lengths.mean()),
        success_rate=played.success_rate,
        returns=tuple(float(value) for value in returns),
    )


def _play(
    request: EvaluateRequest,
    player: Player,
    envs: VecEnv,
    env_id: str,
    console: Console,
    q_value: QReadout,
) -> Episodes:
    """Play, close the envs, and turn whatever they raise into one sentence."""
    try:
        with exits_are_errors():
            try:
                policy = q_value.playing(player.policy(envs))
                with episode_progress(console, env_id, request.episodes) as on_step:
                    played = play(policy, envs, request.episodes, on_step=on_step)
                remark = remark_on_cuts(envs, "--max-steps")
            finally:
                _close(envs, console)
    except CheckpointError as error:
        raise UsageError(f"{player.flag}: {shown_in(error, player.path)}") from error
    except UsageError:
        raise
    except RenderError as error:
        cause = error.__cause__ or error
        why = one_line(f"{type(cause).__name__}: {cause}")
        flag = "--video" if request.video is not None else "--render"
        raise RunError(f"evaluation stopped: the environment failed to render ({why}); leave out {flag}") from error
    except Exception as error:  # an env may raise anything
        raise RunError(f"evaluation stopped: {reason(error)}") from error
    if remark:
        console.print(remark, soft_wrap=True)
    return played


def _close(envs: VecEnv, console: Console) -> None:
    """Close the envs: what cannot be closed has played all the same, but a film that cannot be written is missed."""
    try:
        with exits_are_errors():
            envs.close()
    except OSError:
        raise
    except Exception as error:  # an env may raise anything
        console.print(f"the environment could not be closed: {reason(error)}", soft_wrap=True)


def bootstrap_interval(values: "np.ndarray[Any, Any] | Sequence[float]") -> tuple[float, float] | None:
    """Give the 95 % percentile bootstrap interval of the mean, the same at each call; None for a single value."""
    if len(values) < 2:
        return None
    interval = stats.bootstrap(
        (values,), np.mean, n_resamples=9999, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    return float(interval.low), float(interval.high)
