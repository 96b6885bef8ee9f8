"""Errors on their way from the process of an env to that of the training: the same sentence arrives."""

import traceback
from dataclasses import dataclass
from typing import Literal

from sb3_ddpg_custom.cli.blame import ToldError, reason
from sb3_ddpg_custom.cli.errors import RunError, UsageError


class ToldOSError(ToldError, OSError):
    """A disk or a device failed in the process of an env."""


class ToldAttributeError(ToldError, AttributeError):
    """An env was asked for an attribute that it does not have."""


# What callers tell apart.
_KINDS: dict[str, type[Exception]] = {
    "usage": UsageError,
    "run": RunError,
    "os": ToldOSError,
    "attribute": ToldAttributeError,
    "other": ToldError,
}


@dataclass(frozen=True)
class Failure:
    """An error as plain data; its class may not exist where it arrives.

    :param kind: what callers tell apart
    :param told: its sentence, with the place in somebody else's code
    :param trace: its traceback, for ``--debug``
    """

    kind: Literal["usage", "run", "os", "attribute", "other"]
    told: str
    trace: str

    @classmethod
    def of(cls, error: Exception) -> "Failure":
        """Describe an error where it happened.

        :param error: anybody's
        """
        trace = "".join(traceback.format_exception(error))
        match error:
            case UsageError():
                return cls("usage", str(error), trace)
            case RunError():
                return cls("run", str(error), trace)
            case OSError():
                return cls("os", reason(error), trace)
            case AttributeError():
                return cls("attribute", reason(error), trace)
        return cls("other", reason(error), trace)

    def as_error(self) -> Exception:
        """Make an error that says the same."""
        error = _KINDS[self.kind](self.told)
        error.add_note(self.trace)
        return error
