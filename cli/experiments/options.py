"""The options of many runs, each declared once, as part of ``ddpg train`` and of ``ddpg study``."""

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, or_nothing
from sb3_ddpg_custom.cli.shared_options import IMPORT, Device, Out, ThreadsOfEach, read_path
from sb3_ddpg_custom.cli.training.options import TrainRequest

_MOST_SEEDS = 10_000
_ENGINES = ("local", "ray", "slurm", "slurm:local")


def read_seeds(text: str) -> tuple[int, ...]:
    """Read seeds such as ``0-9`` or ``0,3,5-7``.

    >>> read_seeds("0,5-7")
    (0, 5, 6, 7)

    :param text: as it was written
    :raises UsageError: if they are no seeds, too many, or there twice
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        last = last if dash else first
        if not all(word.isascii() and word.isdecimal() and len(word) < 12 for word in (first, last)):
            raise UsageError(f"--seeds {or_nothing(text)} is no list of seeds; write such as 0-9 or 0,3,5-7")
        if int(last) < int(first):
            raise UsageError(f"--seeds {text}: {part.strip()} counts downwards; write {last}-{first}")
        if len(seeds) + int(last) - int(first) >= _MOST_SEEDS:
            raise UsageError(f"--seeds {text} are more than {_MOST_SEEDS:,}; split them into several studies")
        seeds += range(int(first), int(last) + 1)
    if len(set(seeds)) < len(seeds):
        raise UsageError(f"--seeds {text} names a seed twice")
    return tuple(seeds)


def _seeds(text: str) -> str:
    read_seeds(text)
    return text


def _jobs(text: str) -> int | Literal["auto"]:
    if text == "auto":
        return "auto"
    if text.isascii() and text.isdecimal() and 1 <= int(text) <= _MOST_SEEDS:
        return int(text)
    raise UsageError(f"--jobs {or_nothing(text)} is neither auto nor a whole number of at least 1")


def _engine(text: str) -> str:
    if text in _ENGINES or (text.startswith("ray:") and text != "ray:"):
        return text
    raise UsageError(
        f"--on {text} is no place to compute{did_you_mean(text, _ENGINES) or '; there are'} local, ray, ray:ADDRESS, "
        "slurm and slurm:local"
    )


@dataclass(frozen=True, kw_only=True)
class PoolRequest:
    """Where and how many runs are computed at once. Each field's help says what it is."""

    jobs: Annotated[
        int | Literal["auto"],
        typer.Option(
            parser=_jobs,
            metavar="auto|N",
            help="Runs at once, each on one core unless --threads says more; auto: one per core.",
        ),
    ] = "auto"
    on: Annotated[
        str,
        typer.Option(
            parser=_engine,
            metavar="local|ray[:ADDRESS]|slurm",
            help="Where: processes here, a Ray cluster (by its address, or one started here), or Slurm.",
        ),
    ] = "local"
    slurm: Annotated[
        tuple[str, ...],
        typer.Option(metavar="KEY=VALUE", help="Slurm's wishes, such as partition=gpu or time=120; repeatable."),
    ] = ()
    retry: Annotated[
        int, typer.Option(min=0, max=100, help="Go on so many times with a run that failed, from its last checkpoint.")
    ] = 0
    json: Annotated[bool, typer.Option("--json", help="Print how each run ended as JSON.")] = False


@dataclass(frozen=True, kw_only=True)
class SeedsRequest:
    """What makes many runs of ``ddpg train``. Each field's help says what it is."""

    more: Annotated[
        tuple[str, ...], typer.Argument(metavar="[ENV]...", help="More environments, with --seeds.", show_default=False)
    ] = ()
    seeds: Annotated[
        str | None,
        typer.Option(
            parser=_seeds, metavar="0-9", help="A run for each of these seeds, such as 0-9 or 0,3,5-7; see --jobs."
        ),
    ] = None
    compare: Annotated[
        tuple[str, ...],
        typer.Option(
            metavar="SETTING...",
            help="Runs with each of several settings: files, KEY=VALUE, presets, or default; with --seeds.",
        ),
    ] = ()


@dataclass(frozen=True, kw_only=True)
class StudyRequest:
    """What ``ddpg study`` was asked for. Each field's help says what it is."""

    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", parser=partial(read_path, "FILE"), help="YAML file: environments, settings and seeds."
        ),
    ]
    out: Out = Path("runs")
    device: Device = "auto"
    threads: ThreadsOfEach = None
    imports: Annotated[tuple[str, ...], IMPORT] = ()


def asks_for_many(request: TrainRequest, many: SeedsRequest, pool: PoolRequest) -> bool:
    """Say whether ``ddpg train`` is asked for many runs.

    :param request: the training's options
    :param many: which runs
    :param pool: where
    :raises UsageError: if an option of many runs is there without ``--seeds``, or one of a single run with it
    """
    given = [
        f"--{field.name}"
        for options in (many, pool)
        for field in fields(options)
        if getattr(options, field.name) != field.default
    ]
    if many.seeds is None:
        if many.more:
            raise UsageError(f"{many.more[0]} is a second environment, and several need --seeds, such as --seeds 0-4")
        if given:
            raise UsageError(f"{given[0]} is for many runs; add --seeds, such as --seeds 0-4")
        return False
    if request.seed is not None:
        raise UsageError(f"--seed {request.seed} and --seeds {many.seeds} are both there; leave one of them out")
    if request.render:
        raise UsageError("--render shows one run in a window; leave it out, or leave out --seeds")
    return True
