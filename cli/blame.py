"""What an error in somebody else's code says, and where it happened."""

import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sb3_ddpg_custom.cli.errors import one_line
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.signals import InterruptedBySignal

# Code between an environment and us. Where such a package calls something of somebody else's, that is to blame.
_LIBRARIES = frozenset({"numpy", "torch", "scipy", "yaml", "cloudpickle", "importlib", *sys.stdlib_module_names})
_FRAMEWORKS = frozenset({"sb3_ddpg_custom", "stable_baselines3", "gymnasium"})


class ExitCalledError(Exception):
    """Other people's code called ``sys.exit``, or raised something else that is no ``Exception``."""


class ToldError(Exception):
    """An error of another process; its text is what :func:`reason` said there."""


@contextmanager
def exits_are_errors() -> Iterator[None]:
    """Turn ``sys.exit`` in other people's code, and all that would pass by ``except Exception``, into an error.

    Signals pass: they are the user's.

    :raises ExitCalledError: in its place
    """
    try:
        yield
    except SystemExit as error:
        raise ExitCalledError(f"sys.exit({'' if error.code is None else error.code!r}) was called") from error
    except (Exception, InterruptedBySignal):
        raise
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt) and signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            raise  # Ctrl-C, where Python handles it
        raise ExitCalledError(f"{type(error).__name__} was raised") from error


def reason(error: BaseException) -> str:
    """Say in one line what went wrong and, if it was in code that is neither ours nor a framework's, where.

    :param error: anybody's
    """
    if isinstance(error, ToldError):
        return str(error)
    text, name, place = one_line(error), type(error).__name__, place_of(error)
    if place is not None:
        in_place = place if isinstance(error, ExitCalledError) else f"{name} in {place}"
        return f"{text} ({in_place})" if text else in_place
    # A KeyError's text is a key alone.
    return f"{name}: {text}" if text and isinstance(error, KeyError) else text or name


def kind_and_reason(error: BaseException) -> str:
    """Say what :func:`reason` says, and always of what kind the error is.

    :param error: anybody's
    """
    told, name = reason(error), type(error).__name__
    return told if name in told or isinstance(error, ExitCalledError | ToldError) else f"{name}: {told}"


def place_of(error: BaseException) -> str | None:
    """Name the file and line of somebody else's code in which an error arose.

    :param error: with its traceback
    :return: such as ``my_env.py, line 12``; None where it arose in our own code or in a framework
    """
    if isinstance(error, ExitCalledError) and error.__cause__ is not None:
        error = error.__cause__
    step, found = error.__traceback__, None
    while step is not None:
        package = _package(step.tb_frame)
        if package in _FRAMEWORKS:
            found = None
        elif package not in _LIBRARIES:
            found = f"{shown(Path(step.tb_frame.f_code.co_filename))}, line {step.tb_lineno}"
        step = step.tb_next
    return found


def _package(frame: FrameType) -> str:
    """Name the package that a frame's code belongs to; the environments that a framework ships are nobody's."""
    module = str(frame.f_globals.get("__name__", ""))
    if module.startswith("gymnasium.envs.") and module != "gymnasium.envs.registration":
        return "environment"
    return module.partition(".")[0]
