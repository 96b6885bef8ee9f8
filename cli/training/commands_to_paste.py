"""Command lines to paste, written from what was asked for."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ddpg_custom.cli.declared_options import command_line
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
from sb3_ddpg_custom.cli.training.options import TrainRequest

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.training.run import TrainResult


def repeating(request: TrainRequest, folder: Path) -> str:
    """Write the command that repeats a run from its own ``config.yml``.

    :param request: what the run was asked for, and what was chosen where nothing was asked
    :param folder: the run's folder
    """
    return command_line("train", _from_own_config(request, folder))


def going_on(request: TrainRequest, result: "TrainResult") -> str:
    """Write the command that goes on from where a signal stopped a run.

    :param request: what the run was asked for
    :param result: how it ended
    """
    left = max(result.total_steps - result.steps, 1)
    return command_line(
        "train", replace(_from_own_config(request, result.folder), start_from=result.checkpoint, steps=left)
    )


def _from_own_config(request: TrainRequest, folder: Path) -> TrainRequest:
    """Let the run's ``config.yml`` say what the options did that shape the networks; the name is taken."""
    return replace(request, config=folder / "config.yml", overrides=(), steps=None, n_envs=None, name=None)


def evaluating(checkpoint: Path, imports: tuple[str, ...]) -> str:
    """Write the command that evaluates a checkpoint.

    :param checkpoint: a run folder or a zip
    :param imports: values of ``--import``
    """
    return command_line("evaluate", EvaluateRequest(checkpoint=checkpoint, imports=imports))
