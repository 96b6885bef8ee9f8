"""The two failures a command reports in one sentence, and what such sentences are made of."""

import difflib
import reprlib
from collections.abc import Iterable


class UsageError(Exception):
    """What the user asked for cannot be done as asked (exit code 2).

    The message is one sentence: what was received, and what to change.
    """


class RunError(Exception):
    """A sound request failed while it ran (exit code 1)."""


def one_line(error: object) -> str:
    """Bring what an error says into one line of at most 300 characters, without a full stop.

    :param error: anybody's
    """
    try:
        text = str(error)
    except Exception:  # somebody's __str__
        return ""
    return " ".join(text.split())[:300].rstrip(".")


def or_nothing(text: str) -> str:
    """Show what an option was given in a sentence, an empty text as well.

    :param text: as it was written
    """
    return text or "(nothing)"


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """Suggest a correction.

    :param word: what was received
    :param choices: what would have been right
    :return: ``"; did you mean '...'?"``, or nothing where no choice is close
    """
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(str(word)[:100].lower(), by_lower, n=1)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


class _Shorten(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        repr(x)  # 3.13.6 and later describe an integer too large to write out, by its address; earlier ones raise
        return super().repr_int(x, level)


def received(value: object) -> str:
    """Show a value in an error message.

    :param value: anything
    :return: its representation, on one line and shortened
    """
    shorten = _Shorten()
    shorten.maxlevel = 2
    shorten.maxstring = shorten.maxother = 60
    try:
        text = shorten.repr(value)
    except ValueError:  # Python refuses to write out an integer of thousands of digits
        return "too large a number"
    return text if len(text) <= 120 else f"{text[:117]}..."
