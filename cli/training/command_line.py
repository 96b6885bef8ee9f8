"""Command lines to paste, written from what was asked for."""

import shlex
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ddpg_custom.cli.options import import_flags
from sb3_ddpg_custom.cli.paths import shown

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.training.prepare import TrainRequest
    from sb3_ddpg_custom.cli.training.run import TrainResult


def train_command_line(request: "TrainRequest") -> str:
    """Write the ``ddpg train`` command that makes a request; what it leaves to the defaults is left out.

    :param request: what was asked for
    """
    words = ["ddpg", "train", request.env]
    for flag, value in (
        ("--config", request.config),
        ("--steps", request.steps),
        ("--seed", request.seed),
        *(("--set", override) for override in request.overrides),
        ("--out", request.out),
        ("--name", request.name),
        ("--device", request.device if request.device != "auto" else None),
        ("--threads", request.threads),
        ("--n-envs", request.n_envs),
        ("--eval-every", request.eval_every),
        ("--eval-episodes", request.eval_episodes),
        ("--eval-max-steps", request.eval_max_steps),
        ("--video", request.video),
        ("--from", request.start_from),
    ):
        if value is not None:
            words += [flag, str(shown(value) if isinstance(value, Path) else value)]
    words += ["--render"] if request.render else []
    return shlex.join([*words, *import_flags(request.imports)])


def repeating(request: "TrainRequest", *, env_id: str, folder: Path, seed: int, eval_every: int) -> str:
    """Write the command that repeats a run from its own ``config.yml``.

    :param request: what the run was asked for
    :param env_id: the Gymnasium id
    :param folder: the run's folder
    :param seed: that was drawn, if none was asked for
    :param eval_every: that was chosen, if none was asked for
    """
    own = _from_own_config(request, folder)
    return train_command_line(replace(own, env=env_id, seed=seed, eval_every=eval_every))


def going_on(request: "TrainRequest", result: "TrainResult") -> str:
    """Write the command that goes on from where a signal stopped a run.

    :param request: what the run was asked for
    :param result: how it ended
    """
    left = max(result.total_steps - result.steps, 1)
    return train_command_line(
        replace(_from_own_config(request, result.folder), start_from=result.checkpoint, steps=left)
    )


def _from_own_config(request: "TrainRequest", folder: Path) -> "TrainRequest":
    """Let the run's ``config.yml`` say what the options did that shape the networks; the name is taken."""
    return replace(request, config=folder / "config.yml", overrides=(), steps=None, n_envs=None, name=None)


def evaluating(checkpoint: Path, imports: Sequence[str]) -> str:
    """Write the command that evaluates a checkpoint.

    :param checkpoint: a run folder or a zip
    :param imports: values of ``--import``
    """
    return shlex.join(["ddpg", "evaluate", "--checkpoint", str(shown(checkpoint)), *import_flags(imports)])
