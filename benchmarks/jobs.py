"""How many env steps per second two runs at once make, against one after the other.

python benchmarks/jobs.py

Summed are the steps per second of the trainings themselves, as their status files say; beside it the whole command is
timed, imports included. The rounds alternate. What the machine itself gives two processes that only multiply, against
one, is measured, too: no more can be had.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer

# As the cases of ddpg bench: small networks on Pendulum, large ones on HalfCheetah.
CASES = {"C1": ("pendulum", 20_000), "C3": ("half_cheetah", 6_000)}
_MULTIPLY = """
import time, numpy as np
a = np.random.rand(256, 400).astype("f"); b = np.random.rand(400, 300).astype("f")
until, n = time.monotonic() + 3, 0
while time.monotonic() < until:
    for _ in range(100): a @ b
    n += 1
print(n)
"""


def main(
    rounds: Annotated[int, typer.Option(min=1, help="Of each.")] = 3,
    jobs: Annotated[int, typer.Option(min=2, help="Runs at once.")] = 2,
    case: Annotated[list[str] | None, typer.Option(help="C1, C3; repeatable.")] = None,
) -> None:
    """Measure, and print one JSON object."""
    found = {}
    for name in case or CASES:
        env, steps = CASES[name]
        ratios, commands, ceilings = [], [], []
        for _ in range(rounds):
            (alone, seconds), (together, fewer) = (_train(env, steps, jobs, at_once) for at_once in (1, jobs))
            ratios.append(jobs * together / alone)
            commands.append(seconds / fewer)
            ceilings.append(_multiplied(jobs) / _multiplied(1))
        found[name] = {
            "times": round(statistics.median(ratios), 2),
            "from": round(min(ratios), 2),
            "to": round(max(ratios), 2),
            "whole command": round(statistics.median(commands), 2),
            "what the machine gives": round(statistics.median(ceilings), 2),
        }
    print(json.dumps({"jobs": jobs, "rounds": rounds, **found}))


def _train(env: str, steps: int, runs: int, at_once: int) -> tuple[float, float]:
    """Give the steps per second of a run, and the seconds of the command."""
    with tempfile.TemporaryDirectory() as out:
        options = ["--steps", steps, "--eval-every", steps, "--eval-episodes", 1, "--set", "learning_starts=500"]
        command = ["train", env, "--seeds", f"0-{runs - 1}", "--jobs", at_once, "--threads", 1, "--out", out, *options]
        began = time.monotonic()
        line = [sys.executable, "-m", "sb3_ddpg_custom.cli", *map(str, command)]
        subprocess.run(line, check=True, capture_output=True)
        seconds = time.monotonic() - began
        statuses = [json.loads(path.read_text()) for path in Path(out).rglob("status.json")]
    return statistics.fmean(one["steps_per_second"] for one in statuses), seconds


def _multiplied(processes: int) -> int:
    """Count the products that so many processes make in three seconds."""
    one_thread = {**os.environ, "OPENBLAS_NUM_THREADS": "1"}
    line = [sys.executable, "-c", _MULTIPLY]
    running = [subprocess.Popen(line, stdout=subprocess.PIPE, env=one_thread) for _ in range(processes)]
    return sum(int(one.communicate()[0]) for one in running)


if __name__ == "__main__":
    typer.run(main)
