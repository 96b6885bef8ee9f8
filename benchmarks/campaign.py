"""Train every shipped configuration with several seeds, and keep what came out: one small JSON per finished run.

python benchmarks/campaign.py               # goes on where it stopped; make campaign does so at low priority
python benchmarks/campaign.py hopper        # only benchmarks/studies/hopper.yml

Each file of ``benchmarks/studies`` is one that ``ddpg study`` makes; the runs lie in ``benchmarks/runs``, which git
ignores, and the JSONs in ``benchmarks/results``, from which ``benchmarks/tables.py`` makes the tables. What a JSON
tells of is not run again, on whatever machine, unless its settings have changed since.
"""

import hashlib
import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
import yaml

from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.experiments.engines.choice import usable_cores
from sb3_ddpg_custom.cli.experiments.options import StudyRequest
from sb3_ddpg_custom.cli.experiments.plan import JOB_FILE, Job, read_job
from sb3_ddpg_custom.cli.experiments.study_file import jobs_of_file
from sb3_ddpg_custom.cli.results.curves import read_curves
from sb3_ddpg_custom.cli.run_folder import is_done

HERE = Path(__file__).resolve().parent
STUDIES, RUNS, RESULTS = HERE / "studies", HERE / "runs", HERE / "results"
# From what is quick and known to work to what takes days.
ORDER = (
    *("pendulum", "inverted_pendulum", "mountain_car_continuous", "reacher", "lunar_lander", "pendulum_classic"),
    *("hopper", "walker2d", "half_cheetah", "bipedal_walker", "swimmer", "inverted_double_pendulum", "ant", "humanoid"),
)
_LOOK_SECONDS = 20.0


def main(
    studies: Annotated[list[str] | None, typer.Argument(help="Names of files in benchmarks/studies.")] = None,
    jobs: Annotated[str, typer.Option(help="As of ddpg study.")] = "auto",
    runs: Annotated[Path, typer.Option(help="Folder of the runs.")] = RUNS,
) -> None:
    """Make what no JSON tells of, seed by seed, and write a JSON for each run as it ends."""
    for name in studies or ORDER:
        file = STUDIES / f"{name}.yml"
        if not file.exists():
            raise SystemExit(f"there is no {file}")
        missing = [job for job in jobs_of_file(StudyRequest(file=file, out=runs)) if not is_kept(job, name)]
        for seeds, settings in parts(missing, usable_cores() if jobs == "auto" else int(jobs)):
            _make(name, file, seeds, settings, runs, jobs)


def parts(missing: Sequence[Job], at_once: int) -> list[tuple[list[int], set[str]]]:
    """Share the runs out, seed by seed; seeds that lack the same settings stand together where one leaves cores idle.

    :param missing: runs to make
    :param at_once: runs that fit
    :return: seeds and their settings, in the order in which they are made
    """
    found: list[tuple[list[int], set[str]]] = []
    for seed in sorted({job.seed for job in missing}):
        settings = {job.setting for job in missing if job.seed == seed}
        if found and found[-1][1] == settings and len(found[-1][0]) * len(settings) < at_once:
            found[-1][0].append(seed)
        else:
            found.append(([seed], settings))
    return found


def _make(name: str, file: Path, seeds: list[int], settings: set[str], runs: Path, jobs: str) -> None:
    runs.mkdir(parents=True, exist_ok=True)
    part = runs / f"{name}.seed-{'-'.join(map(str, seeds))}.yml"
    part.write_text(yaml.safe_dump(part_of(yaml.safe_load(file.read_text()), name, seeds, settings), sort_keys=False))
    command = [sys.executable, "-m", "sb3_ddpg_custom.cli", "study", str(part), "--out", str(runs), "--jobs", jobs]
    process, ended = subprocess.Popen(command), []

    def hand_on(number: int, _: object) -> None:
        ended.append(128 + number)
        process.terminate()  # the study saves its runs

    before = signal.signal(signal.SIGTERM, hand_on)
    while process.poll() is None:
        with suppress(KeyboardInterrupt):  # which the study gets, too
            time.sleep(_LOOK_SECONDS)
        keep_results(runs / name, name)
    signal.signal(signal.SIGTERM, before)
    keep_results(runs / name, name)
    if ended or process.returncode > 128:  # a signal, here or there
        raise SystemExit(ended[0] if ended else process.returncode)


