"""SB3's logger, writing to a tracker, too."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from stable_baselines3.common.logger import KVWriter

from sb3_ddpg_custom.cli.blame import reason
from sb3_ddpg_custom.cli.tracking.trackers import Tracker


class TrackedOutput(KVWriter):
    """Gives a tracker the numbers that SB3's logger writes. A tracker that fails is left alone; the training goes on.

    :param tracker: gets them
    :param note: is told once why the tracker gets no more
    """

    def __init__(self, tracker: Tracker, note: Callable[[str], None]) -> None:
        self._tracker: Tracker | None = tracker
        self._note = note

    def write(self, key_values: Mapping[str, Any], key_excluded: Mapping[str, tuple[str, ...]], step: int = 0) -> None:
        """Write what was logged; see SB3's ``KVWriter``."""
        if self._tracker is None:
            return
        numbers = {
            key: float(value)
            for key, value in key_values.items()
            if isinstance(value, int | float | np.number) and "tensorboard" not in (key_excluded.get(key) or ())
        }
        try:
            self._tracker.log(numbers, step)
        except Exception as error:  # any network, any library
            self._tracker = None
            self._note(f"nothing more is tracked from here on: {reason(error)}")

    def close(self) -> None:
        """Do nothing: whoever began the tracking ends it."""
