"""Which trackers there are."""

from typing import Literal, get_args

from sb3_ddpg_custom.cli.errors import UsageError

TrackerName = Literal["wandb", "mlflow", "trackio"]


def read_tracker(text: str) -> TrackerName:
    """Read the value of ``--track``.

    :param text: as it was written
    :raises UsageError: if it is another word
    """
    for name in get_args(TrackerName):
        if text == name:
            known: TrackerName = name
            return known
    raise UsageError(f"--track {text} is none of {', '.join(get_args(TrackerName))}")
