"""How fast a training goes of late: not in its first steps, which train nothing, nor with what the machine did then."""

from collections import deque

_LEAST_SECONDS = 30.0
_SHARE = 0.2  # of the time so far: as long as there are evaluations and checkpoints now and then, some are in it


class RecentRate:
    """Steps per second over the last fifth of the time, and half a minute at least.

    >>> rate = RecentRate(seconds=0.0, steps=0)
    >>> rate.of(seconds=10.0, steps=1000)
    100.0
    >>> [rate.of(seconds=float(second), steps=900 + 10 * second) for second in (20, 40)]
    [55.0, 10.0]

    :param seconds: when the training begins, on any clock
    :param steps: made before
    """

    def __init__(self, *, seconds: float, steps: int) -> None:
        self._began = seconds
        self._marks = deque([(seconds, steps)])

    def of(self, *, seconds: float, steps: int) -> float | None:
        """Take note of the steps made so far, and give their rate.

        :param seconds: now, on the same clock
        :param steps: made until now
        :return: None as long as no time has passed
        """
        self._marks.append((seconds, steps))
        begin = seconds - max(_LEAST_SECONDS, _SHARE * (seconds - self._began))
        while self._marks[1][0] <= begin:
            self._marks.popleft()
        first, then = self._marks[0]
        return (steps - then) / (seconds - first) if seconds > first else None
