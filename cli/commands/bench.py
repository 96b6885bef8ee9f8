"""``ddpg bench``."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, cast, get_args

import typer

from sb3_ddpg_custom.cli.errors import RunError, UsageError, one_line, or_nothing
from sb3_ddpg_custom.cli.shared_options import Debug, path_option
from sb3_ddpg_custom.option_values import Precision

if TYPE_CHECKING:
    from sb3_ddpg_custom.cli.bench.measure import BenchResult


def _precision(text: str) -> Precision:
    if text in get_args(Precision):
        return cast(Precision, text)
    raise UsageError(f"--precision {or_nothing(text)} is neither {' nor '.join(get_args(Precision))}")


def bench_command(
    cases: Annotated[
        list[str] | None,
        typer.Option(
            "--case", metavar="C1|C2|C3", help="What to train on; repeatable. Default: all that are installed."
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="Threads that each contender computes with.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that the medians are over.")] = 5,
    segment_seconds: Annotated[
        float,
        typer.Option(help="Time of a contender's env steps in each round, and again of its updates."),
    ] = 1.0,
    precision: Annotated[
        Precision,
        typer.Option(
            parser=_precision, metavar="float32|bfloat16", help="bfloat16 measures our class and the floor in it too."
        ),
    ] = "float32",
    json_file: Annotated[
        Path | None,
        path_option("--json", metavar="FILE", help="Write all figures of all rounds; - prints them, and no table."),
    ] = None,
    debug: Debug = False,  # noqa: ARG001
) -> None:
    """Measure this DDPG's speed and memory beside Stable-Baselines3's, on this machine."""
    if not segment_seconds > 0:
        raise UsageError(f"--segment-seconds is {segment_seconds}; it must be above 0")
    if json_file is not None and json_file.is_dir():
        raise UsageError(f"--json {json_file} is a folder; name a file, or - to print")

    import torch as th

    from sb3_ddpg_custom.cli.bench.cases import CASES, check_cases, how_to_get, is_available
    from sb3_ddpg_custom.cli.bench.measure import measure
    from sb3_ddpg_custom.cli.bench.report import BenchProgress, print_table
    from sb3_ddpg_custom.cli.screen import screen
    from sb3_ddpg_custom.cli.training.blas import remarks_on_blas
    from sb3_ddpg_custom.cli.training.model import remarks_on_precision
    from sb3_ddpg_custom.cli.training.threads import check_threads

    check_threads(threads)
    console = screen(stderr=True)
    chosen = check_cases(cases or [name for name in CASES if is_available(name)])
    if not cases:
        for name in CASES.keys() - chosen:
            console.print(f"left out: {how_to_get(name)}", soft_wrap=True)
    for remark in [*remarks_on_precision(precision, th.device("cpu")), *remarks_on_blas()]:
        console.print(remark, soft_wrap=True)
    with BenchProgress(console) as progress:
        result = measure(
            cases=chosen,
            threads=threads,
            rounds=rounds,
            segment_seconds=segment_seconds,
            precision=precision,
            watch=progress,
        )
    if json_file == Path("-"):
        typer.echo(_to_json(result), nl=False)
        return
    print_table(result, screen())
    if json_file is not None:
        _write(json_file, _to_json(result))


def _to_json(result: "BenchResult") -> str:
    import json
    from dataclasses import asdict

    return json.dumps(asdict(result), indent=2) + "\n"


def _write(path: Path, text: str) -> None:
    from sb3_ddpg_custom.atomic import replacing

    try:
        with replacing(path) as file:
            file.write(text.encode())
    except OSError as error:
        raise RunError(f"--json {path} cannot be written: {one_line(error)}") from error
