"""What an error in somebody else's code says, and where it happened."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

from sb3_ddpg_custom.cli.errors import one_line
from sb3_ddpg_custom.cli.paths import shown

# Code between an environment and us. Where such a package calls something of somebody else's, that is to blame.
_LIBRARIES = frozenset({"numpy", "torch", "scipy", "yaml", "importlib", *sys.stdlib_module_names})
_FRAMEWORKS = frozenset({"sb3_ddpg_custom", "stable_baselines3", "gymnasium"})


class ExitCalledError(Exception):
    """An environment, a wrapper or a callback called ``sys.exit``."""


@contextmanager
def exits_are_errors() -> Iterator[None]:
    """Turn ``sys.exit`` in other people's code into an error like any other.

    :raises ExitCalledError: in its place
    """
    try:
        yield
    except SystemExit as error:
        raise ExitCalledError(f"sys.exit({'' if error.code is None else error.code!r}) was called") from error


def reason(error: BaseException) -> str:
    """Say in one line what went wrong and, if it was in code that is neither ours nor a framework's, where.

    :param error: anybody's
    """
    origin = error.__cause__ if isinstance(error, ExitCalledError) and error.__cause__ is not None else error
    text, name, place = one_line(error), type(error).__name__, place_of(origin)
    if place is None:
        # A KeyError's text is a key alone.
        return f"{name}: {text}" if isinstance(error, KeyError) else text or name
    return f"{text} ({place})" if isinstance(error, ExitCalledError) else f"{text or name} ({name} in {place})"


def place_of(error: BaseException) -> str | None:
    """Name the file and line of somebody else's code in which an error arose.

    :param error: with its traceback
    :return: such as ``my_env.py, line 12``; None where it arose in our own code or in a framework
    """
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
