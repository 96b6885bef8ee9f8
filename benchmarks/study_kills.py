"""Kill a study at random moments, repeat its command until all is made, and compare with a study that nobody killed.

python benchmarks/study_kills.py --kills 20

Each kill is a SIGKILL to the whole process group: the command, the process that its runs are forked from, and them.
"""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from kills import digests


def main(
    kills: Annotated[int, typer.Option(min=1, help="How many.")] = 20,
    runs: Annotated[int, typer.Option(help="Of the study.")] = 6,
    steps: Annotated[int, typer.Option(help="Env steps of each.")] = 3000,
    jobs: Annotated[int, typer.Option(help="Runs at once.")] = 2,
    seed: Annotated[int, typer.Option(help="Of the moments.")] = 0,
) -> None:
    """Kill, repeat, compare; print one JSON object, and end with 1 if anything differed."""
    moments = random.Random(seed)
    command = [
        *(sys.executable, "-m", "sb3_ddpg_custom.cli", "train", "pendulum", "--seeds", f"0-{runs - 1}"),
        *("--jobs", str(jobs), "--steps", str(steps), "--eval-episodes", "2", "--eval-max-steps", "20"),
        *("--checkpoint-every", "200", "--out"),
    ]
    counts = {"kills": 0, "commands": 0}
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        whole, killed = Path(scratch) / "whole", Path(scratch) / "killed"
        began = time.monotonic()
        subprocess.run([*command, whole], check=True, capture_output=True)
        seconds = time.monotonic() - began
        while True:
            counts["commands"] += 1
            with (Path(scratch) / "log").open("wb") as log:
                process = subprocess.Popen([*command, killed], stdout=log, stderr=log, start_new_session=True)
            # A command that goes on has less to do each time; half of the whole time leaves it room to get somewhere.
            patience = moments.uniform(0, seconds / 2) if counts["kills"] < kills else None
            try:
                code = process.wait(patience)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
                counts["kills"] += 1
                continue
            if code != 0:
                faults.append(f"ended with {code}: {(Path(scratch) / 'log').read_text()[-1000:]}")
                break
            if counts["kills"] >= kills:
                break
            _forget(killed, moments)
        for one in sorted(whole.rglob("config.yml")) if not faults else []:
            run = killed / one.parent.relative_to(whole)
            expected, found = digests(one.parent), digests(run)
            faults += [f"{run.name}: {name} differs" for name in expected if found.get(name) != expected[name]]
    print(json.dumps({**counts, "runs": runs, "faults": faults}))
    raise SystemExit(1 if faults else 0)


def _forget(study: Path, moments: random.Random) -> None:
    """All is made, and there are kills left: have one run be made anew."""
    shutil.rmtree(moments.choice(sorted(path.parent for path in study.rglob("config.yml"))))


if __name__ == "__main__":
    typer.run(main)
