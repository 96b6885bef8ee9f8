"""How long `ddpg train` takes to its first env step and to its first update, and which imports take how much of it.

python benchmarks/startup.py
python benchmarks/startup.py --against ../another-checkout --runs 7
python benchmarks/startup.py -- half_cheetah --video none
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Annotated

import typer
from rich.console import Console
from rich.table import Table

import sb3_ddpg_custom

HERE = Path(__file__).resolve().parent
MOMENTS = {"first_step": "first env step", "first_update": "first update"}


@contextmanager
def training(
    arguments: list[str], *, checkout: Path | None, callback: str, options: tuple[str, ...] = (), errors: IO[str]
) -> Iterator[IO[str]]:
    """Run `ddpg train` as a process; give its standard output; kill it at the end.

    :param arguments: of `ddpg train`
    :param checkout: whose package to run, None for the one that Python finds here
    :param callback: what tells how it goes, as a setting
    :param options: for Python
    :param errors: where its standard error goes
    """
    package = checkout or Path(sb3_ddpg_custom.__file__).parent.parent
    folders = [str(package.resolve()), str(HERE), os.environ.get("PYTHONPATH", "")]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, *options, "-m", "sb3_ddpg_custom.cli", "train", *arguments]
        command += ["--seed", "0", "--out", out, "--quiet", "--set", f"callback={callback}"]
        with subprocess.Popen(
            command,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            cwd=out,  # python -m prefers the package of the folder that it runs in
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, folders))},
        ) as process:
            assert process.stdout is not None
            try:
                yield process.stdout
            finally:
                process.kill()


def measure(arguments: list[str], checkout: Path | None = None) -> dict[str, float]:
    """Measure once: seconds from the start of the process to each moment."""
    began = time.time()
    moments: dict[str, float] = {}
    with (
        tempfile.TemporaryFile("w+") as errors,
        training(arguments, checkout=checkout, callback="marks.Beginning", errors=errors) as lines,
    ):
        while len(moments) < len(MOMENTS):
            line = lines.readline()
            if not line:
                errors.seek(0)
                sys.exit(f"startup: the training ended before its first update\n{errors.read()}")
            moments.update(json.loads(line))
    return {name: moment - began for name, moment in moments.items()}


def imports(arguments: list[str]) -> dict[str, tuple[int, float]]:
    """Sum up what Python's `-X importtime` reports until the first env step.

    :return: number of modules and seconds of each package, without what it imports from others; largest first
    """
    with tempfile.TemporaryFile("w+") as errors:
        options = ("-X", "importtime")
        with training(arguments, checkout=None, callback="marks.Beginning", options=options, errors=errors) as lines:
            lines.readline()
        errors.seek(0)
        modules: dict[str, int] = defaultdict(int)
        seconds: dict[str, float] = defaultdict(float)
        for line in errors:
            own, _, name = line.removeprefix("import time:").rpartition("|")
            own = own.partition("|")[0].strip()
            if own.isdecimal():  # not the headline, and nothing that a library says
                package = name.strip().partition(".")[0]
                modules[package] += 1
                seconds[package] += int(own) / 1e6
    return {name: (modules[name], seconds[name]) for name in sorted(seconds, key=seconds.__getitem__, reverse=True)}


def main(
    arguments: Annotated[list[str] | None, typer.Argument(help="Of `ddpg train`; default: pendulum.")] = None,
    runs: Annotated[int, typer.Option(min=1, help="Measurements, of which the median is shown.")] = 5,
    against: Annotated[Path | None, typer.Option(help="Measure another checkout too, in turns.")] = None,
    largest: Annotated[int, typer.Option(min=0, help="Packages to list.")] = 15,
) -> None:
    """Measure the start of a training."""
    console = Console(highlight=False)
    arguments = arguments or ["pendulum"]
    measured: dict[str, list[dict[str, float]]] = {"here": [], **({"there": []} if against else {})}
    for _ in range(runs):
        for where, results in measured.items():
            results.append(measure(arguments, against if where == "there" else None))
    medians = {
        where: {name: statistics.median(result[name] for result in results) for name in MOMENTS}
        for where, results in measured.items()
    }
    table = Table(f"ddpg train {' '.join(arguments)}", "seconds", box=None)
    if against:
        table.add_column(f"seconds in {against}")
        table.add_column("ratio")
    for name, words in MOMENTS.items():
        here, *there = (median[name] for median in medians.values())
        table.add_row(f"to the {words}", f"{here:.2f}", *(f"{other:.2f}" for other in there), *_ratios(here, there))
    console.print(table)
    console.print(f"from the start of the process; medians of {runs}")
    if largest:
        shown = Table("imported before the first env step", "modules", "seconds", box=None)
        for package, (modules, seconds) in list(imports(arguments).items())[:largest]:
            shown.add_row(package, f"{modules:,}", f"{seconds:.3f}")
        console.print(shown)
        console.print("by python -X importtime, which itself takes time for every module")


def _ratios(here: float, there: list[float]) -> list[str]:
    return [f"{here / other:.2f}" for other in there]


if __name__ == "__main__":
    typer.run(main)
