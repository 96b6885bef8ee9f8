"""How a command or one of its processes ends: an exit code, and a sentence."""

import errno
from collections.abc import Callable
from typing import NamedTuple

from sb3_ddpg_custom.cli.errors import RunError, UsageError, one_line
from sb3_ddpg_custom.cli.signals import InterruptedBySignal, ending_signals_raise

_FULL = (errno.ENOSPC, errno.EDQUOT)


class Ending(NamedTuple):
    """How it ended.

    :param code: 0; 2 for a request that cannot be met, 1 for a failure on the way, and 128 and the signal's number
        where a signal ended it
    :param sentence: what there is to say; None where all is well
    :param error: that was raised
    """

    code: int
    sentence: str | None = None
    error: BaseException | None = None


def ended(work: Callable[[], object]) -> Ending:
    """Do something, and tell how it ended; what exits by itself does so.

    :param work: a command's function
    """
    try:
        with ending_signals_raise():
            work()
    except UsageError as error:
        return Ending(2, str(error), error)
    except RunError as error:
        return Ending(1, str(error), error)
    except InterruptedBySignal as error:
        return Ending(128 + error.signal, f"interrupted by {error.signal.name}", error)
    except Exception as error:
        if isinstance(error, OSError) and error.errno in _FULL:
            from sb3_ddpg_custom.cli.screen import discard_standard_output

            discard_standard_output()
            return Ending(1, f"{error.strerror}: the disk, or whatever the output goes to, is full", error)
        what = f"unexpected {type(error).__name__}: {one_line(error)}; --debug shows where it happened"
        return Ending(1, what, error)
    return Ending(0)
