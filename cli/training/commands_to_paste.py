"""Command lines to paste, written from what was asked for."""

from pathlib import Path

from sb3_ddpg_custom.cli.declared_options import command_line
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
from sb3_ddpg_custom.cli.training.options import ResumeRequest, TrainRequest


def repeating(request: TrainRequest, folder: Path) -> str:
    """Write the command that repeats a run from its own ``config.yml``.

    :param request: what the run was asked for, and what was chosen where nothing was asked
    :param folder: the run's folder
    """
    # Its config.yml says what the options did that shape the networks; the name is taken.
    own = request.settled(config=folder / "config.yml", steps=None, n_envs=None, name=None)
    return command_line("train", own)


def going_on(folder: Path, imports: tuple[str, ...]) -> str:
    """Write the command that goes on with a run.

    :param folder: the run's
    :param imports: values of ``--import``
    """
    return command_line("resume", ResumeRequest(run=folder, imports=imports))


def evaluating(checkpoint: Path, imports: tuple[str, ...]) -> str:
    """Write the command that evaluates a checkpoint.

    :param checkpoint: a run folder or a zip
    :param imports: values of ``--import``
    """
    return command_line("evaluate", EvaluateRequest(checkpoint=checkpoint, imports=imports))
