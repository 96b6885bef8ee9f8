"""The two failures a command reports in one sentence."""


class UsageError(Exception):
    """What the user asked for cannot be done as asked (exit code 2).

    The message is one sentence: what was received, and what to change.
    """


class RunError(Exception):
    """A sound request failed while it ran (exit code 1)."""
