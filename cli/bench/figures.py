"""What a benchmark's raw figures come to: medians, and ratios within a round."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Round:
    """What one contender did in one round; None where it has no such thing.

    :param position: which in the round's order, from 0
    :param steps: env steps taken, one update each
    :param steps_seconds: how long they took
    :param updates: updates made without env steps
    :param updates_seconds: how long they took
    """

    position: int
    steps: int | None
    steps_seconds: float | None
    updates: int | None
    updates_seconds: float | None

    @property
    def seconds_per_step(self) -> float | None:
        """Time of one env step with its update."""
        return self.steps_seconds / self.steps if self.steps and self.steps_seconds else None

    @property
    def seconds_per_update(self) -> float | None:
        """Time of one update."""
        return self.updates_seconds / self.updates if self.updates and self.updates_seconds else None


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median and range of what several rounds gave."""

    median: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Measured:
    """One contender on one case, as its worker gave it.

    :param name: the table's
    :param version: of the package
    :param device: that it computed on
    :param rss_bytes: resident memory after the warm-up
    :param bytes_per_transition: of the replay buffer
    :param rounds: one after the other
    """

    name: str
    version: str | None
    device: str | None
    rss_bytes: int | None
    bytes_per_transition: float | None
    rounds: list[Round]


@dataclass(frozen=True, kw_only=True)
class Figures(Measured):
    """The same with what follows from it; None where it does not apply.

    :param steps_per_second: env steps with one update each, median
    :param update_ms: milliseconds per update, median
    :param times_baseline: how many times the baseline's steps per second, round by round
    :param floor_fraction: time of the floor's products / time of an update, median of the rounds
    """

    steps_per_second: float | None
    update_ms: float | None
    times_baseline: Spread | None
    floor_fraction: float | None


def summarise(contender: Measured, *, baseline: Measured | None, floor: Measured | None) -> Figures:
    """Bring the rounds of a contender to medians.

    Ratios compare what happened in the same round: a machine that is slow for a while is slow for both.

    :param contender: whose figures
    :param baseline: whose steps per second count as 1
    :param floor: whose update is the shortest that can be
    """
    per_step = [one.seconds_per_step for one in contender.rounds]
    per_update = [one.seconds_per_update for one in contender.rounds]
    baseline_steps = [] if baseline is None else [one.seconds_per_step for one in baseline.rounds]
    floor_updates = [] if floor is None else [one.seconds_per_update for one in floor.rounds]
    seconds_per_step, seconds_per_update = spread(per_step), spread(per_update)
    fraction = spread(_ratios(floor_updates, per_update))
    return Figures(
        **vars(contender),
        steps_per_second=None if seconds_per_step is None else 1 / seconds_per_step.median,
        update_ms=None if seconds_per_update is None else 1000 * seconds_per_update.median,
        times_baseline=spread(_ratios(baseline_steps, per_step)),
        floor_fraction=None if fraction is None else fraction.median,
    )


def spread(values: Sequence[float | None]) -> Spread | None:
    """Give median and range of the values that are known.

    :param values: of the rounds
    """
    known = [value for value in values if value is not None]
    if not known:
        return None
    return Spread(median=statistics.median(known), low=min(known), high=max(known))


def _ratios(above: Sequence[float | None], below: Sequence[float | None]) -> list[float]:
    if not above:  # nobody to compare with
        return []
    return [a / b for a, b in zip(above, below, strict=True) if a is not None and b is not None]


def rotated(contenders: Sequence[T], number: int) -> list[T]:
    """Give the order of a round: each begins with another contender.

    :param contenders: in the order of the first round
    :param number: of the round, from 0
    """
    start = number % len(contenders)
    return [*contenders[start:], *contenders[:start]]


def next_count(count: int, seconds: float, target_seconds: float) -> int:
    """Choose how many steps or updates will take about the target time.

    :param count: how many the last segment had
    :param seconds: that it took
    :param target_seconds: that the next one should take
    """
    return max(round(target_seconds * count / seconds), 1) if seconds > 0 else 10 * count
