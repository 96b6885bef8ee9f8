"""How long from a command to a good policy: `ddpg train` beside SB3's DDPG and SAC, and SBX's SAC.

python benchmarks/time_to_score.py pendulum --seeds 5 --json scores.json
python benchmarks/time_to_score.py half_cheetah --sbx peers/jax/bin/python --at-most 4

Good means that 20 episodes without exploration, the same ones each time, return on average what the task names. That
is looked at every so many env steps, in all rows alike, and the time it takes is not counted. What `ddpg train` does by
itself is counted: imports, its own evaluations, checkpoints, TensorBoard files and, unless the row says otherwise,
films. The others do nothing but train, with rl-baselines3-zoo's settings. Every training is a process of its own, one
after the other, with as many threads as it takes by itself. With --at-most 4 the others are stopped when they have
taken four times as long as ours with that seed: "over" stands in the table then. --json goes on where it stopped.
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
from dataclasses import asdict, dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from peers import check_environment
from rich.console import Console
from rich.table import Table

import sb3_ddpg_custom
from sb3_ddpg_custom.cli.config.kwargs_text import plain_kwargs
from sb3_ddpg_custom.cli.config.resolve import resolve
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Task:
    """What to reach.

    :param env_id: registered with Gymnasium
    :param in_zoo: under which id rl-baselines3-zoo has settings for it
    :param threshold: mean return that counts as good
    :param every: env steps between looks
    """

    env_id: str
    in_zoo: str
    threshold: float
    every: int


TASKS = {
    "pendulum": Task("Pendulum-v1", "Pendulum-v1", -200.0, 250),
    "lunar_lander": Task("LunarLanderContinuous-v3", "LunarLanderContinuous-v3", 200.0, 2_500),
    "half_cheetah": Task("HalfCheetah-v5", "HalfCheetah-v4", 5_000.0, 5_000),
    "hopper": Task("Hopper-v5", "Hopper-v4", 2_000.0, 5_000),
}
SHARED = (
    *("learning_rate", "buffer_size", "learning_starts", "batch_size", "tau", "gamma"),
    *("train_freq", "gradient_steps", "n_steps"),
)
# Of rl-baselines3-zoo's entries, what is no argument of an algorithm.
_NO_ARGUMENTS = ("policy", "n_timesteps", "noise_type", "noise_std")


@dataclass(frozen=True)
class Score:
    """How one training went.

    :param row: of the table
    :param seed: of the training
    :param seconds: from the start of the process, without the looks; None if the return was not reached
    :param cpu_seconds: the processor's, also without the looks; None if the return was not reached
    :param steps: env steps; None if the return was not reached
    :param best_return: the best look
    :param stopped_at: seconds after which it was stopped without having reached it, None if it was not
    """

    row: str
    seed: int
    seconds: float | None
    cpu_seconds: float | None
    steps: int | None
    best_return: float
    stopped_at: float | None = None


def commands(alias: str, seed: int, every: int, limit: int | None, out: str, sbx: str | None) -> dict[str, list[str]]:
    """List the command of each row.

    :param alias: one of ``TASKS``
    :param seed: of the training
    :param every: env steps between looks
    :param limit: env steps after which a training ends, None for its settings'
    :param out: folder for what the trainings write
    :param sbx: interpreter of an environment with SBX, None where there is none
    """
    task = TASKS[alias]
    settings = resolve(alias, config=None, overrides=(), steps=limit, n_envs=None, registered_ids=()).settings
    callback = f"callback=[{{marks.Evaluations: {{env_id: {task.env_id}, every_steps: {every}}}}}]"
    ddpg = [sys.executable, "-m", "sb3_ddpg_custom.cli", "train", alias, "--quiet", "--out", out]
    ddpg += ["--seed", str(seed), "--set", callback, *(["--steps", str(limit)] if limit else [])]

    def peer(library: str, algorithm: str, entry: dict[str, Any], python: str = sys.executable) -> list[str]:
        model = {name: value for name, value in entry.items() if name not in _NO_ARGUMENTS}
        wanted = {
            "library": library,
            "algorithm": algorithm,
            "env_id": task.env_id,
            "steps": limit or int(entry["n_timesteps"]),
            "every": every,
            "noise_std": entry.get("noise_std"),
            "model": {**model, "seed": seed},
        }
        return [python, str(HERE / "peer_training.py"), json.dumps(wanted)]

    rows = {f"ddpg train {alias}": ddpg, f"ddpg train {alias} --video none": [*ddpg, "--video", "none"]}
    rows["SB3's DDPG, the same settings"] = peer("stable_baselines3", "DDPG", _for_sb3(settings))
    rows["SB3's DDPG, the zoo's settings"] = peer("stable_baselines3", "DDPG", zoo_entry("ddpg", task.in_zoo))
    rows["SB3's SAC, the zoo's settings"] = peer("stable_baselines3", "SAC", zoo_entry("sac", task.in_zoo))
    if sbx is not None:
        rows["SBX's SAC, the zoo's settings"] = peer("sbx", "SAC", zoo_entry("sac", task.in_zoo), sbx)
    return rows


def _for_sb3(settings: Settings) -> dict[str, Any]:
    shared = {name: getattr(settings, name) for name in SHARED}
    others = {"n_timesteps": settings.n_timesteps, "noise_std": settings.noise_std}
    return {**shared, **others, "policy_kwargs": dict(settings.policy_kwargs)}


def zoo_entry(algorithm: str, env_id: str) -> dict[str, Any]:
    """Read what rl-baselines3-zoo ships for an environment, as plain data.

    :param algorithm: name of its file
    :param env_id: as it stands there
    """
    text = (files("rl_zoo3") / "hyperparams" / f"{algorithm}.yml").read_text(encoding="utf-8")
    entry: dict[str, Any] = dict(yaml.safe_load(text)[env_id])
    if "policy_kwargs" in entry:
        entry["policy_kwargs"] = plain_kwargs(entry["policy_kwargs"])
    return entry


def run(row: str, seed: int, command: Sequence[str], threshold: float, *, most_seconds: float, threads: int) -> Score:
    """Train until a look reaches a return, or to the end.

    :param row: of the table
    :param seed: of the training
    :param command: prints what :class:`marks.Evaluations` prints
    :param threshold: mean return to reach
    :param most_seconds: without the looks; then it is stopped
    :param threads: for the libraries that multiply, 0 for their own choice
    """
    package = Path(sb3_ddpg_custom.__file__).parent.parent
    variables = {"PYTHONPATH": os.pathsep.join([str(package), str(HERE)])}
    if threads:
        variables |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), str(threads))
    if "peer_training" in command[1]:
        variables["PYTHONPATH"] = str(HERE)  # in an environment of its own there may be other versions of all else
    result = Score(row, seed, None, None, None, -float("inf"))
    with tempfile.TemporaryFile("w+") as errors:
        began = time.time()
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **variables}
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                if not line.startswith("{"):  # a library's own remark
                    continue
                look = json.loads(line)
                seconds = look["time"] - began - look["evaluating"]
                result = replace(result, best_return=max(result.best_return, look["return"]))
                if look["return"] >= threshold:
                    process.kill()
                    return replace(result, seconds=seconds, cpu_seconds=look["cpu"], steps=look["steps"])
                if seconds >= most_seconds:
                    process.kill()
                    return replace(result, stopped_at=seconds)
        if process.returncode != 0:
            errors.seek(0)
            sys.exit(f"time_to_score: {row}, seed {seed}, failed\n{errors.read()}")
    return result


def show(console: Console, results: list[Score], threshold: float) -> None:
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
            *(_cell_of(mine[seed]) if seed in mine else "" for seed in seeds),
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


def _cell_of(score: Score) -> str:
    if score.stopped_at is not None:
        return f"over {score.stopped_at:.0f} s, best {score.best_return:,.0f}"
    return _cell(score.seconds, score.steps)


def _cell(seconds: float | None, steps: float | None) -> str:
    if seconds is None or steps is None or seconds == math.inf:
        return "not reached"
    return f"{seconds:.1f} s ({steps:,.0f})"


def _number(value: float) -> str:
    return f"{value:.1f}" if math.isfinite(value) else "-"


def main(
    alias: Annotated[str, typer.Argument(metavar="|".join(TASKS), help="What to learn.")] = "pendulum",
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, …")] = 5,
    every: Annotated[int | None, typer.Option(min=1, help="Env steps between looks; default: the task's.")] = None,
    limit: Annotated[int | None, typer.Option(help="End each training here; default: where its settings do.")] = None,
    threshold: Annotated[float | None, typer.Option(help="Mean return to reach; default: the task's.")] = None,
    only: Annotated[list[str] | None, typer.Option("--row", help="Part of a row's name; repeatable.")] = None,
    sbx: Annotated[str | None, typer.Option(help="Interpreter of an environment with SBX, see peers.py.")] = None,
    at_most: Annotated[float, typer.Option(min=1, help="Stop others after so many times our seconds.")] = math.inf,
    threads: Annotated[int, typer.Option(min=0, help="For each training; 0: its own choice.")] = 0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all results here, and go on from it.")] = None,
) -> None:
    """Measure the time to a good policy."""
    if alias not in TASKS:
        raise typer.BadParameter(f"{alias} is no task; choose from {', '.join(TASKS)}")
    if sbx is not None:
        try:
            check_environment("sbx", sbx, set())
        except UsageError as error:
            raise typer.BadParameter(str(error)) from error
    task = TASKS[alias]
    threshold = task.threshold if threshold is None else threshold
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 160  # a column per seed
    progress = Console(stderr=True, highlight=False)
    results: list[Score] = []
    if json_file is not None and json_file.exists():
        results = [Score(**one) for one in json.loads(json_file.read_text())]
    for seed in range(seeds):
        with tempfile.TemporaryDirectory() as out:
            for row, command in commands(alias, seed, every or task.every, limit, out, sbx).items():
                if only and not any(part in row for part in only):
                    continue
                if any((result.row, result.seed) == (row, seed) for result in results):
                    continue
                ours = next((one.seconds for one in results if one.seed == seed and one.row.startswith("ddpg")), None)
                most = math.inf if ours is None or row.startswith("ddpg") else at_most * ours
                result = run(row, seed, command, threshold, most_seconds=most, threads=threads)
                results.append(result)
                progress.print(f"seed {seed}, {row}: {_cell_of(result)}")
                if json_file is not None:
                    json_file.write_text(json.dumps([asdict(one) for one in results], indent=1))
    show(console, results, threshold)


if __name__ == "__main__":
    typer.run(main)
