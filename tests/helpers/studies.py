"""What the tests of many runs share."""

import time
from collections.abc import Callable
from pathlib import Path

from conftest import SMALL

from sb3_ddpg_custom.cli.experiments.plan import name_of_setting
from sb3_ddpg_custom.cli.status import read_status

#: options of a run that takes a second
SHORT = ("--steps", 300, "--eval-episodes", 2, "--eval-every", 150, "--eval-max-steps", 20, *SMALL)
#: the folder of runs with :data:`conftest.SMALL`
SETTING = name_of_setting(None, [word.removeprefix("--set=") for word in SMALL])


def steps_of(run: Path) -> int:
    """Tell how far a run is, 0 before it begins."""
    status = read_status(run)
    return 0 if status is None else status.step


def wait_until(is_so: Callable[[], bool], seconds: float = 90) -> None:
    """Wait for something, and fail where it does not come."""
    until = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < until, "it did not come"
        time.sleep(0.02)
