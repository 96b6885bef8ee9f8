"""Measuring contenders side by side: each in a process of its own, in turns, on the same machine."""

import itertools
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from sb3_ddpg_custom import __version__
from sb3_ddpg_custom.cli.bench.cases import CASES, check_cases
from sb3_ddpg_custom.cli.bench.figures import Figures
from sb3_ddpg_custom.cli.bench.process import own_command
from sb3_ddpg_custom.cli.bench.rounds import BASELINE, FLOOR, IN_BFLOAT16, NOT_COMPILED, compare
from sb3_ddpg_custom.option_values import Precision
from sb3_ddpg_custom.updates import why_no_numba

Watch = Callable[[str, str, int, int], None]


@dataclass(frozen=True, kw_only=True)
class CaseResult:
    """One case.

    :param name: such as C1
    :param description: environment, batch size, net
    :param contenders: their figures, in the table's order
    """

    name: str
    description: str
    contenders: list[Figures]


@dataclass(frozen=True, kw_only=True)
class BenchResult:
    """A whole benchmark.

    :param machine: processor, system and versions
    :param threads: that each contender computed with
    :param rounds: that the medians are over
    :param segment_seconds: that each contender was meant to take in each round for its steps, and again for its updates
    :param cases: one after the other
    """

    machine: dict[str, Any]
    threads: int
    rounds: int
    segment_seconds: float
    cases: list[CaseResult]


def measure(
    *,
    cases: Sequence[str],
    threads: int = 1,
    rounds: int = 5,
    extra: Mapping[str, Sequence[str]] | None = None,
    segment_seconds: float = 1.0,
    precision: Precision = "float32",
    watch: Watch | None = None,
) -> BenchResult:
    """Measure this package's DDPG, SB3's and the arithmetic floor, and whom else the caller brings.

    >>> measure(cases=["C1"], extra={"somebody": ["python", "their_worker.py"]})  # doctest: +SKIP

    :param cases: names, see ``CASES``
    :param threads: that each contender may compute with
    :param rounds: in each of which every contender has its turn; the order changes from round to round
    :param extra: further contenders: name -> command line of a worker, which gets the case's name as its last argument
        and speaks the language of ``bench_worker``
    :param segment_seconds: how long a turn's env steps should take, and again its updates
    :param precision: ``"bfloat16"`` measures this package's DDPG and the floor in bfloat16 too
    :param watch: told before each turn: case, contender, turns done and turns in all
    :raises UsageError: if a case does not exist, or lacks a package
    :raises RunError: if a worker dies
    """
    commands = {name: own_command(name) for name in _own_contenders(precision)}
    taken = commands.keys() & (extra or {}).keys()
    if taken:
        raise ValueError(f"extra: the name {min(taken)!r} is taken; choose another one")
    commands |= {name: list(command) for name, command in (extra or {}).items()}
    names = check_cases(cases)
    total = len(names) * (1 + (rounds + 1) * len(commands))
    turns = itertools.count()

    def tell(case: str, contender: str) -> None:
        if watch is not None:
            watch(case, contender, next(turns), total)

    results = [
        CaseResult(
            name=name,
            description=str(CASES[name]),
            contenders=compare(
                name,
                commands,
                threads=threads,
                rounds=rounds,
                segment_seconds=segment_seconds,
                tell=partial(tell, name),
            ),
        )
        for name in names
    ]
    return BenchResult(
        machine=_machine(), threads=threads, rounds=rounds, segment_seconds=segment_seconds, cases=results
    )


def _own_contenders(precision: Precision) -> list[str]:
    ours = ["ours", NOT_COMPILED] if why_no_numba() is None else ["ours"]
    if precision == "float32":
        return [*ours, BASELINE, FLOOR]
    return [*ours, f"ours{IN_BFLOAT16}", BASELINE, FLOOR, f"{FLOOR}{IN_BFLOAT16}"]


def _machine() -> dict[str, Any]:
    return {
        "processor": _processor(),
        "cpus": os.cpu_count(),
        "system": platform.platform(terse=True),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "stable-baselines3")},
        **({"numba": version("numba")} if why_no_numba() is None else {}),
        "sb3-ddpg-custom": __version__,
    }


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    lines: Iterable[str] = info.read_text().splitlines() if info.exists() else []
    models = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(models, platform.processor() or platform.machine())
