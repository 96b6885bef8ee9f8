"""The two failures a command reports in one sentence."""


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