def part_of(study: dict[str, Any], name: str, seeds: list[int], settings: set[str]) -> dict[str, Any]:
    """Take some seeds and some settings of a study.

    :param study: as its file has it
    :param name: of the study
    :param seeds: of the runs
    :param settings: their names
    """
    part = {**study, "name": name, "seeds": seeds}
    if "settings" in study:
        part["settings"] = {key: value for key, value in study["settings"].items() if key in settings}
    return part


def is_kept(job: Job, name: str) -> bool:
    """Say whether a JSON tells of a run with these very settings.

    :param job: the run
    :param name: of its study
    """
    result = result_of(job, name)
    if not result.exists():
        return False
    return settings_hash(json.loads(result.read_text())["settings"]) == settings_hash(job.entry)


def result_of(job: Job, name: str) -> Path:
    """Name the JSON of a run.

    :param job: the run
    :param name: of its study
    """
    return RESULTS / name / f"{job.setting}-seed-{job.seed}.json"


def keep_results(study: Path, name: str) -> None:
    """Write a JSON for each finished run that has none yet, or one of other settings.

    :param study: folder of the runs
    :param name: of the study
    """
    for path in sorted(study.glob(f"*/*/*/{JOB_FILE}")):
        job = read_job(path.parent)
        result = result_of(job, name)
        if not is_kept(job, name) and is_done(job.folder, job.total_steps):
            result.parent.mkdir(parents=True, exist_ok=True)
            result.write_text(json.dumps(_result(path.parent), separators=(",", ":")) + "\n")


def settings_hash(entry: dict[str, Any]) -> str:
    """Name hyper-parameters by their content; what is as it is by default does not count, and may be added later.

    :param entry: as in a configuration file
    """
    defaults = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
    entry = {name: value for name, value in entry.items() if name == "n_timesteps" or value != defaults.get(name)}
    return hashlib.sha256(json.dumps(entry, sort_keys=True).encode()).hexdigest()[:12]


def _result(run: Path) -> dict[str, Any]:
    job = read_job(run)
    with np.load(run / "evaluations.npz") as file:
        steps, returns = file["timesteps"].tolist(), np.round(file["results"], 3).tolist()
    document = yaml.safe_load((run / "config.yml").read_text())
    return {
        "env": job.env_id,
        "setting": job.setting,
        "seed": job.seed,
        "settings_hash": settings_hash(job.entry),
        "settings": job.entry,
        "commit": _commit(),
        "versions": {**document["run"]["versions"], "python": sys.version.split()[0]},
        "package": version("sb3-ddpg-custom"),
        "steps": steps,
        "returns": returns,
        "diagnosis": _diagnosis(run, steps),
    }


def _diagnosis(run: Path, steps: list[int]) -> dict[str, list[float | None]]:
    """Average what was found inside of the training over the time before each evaluation; None where nothing was."""
    found: dict[str, list[float | None]] = {}
    for tag, curve in read_curves(run).items():
        if tag.startswith("diagnosis/") or tag == "train/q_mean":
            interval = np.searchsorted(steps, curve.steps)
            parts = [curve.values[interval == place] for place in range(len(steps))]
            found[tag.partition("/")[2]] = [round(float(part.mean()), 4) if len(part) else None for part in parts]
    return found


def _commit() -> str:
    answer = subprocess.run(["git", "describe", "--always", "--dirty"], cwd=HERE, capture_output=True, text=True)
    return answer.stdout.strip() or "unknown"


if __name__ == "__main__":
    typer.run(main)
