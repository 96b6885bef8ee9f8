"""Reading one run: evaluations, training episodes, what it was trained on, whether it came to its end.

Runs may come from anybody: arrays are read without pickle, and not beyond what their files can honestly hold; YAML is
read as data.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.analysis.statistics import Array
from sb3_ddpg_custom.cli.config.yaml_text import MAX_FILE_BYTES
from sb3_ddpg_custom.cli.errors import one_line
from sb3_ddpg_custom.cli.paths import shown_in
from sb3_ddpg_custom.cli.results.find import Place
from sb3_ddpg_custom.cli.results.kept_result import read_kept
from sb3_ddpg_custom.cli.results.layout import CONFIG, EVALUATIONS, MONITOR_ENDING, RUN_KEY, STATISTICS, own_config
from sb3_ddpg_custom.cli.results.monitor_csv import MAX_BYTES, MOST_STEPS, read_monitors
from sb3_ddpg_custom.cli.results.names import plain, seed_of, without_seed
from sb3_ddpg_custom.cli.run_folder import DONE, STATE
from sb3_ddpg_custom.wrappers import load_statistics
from sb3_ddpg_custom.wrappers.statistics_file import journal_path, read_npz

_MINE = {"rewards": "return", "lengths": "length", "timesteps": "steps"}


@dataclass(frozen=True, kw_only=True)
class Found:
    """What one run's files say.

    :param place: where it lies, and the user's label
    :param environment: id; empty if nothing names it
    :param setting: as the folders are named; None where the configuration tells settings apart
    :param root: below which that name holds
    :param config: of the algorithm, to tell settings apart: a mapping, a text, or None
    :param seed: or another number that tells runs apart
    :param evaluations: arrays of ``evaluations.npz``: timesteps (n,), the others (n, episodes)
    :param episodes: see :class:`sb3_ddpg_custom.analysis.runs.Run`
    :param is_finished: None where that is not known
    :param problems: with its files, a phrase each
    """

    place: Place
    environment: str
    setting: str | None
    root: Path
    config: Any = None
    seed: str
    evaluations: Mapping[str, NDArray[Any]]
    episodes: Mapping[str, Array] = field(default_factory=dict)
    is_finished: bool | None = None
    problems: tuple[str, ...] = ()


def read_run(place: Place) -> Found:
    """Read a run as far as it can be read.

    :param place: a folder or a file
    """
    problems: list[str] = []
    path = place.path
    if path.suffix == ".json":
        return _of_campaign(place)
    stem = path.with_suffix("") if path.suffix == ".npz" else path.with_name(path.name.split(".")[0])
    named = path if path.is_dir() else path.parent if stem.name in ("evaluations", "monitor") else stem
    folder = path if path.is_dir() else None
    evaluations = _evaluations(_evaluations_file(path), problems)
    episodes, env_id = _episodes(path, problems)
    known: dict[str, Any] = {"environment": env_id, "setting": without_seed(named.absolute()), "root": named.parent}
    known["seed"] = seed_of(named.name) or "0"
    if folder is not None:
        known |= _of_ours(folder) or _of_zoo(folder, env_id) or {}
    known["environment"] = plain(known["environment"])
    known["setting"] = None if known["setting"] is None else plain(known["setting"])
    known["seed"] = plain(known["seed"])
    return Found(place=place, evaluations=evaluations, episodes=episodes, problems=tuple(problems), **known)


def _of_campaign(place: Place) -> Found:
    path, problems, kept = place.path, [], {}
    try:
        kept = read_kept(path)
    except (OSError, ValueError) as error:
        problems.append(f"{plain(path.name)} cannot be read: {_reason(error, path)}")
    return Found(
        place=place,
        environment=plain(str(kept.get("env", ""))),
        setting=plain(str(kept.get("setting", "default"))),
        root=path.parent,
        config=kept.get("settings"),
        seed=plain(str(kept.get("seed", path.stem))),
        evaluations={
            "timesteps": kept.get("steps", np.empty(0)),
            "results": kept.get("returns", np.empty((0, 0))),
        },
        is_finished=True if kept else None,
        problems=tuple(problems),
    )


def _of_ours(folder: Path) -> dict[str, Any] | None:
    document = own_config(folder)
    if document is None:
        return None
    facts = document[RUN_KEY]
    env_id, entry = next(((key, value) for key, value in document.items() if key != RUN_KEY), ("", None))
    # OUT[/STUDY]/ENV_ID/SETTING/seed-N is a study's; other runs are told apart by their settings.
    of_study = folder.name.startswith("seed-") and folder.name[5:].isdecimal()
    above = folder.absolute().parents
    is_finished = (folder / STATE / DONE).exists() or (
        not (folder / STATE).exists() and (folder / "final.zip").exists()
    )
    return {
        "environment": str(env_id),
        "setting": above[0].name if of_study else None,
        "root": above[min(2, len(above) - 1)] if of_study else folder.parent,
        "config": entry,
        "seed": str(facts.get("seed", folder.name)),
        "is_finished": is_finished,
    }


def _of_zoo(folder: Path, env_id: str) -> dict[str, Any] | None:
    """Read what the folders of rl_zoo3 say; its YAML files name Python objects, which nobody makes here."""
    name, _, number = folder.name.rpartition("_")
    config = folder / name / CONFIG
    if not (name and number.isdecimal() and config.is_file()):
        return None
    with config.open("rb") as file:
        text = file.read(MAX_FILE_BYTES)
    return {
        "environment": env_id or name,
        "setting": folder.absolute().parent.name,
        "root": folder.absolute().parent.parent,
        "config": text,
        "seed": number,
    }


def _evaluations_file(path: Path) -> Path | None:
    if not path.is_dir():
        return path if path.suffix == ".npz" else None
    if (path / EVALUATIONS).exists():
        return path / EVALUATIONS
    # SB3's examples keep them in a folder beside the monitors.
    inner = [one for one in sorted(path.glob(f"*/{EVALUATIONS}")) if not list(one.parent.glob(f"*{MONITOR_ENDING}"))]
    return inner[0] if len(inner) == 1 else None


def _evaluations(path: Path | None, problems: list[str]) -> dict[str, NDArray[Any]]:
    empty = {"timesteps": np.empty(0), "results": np.empty((0, 0))}
    if path is None:
        return empty
    try:
        _check_size(path)
        arrays, _ = read_npz(path)
        steps, results = arrays.get("timesteps"), arrays.get("results")
        if steps is None or results is None:
            raise ValueError("it has no timesteps and results, as SB3's EvalCallback writes them")
        if steps.ndim != 1 or results.ndim != 2 or len(steps) != len(results):
            raise ValueError(f"its timesteps have the shape {steps.shape}, its results {results.shape}")
        if (
            not all(one.dtype.kind in "iuf" for one in (steps, results))
            or not (np.abs(steps.astype(np.float64)) < MOST_STEPS).all()
        ):
            raise ValueError("its timesteps or results are no numbers of steps and returns")
    except (OSError, ValueError) as error:
        problems.append(f"{plain(path.name)} cannot be read: {_reason(error, path)}")
        return empty
    order = np.argsort(steps, kind="stable")
    kept = {name: one for name, one in arrays.items() if len(one.shape) and len(one) == len(steps)}
    return {name: one[order].astype(np.float64) for name, one in kept.items() if one.dtype.kind in "iufb"}


def _episodes(path: Path, problems: list[str]) -> tuple[dict[str, Array], str]:
    """Read training episodes: from our statistics where there are any, else from SB3's monitors."""
    if path.is_dir():
        monitors = sorted(path.glob(f"*{MONITOR_ENDING}"))
    else:
        monitors = [] if path.suffix == ".npz" else [path]
    columns: dict[str, Array] = {}
    env_id = ""
    try:
        columns, env_id = read_monitors(monitors)
    except (OSError, ValueError) as error:
        problems.append(f"{MONITOR_ENDING} cannot be read: {_reason(error, path)}")
    statistics = path / STATISTICS
    if path.is_dir() and (statistics.exists() or journal_path(statistics).exists()):
        try:
            for file in path.glob(f"{STATISTICS.removesuffix('.npz')}*.npz*"):
                _check_size(file)
            table = load_statistics(statistics)
            columns = {_MINE.get(name, name): values.astype(np.float64) for name, values in table.items()}
        except (OSError, ValueError) as error:
            problems.append(f"{STATISTICS} cannot be read: {_reason(error, path)}")
    return columns, env_id


def _reason(error: Exception, path: Path) -> str:
    return plain(shown_in(shown_in(one_line(error), path), path.resolve()), most=200)


def _check_size(path: Path) -> None:
    if path.is_file() and path.stat().st_size > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES:,} bytes")
