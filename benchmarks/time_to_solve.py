"""How long from starting a program to a policy that solves Pendulum: `ddpg train pendulum` beside SB3's DDPG.

python benchmarks/time_to_solve.py --json solved.json

Solved means that 20 episodes without exploration, the same ones each time, return at least -200 on average. That is
looked at every 250 env steps, in all rows alike, and the time it takes is not counted. What `ddpg train` does by itself
is counted: its evaluations, checkpoints, TensorBoard files and, unless the row says otherwise, videos of episodes 0, 1
and 8. SB3's rows do nothing but train. Every training is a process of its own with one thread.
"""

import json
import math
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

import sb3_ddpg_custom
from sb3_ddpg_custom.cli.config.resolve import resolve
from sb3_ddpg_custom.cli.config.settings import Settings

HERE = Path(__file__).resolve().parent
ENV_ID = "Pendulum-v1"
# rl-baselines3-zoo's settings for DDPG on Pendulum-v1
ZOO_STEPS, ZOO_NOISE = 20_000, 0.1
ZOO = {
    "learning_rate": 1e-3,
    "buffer_size": 200_000,
    "learning_starts": 10_000,
    "batch_size": 256,
    "gamma": 0.98,
    "train_freq": 1,
    "gradient_steps": 1,
    "policy_kwargs": {"net_arch": [400, 300]},
}
SHARED = (
    "learning_rate",
    "buffer_size",
    "learning_starts",
    "batch_size",
    "tau",
    "gamma",
    "train_freq",
    "gradient_steps",
)


@dataclass(frozen=True)
class Solved:
    """How one training went.

    :param row: of the table
    :param seed: of the training
    :param seconds: from the start of the process, without the evaluations; None if it was not solved
    :param cpu_seconds: the processor's, also without the evaluations; None if it was not solved
    :param steps: env steps; None if it was not solved
    :param best_return: the best evaluation
    """

    row: str
    seed: int
    seconds: float | None
    cpu_seconds: float | None
    steps: int | None
    best_return: float


def commands(seed: int, every: int, limit: int | None, out: str) -> dict[str, list[str]]:
    """List the command of each row.

    :param seed: of the training
    :param every: env steps between evaluations
    :param limit: env steps after which a training ends, None for its settings'
    :param out: folder for what the trainings write
    """
    settings = resolve("pendulum", config=None, overrides=(), steps=limit, n_envs=None, registered_ids=()).settings
    callback = f"callback=[{{marks.Evaluations: {{env_id: {ENV_ID}, every_steps: {every}}}}}]"
    ddpg = [sys.executable, "-m", "sb3_ddpg_custom.cli", "train", "pendulum", "--quiet", "--out", out]
    ddpg += ["--seed", str(seed), "--set", callback, *(["--steps", str(limit)] if limit else [])]

    def sb3(steps: int, noise_std: Any, model: dict[str, Any]) -> list[str]:
        wanted = {"env_id": ENV_ID, "steps": steps, "every": every, "noise_std": noise_std}
        return [sys.executable, str(HERE / "sb3_training.py"), json.dumps({**wanted, "model": {**model, "seed": seed}})]

    return {
        "ddpg train pendulum": ddpg,
        "ddpg train pendulum --video none": [*ddpg, "--video", "none"],
        "SB3's DDPG, the same settings": sb3(settings.n_timesteps, settings.noise_std, _for_sb3(settings)),
        "SB3's DDPG, the zoo's settings": sb3(limit or ZOO_STEPS, ZOO_NOISE, ZOO),
    }


def _for_sb3(settings: Settings) -> dict[str, Any]:
    return {**{name: getattr(settings, name) for name in SHARED}, "policy_kwargs": dict(settings.policy_kwargs)}


def run(row: str, seed: int, command: Sequence[str], threshold: float) -> Solved:
    """Train until an evaluation reaches a return, or to the end.

    :param row: of the table
    :param seed: of the training
    :param command: prints what :class:`marks.Evaluations` prints
    :param threshold: mean return that counts as solved
    """
    package = Path(sb3_ddpg_custom.__file__).parent.parent
    variables = {
        "PYTHONPATH": os.pathsep.join([str(package), str(HERE)]),
        "OMP_NUM_THREADS": "1",
        "MKL_NUM_THREADS": "1",
    }
    best = -float("inf")
    with tempfile.TemporaryFile("w+") as errors:
        began = time.time()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **variables}
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                evaluated = json.loads(line)
                best = max(best, evaluated["return"])
                if evaluated["return"] >= threshold:
                    process.kill()
                    seconds = evaluated["time"] - began - evaluated["evaluating"]
                    return Solved(row, seed, seconds, evaluated["cpu"], evaluated["steps"], best)
        if process.returncode != 0:
            errors.seek(0)
            sys.exit(f"time_to_solve: {row}, seed {seed}, failed\n{errors.read()}")
    return Solved(row, seed, None, None, None, best)


def show(console: Console, results: list[Solved], threshold: float) -> None:
    """Print a line per row: each seed's seconds and env steps, and medians with their ratio to the first row's."""
    rows = list(dict.fromkeys(result.row for result in results))
    seeds = sorted({result.seed for result in results})
    table = Table("", *(f"seed {seed}" for seed in seeds), "median", "ratio", "CPU", "ratio", box=None)
    first: tuple[float, float] | None = None
    for row in rows:
        mine = {result.seed: result for result in results if result.row == row}
        seconds = statistics.median(_or_never(result.seconds) for result in mine.values())
        cpu_seconds = statistics.median(_or_never(result.cpu_seconds) for result in mine.values())
        steps = statistics.median(_or_never(result.steps) for result in mine.values())
        first = first or (seconds, cpu_seconds)
        table.add_row(
            row,
            *(_cell(mine[seed].seconds, mine[seed].steps) if seed in mine else "" for seed in seeds),
            _cell(seconds, steps),
            _number(seconds / first[0]),
            f"{_number(cpu_seconds)} s",
            _number(cpu_seconds / first[1]),
        )
    console.print(table)
    console.print(
        f"seconds (env steps) from the start of the process to a mean return of at least {threshold:g}; CPU: the "
        "median of the processor's seconds, which other programs on the machine change least"
    )


def _or_never(value: float | None) -> float:
    return math.inf if value is None else value


def _cell(seconds: float | None, steps: float | None) -> str:
    if seconds is None or steps is None or seconds == math.inf:
        return "not reached"
    return f"{seconds:.1f} s ({steps:,.0f})"


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "-"


def main(
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, …")] = 5,
    every: Annotated[int, typer.Option(min=1, help="Env steps between evaluations.")] = 250,
    limit: Annotated[int | None, typer.Option(help="End each training here; default: where its settings do.")] = None,
    threshold: Annotated[float, typer.Option(help="Mean return that counts as solved.")] = -200.0,
    only: Annotated[list[str] | None, typer.Option("--row", help="Part of a row's name; repeatable.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all results to this file.")] = None,
) -> None:
    """Measure the time to a policy that solves Pendulum."""
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160  # a column per seed
    progress = Console(stderr=True, highlight=False)
    results: list[Solved] = []
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as out:
            for row, command in commands(seed, every, limit, out).items():
                if only and not any(part in row for part in only):
                    continue
                result = run(row, seed, command, threshold)
                results.append(result)
                progress.print(f"seed {seed}, {row}: {_cell(result.seconds, result.steps)}")
        if json_file is not None:
            json_file.write_text(json.dumps([asdict(result) for result in results], indent=1))
    show(console, results, threshold)


if __name__ == "__main__":
    typer.run(main)
