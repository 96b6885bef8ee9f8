"""One case of a benchmark: contenders take turns, so that all meet the same machine."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

from sb3_ddpg_custom.cli.bench.figures import Figures, Measured, Round, next_count, rotated, summarise
from sb3_ddpg_custom.cli.bench.process import Worker
from sb3_ddpg_custom.cli.errors import RunError

BASELINE = "SB3"
FLOOR = "floor"
IN_BFLOAT16 = ", bfloat16"
NOT_COMPILED = "ours, not compiled"  # where Numba is installed, and "ours" is compiled
_FIRST_COUNT = 20  # steps and updates of the first, shortest segment


def compare(
    case: str,
    commands: Mapping[str, Sequence[str]],
    *,
    threads: int,
    rounds: int,
    segment_seconds: float,
    tell: Callable[[str], None],
) -> list[Figures]:
    """Measure contenders in turns; a first round, of which nothing is kept, warms up.

    :param case: appended to each command line
    :param commands: contender -> command line of its worker
    :param threads: that each may compute with
    :param rounds: beside the first
    :param segment_seconds: how long a turn's env steps should take, and again its updates
    :param tell: told what comes next: the start of the workers, and each turn by the contender's name
    :raises RunError: if a worker dies
    """
    with ExitStack() as stack:
        tell("starting")
        workers = [
            stack.enter_context(Worker(name, command, case, threads=threads)) for name, command in commands.items()
        ]
        turns = [_Turns(worker, worker.answer(), segment_seconds) for worker in workers]
        for one in turns:
            one.calibrate()
        for number in range(-1, rounds):
            for position, one in enumerate(rotated(turns, max(number, 0))):
                tell(one.worker.name)
                one.take(position, keep=number >= 0)
        measured = {one.worker.name: one.measured() for one in turns}
    return [
        summarise(one, baseline=measured.get(BASELINE), floor=_floor_of(name, measured))
        for name, one in measured.items()
    ]


def _floor_of(name: str, measured: Mapping[str, Measured]) -> Measured | None:
    """Find the floor in a contender's own precision."""
    return measured.get(FLOOR + IN_BFLOAT16 if name.endswith(IN_BFLOAT16) else FLOOR)


class _Turns:
    """The turns of one worker.

    :param worker: started
    :param ready: its first answer
    :param segment_seconds: how long a turn's env steps should take, and again its updates
    """

    def __init__(self, worker: Worker, ready: dict[str, Any], segment_seconds: float) -> None:
        self.worker = worker
        self.ready = ready
        self.segment_seconds = segment_seconds
        self.counts = {"steps": _FIRST_COUNT, "updates": _FIRST_COUNT}
        self.rounds: list[Round] = []
        self.memory: dict[str, Any] = {}

    def calibrate(self) -> None:
        """Find out how fast the worker is, and what memory it takes while all have stored about as much."""
        for kind in self.counts:
            self._segment(kind)
        self.memory = self.worker.ask("memory")

    def take(self, position: int, *, keep: bool) -> None:
        """Take env steps, then make updates.

        :param position: in the round, from 0
        :param keep: whether the figures count
        """
        (steps, steps_seconds), (updates, updates_seconds) = self._segment("steps"), self._segment("updates")
        if keep:
            self.rounds.append(
                Round(
                    position=position,
                    steps=steps,
                    steps_seconds=steps_seconds,
                    updates=updates,
                    updates_seconds=updates_seconds,
                )
            )

    def _segment(self, kind: str) -> tuple[int | None, float | None]:
        asked = self.counts[kind]
        answer = self.worker.ask(f"{kind} {asked}")
        seconds = answer.get("seconds")
        if seconds is None:
            return None, None
        try:
            count, seconds = int(answer.get(kind, asked)), float(seconds)
        except (TypeError, ValueError) as error:
            raise RunError(f"the worker of {self.worker.name!r} answered {answer} to '{kind} {asked}'") from error
        self.counts[kind] = next_count(count, seconds, self.segment_seconds)
        return count, seconds

    def measured(self) -> Measured:
        """Collect what was found out."""
        return Measured(
            name=self.worker.name,
            version=self.ready.get("version"),
            device=self.ready.get("device"),
            rss_bytes=self.memory.get("rss_bytes"),
            bytes_per_transition=self.memory.get("bytes_per_transition"),
            rounds=self.rounds,
        )
