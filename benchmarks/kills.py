"""Kill ddpg at random moments, resume it, and compare what comes out with a training that nobody killed.

python benchmarks/kills.py --kills 200

Half of the kills wait until a checkpoint is being written. A process of its own is killed each time, with SIGKILL; it
is forked from one that has imported everything, which saves two seconds each.
"""

import contextlib
import csv
import hashlib
import io
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
import zipfile
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any

import typer


def main(
    kills: Annotated[int, typer.Option(min=1, help="How many.")] = 200,
    env: Annotated[str, typer.Option(help="Alias or registered id.")] = "pendulum",
    steps: Annotated[int, typer.Option(help="Env steps of a training.")] = 3000,
    checkpoint_every: Annotated[int, typer.Option(help="Env steps.")] = 100,
    vec_env: Annotated[str, typer.Option(help="As of ddpg train; take --set n_envs=2 with subproc.")] = "dummy",
    settings: Annotated[list[str] | None, typer.Option("--set", help="As of ddpg train; repeatable.")] = None,
    seed: Annotated[int, typer.Option(help="Of the moments, and of the trainings.")] = 0,
) -> None:
    """Kill, resume, compare; print one JSON object, and end with 1 if anything differed or could not be read."""
    for module in ("cli.figures.curve", "cli.training.prepare", "cli.training.resume"):
        import_module(f"sb3_ddpg_custom.{module}")

    moments = random.Random(seed)
    options = [
        *("--steps", steps, "--seed", seed, "--video", "none", "--checkpoint-every", checkpoint_every, "--threads", 1),
        *("--eval-episodes", 2, "--eval-every", steps // 4, *(f"--set={setting}" for setting in settings or ())),
        *("--vec-env", vec_env),
    ]
    counts = {"kills": 0, "while a checkpoint was written": 0, "trainings": 0, "begun anew": 0}
    faults: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        whole = Path(scratch) / "whole"
        began = time.monotonic()
        status = os.waitpid(_start(["train", env, *options, "--out", whole], Path(scratch) / "log"), 0)[1]
        if status != 0:
            raise SystemExit(f"the training that nobody kills failed: {(Path(scratch) / 'log').read_text()}")
        seconds = time.monotonic() - began
        (reference,) = (path.parent for path in whole.rglob("config.yml"))
        expected = digests(reference)
        while counts["kills"] < kills and not faults:
            out = Path(scratch) / f"killed-{counts['trainings']}"
            _train_and_kill(env, [*options, "--out", out], out, seconds, moments, counts, faults, kills)
            counts["trainings"] += 1
            for run in (path.parent for path in out.rglob("config.yml")):
                found = digests(run)
                faults += [f"{name} differs" for name in expected if found.get(name) != expected[name]]
            shutil.rmtree(out, ignore_errors=True)
    print(json.dumps({**counts, "env": env, "faults": faults}))
    raise SystemExit(1 if faults else 0)


def _train_and_kill(
    env: str,
    options: list[Any],
    out: Path,
    seconds: float,
    moments: random.Random,
    counts: dict[str, int],
    faults: list[str],
    most_kills: int,
) -> None:
    """Train once, killed as often as it takes, and to the end."""
    log = out.with_suffix(".log")
    while True:
        runs = [path.parent for path in out.rglob("config.yml")]
        has_state = bool(runs) and any((runs[0] / "state").glob("step-*.json"))
        if not has_state:
            counts["begun anew"] += bool(runs)
            shutil.rmtree(out, ignore_errors=True)
        child = _start(["resume", runs[0]] if has_state else ["train", env, *options], log)
        if counts["kills"] < most_kills:
            in_write = moments.random() < 0.5
            _wait(child, out, moments.uniform(0, seconds), in_write=in_write)
            with contextlib.suppress(ProcessLookupError):
                os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
            if os.WIFSIGNALED(status):
                counts["kills"] += 1
                counts["while a checkpoint was written"] += bool(_partials(out))
                continue
        else:
            status = os.waitpid(child, 0)[1]
        if os.waitstatus_to_exitcode(status) != 0 and "has made all of its" not in log.read_text():
            faults.append(f"ended with {os.waitstatus_to_exitcode(status)}: {log.read_text()[-500:]}")
        return


def _start(arguments: list[Any], log: Path) -> int:
    """Run ddpg in a forked process, and give its id."""
    child = os.fork()
    if child:
        return child
    try:
        with log.open("w") as file:
            os.dup2(file.fileno(), 1)
            os.dup2(file.fileno(), 2)
        sys.argv = ["ddpg", *map(str, arguments)]
        from sb3_ddpg_custom.cli.app import main as ddpg

        ddpg()
    except SystemExit as leaving:
        sys.stdout.flush()
        os._exit(int(leaving.code or 0))
    finally:
        os._exit(1)


def _wait(child: int, out: Path, seconds: float, *, in_write: bool) -> None:
    """Wait until a moment, and then, perhaps, until a checkpoint is being written."""
    until = time.monotonic() + seconds
    while time.monotonic() < until or (in_write and not _partials(out)):
        if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            return
        time.sleep(0 if time.monotonic() >= until else 0.002)


def _partials(out: Path) -> list[Path]:
    return [path for folder in out.glob("*/*/state") for path in folder.glob(".*.partial")]


def digests(run: Path) -> dict[str, str]:
    """Digest all that has to be the same."""
    import numpy as np

    from sb3_ddpg_custom.checkpoint.plain_tree import read_tree
    from sb3_ddpg_custom.checkpoint.store import CheckpointStore
    from sb3_ddpg_custom.wrappers import load_statistics

    found: dict[str, bytes] = {}
    for name in ("best.zip", "final.zip"):
        with zipfile.ZipFile(run / name) as archive:
            for part in ("policy.pth", "actor.optimizer.pth", "critic.optimizer.pth"):
                found[f"{name} {part}"] = archive.read(part)
    with np.load(run / "evaluations.npz") as evaluations:
        found["evaluations"] = b"".join(evaluations[name].tobytes() for name in sorted(evaluations.files))
    statistics = load_statistics(run / "rewards.npz")
    found["rewards.npz"] = b"".join(statistics[name].tobytes() for name in sorted(statistics) if name != "seconds")
    for path in sorted(run.glob("*.monitor.csv")):
        with path.open() as file:
            file.readline()
            found[path.name] = repr([(row["r"], row["l"]) for row in csv.DictReader(file)]).encode()
    store = CheckpointStore(run / "state")
    manifest, problems = store.newest()
    if manifest is None or problems:
        return {"state": f"{problems}"}
    rows: dict[int, bytes] = {}
    for name, (first, count, _) in sorted(manifest.facts["segments"].items(), key=lambda item: item[1][2]):
        records = read_tree(store.read(manifest, name))["records"]
        rows |= {first + place: records[place].tobytes() for place in range(count)}
    found["replay records"] = b"".join(rows[place] for place in sorted(rows))
    state = read_tree(store.read(manifest, f"state-{manifest.step}.zip"))["model"]
    found["random streams"] = io.StringIO(repr(state["random"]["numpy"])).read().encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


if __name__ == "__main__":
    typer.run(main)
