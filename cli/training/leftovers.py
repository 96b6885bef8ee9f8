"""What killed trainings leave behind: half-written files, which nobody will finish."""

from contextlib import suppress
from pathlib import Path

from sb3_ddpg_custom.checkpoint import remove_partials
from sb3_ddpg_custom.cli.run_folder import STATE
from sb3_ddpg_custom.cli.training.run_files import remove_abandoned_run_lock
from sb3_ddpg_custom.wrappers.episode_log import remove_abandoned_lock
from sb3_ddpg_custom.wrappers.video_file import remove_abandoned


def remove_leftovers(runs: Path) -> None:
    """Delete the half-written files in an environment's run folders; those of live processes stay.

    :param runs: the folder of the run folders
    """
    with suppress(OSError):
        for run in runs.iterdir():
            remove_leftovers_of(run)


def remove_leftovers_of(run: Path) -> None:
    """Delete the half-written files in one run folder.

    :param run: the folder
    """
    with suppress(OSError):
        if run.is_dir():
            remove_partials(run)
            remove_partials(run / "checkpoints")
            remove_partials(run / STATE)
            remove_abandoned_run_lock(run)
            remove_abandoned_lock(run / "rewards.npz")
            if (run / "videos").is_dir():
                remove_abandoned(run / "videos")
