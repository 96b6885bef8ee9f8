"""The files by which a run is known."""

from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml, read_text
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown

EVALUATIONS = "evaluations.npz"
STATISTICS = "rewards.npz"
CONFIG = "config.yml"
MONITOR_ENDING = "monitor.csv"
#: of ``config.yml``; also in cli.config.resolve, which writes it and takes a second to import
RUN_KEY = "run"


def own_config(folder: Path) -> dict[Any, Any] | None:
    """Read the ``config.yml`` of a run of ours.

    :param folder: any
    :return: None if it is none of ours
    """
    path = folder / CONFIG
    if not path.is_file():
        return None
    try:
        document = parse_yaml(read_text(path), str(shown(path)))
    except UsageError:
        return None
    return document if isinstance(document, dict) and isinstance(document.get(RUN_KEY), dict) else None
