"""Which runs there are to make: environments, settings and seeds, each run in a folder of its own."""

import hashlib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.cli.config.resolve import resolve, to_yaml
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml
from sb3_ddpg_custom.cli.environments.registry import import_modules, registered_ids
from sb3_ddpg_custom.cli.environments.seeds import training_seed
from sb3_ddpg_custom.cli.errors import UsageError, received
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.run_folder import ANOTHER_NAME, check_folder_name, done_steps, folder_of_env
from sb3_ddpg_custom.cli.training.options import TrainRequest

#: in the folder of a run: what it is a run of, and what its processes have printed
JOB_FILE, LOG_FILE = "job.json", "log.txt"
# How a run is computed, and not what: a repeated command may say otherwise. The rest is in the settings.
_HOW = (
    *("threads", "device", "imports", "vec_env"),
    *("env", "seed", "steps", "n_envs", "config", "overrides", "preset", "action_bounds", "out", "name", "render"),
)
_LONGEST_NAME = 80


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Hyper-parameters under a name.

    :param name: of its folder
    :param config: a configuration file, None for the environment's own settings
    :param overrides: ``"key=value"`` each, on top
    """

    name: str
    config: Path | None = None
    overrides: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Job:
    """One run of many.

    :param env_id: registered id
    :param setting: name of its hyper-parameters
    :param seed: of the training
    :param entry: the hyper-parameters, as in a configuration file
    :param source: where they come from
    :param folder: the run's
    :param request: the training's other options
    :param start_folder: in which the command was started; imported modules may lie there
    """

    env_id: str
    setting: str
    seed: int
    entry: dict[str, Any]
    source: str
    folder: Path
    request: TrainRequest
    start_folder: Path

    @property
    def total_steps(self) -> int:
        """Length of the training, env steps."""
        return int(self.entry["n_timesteps"])

    @property
    def name(self) -> str:
        """What to call it on the screen."""
        return f"{self.env_id} {self.setting} seed {self.seed}"

    def identity(self) -> dict[str, Any]:
        """Give what makes it this run: two runs that differ in this have different results."""
        options = {
            f"--{one.name.replace('_', '-')}": getattr(self.request, one.name)
            for one in fields(TrainRequest)
            if one.name not in _HOW
        }
        plain: dict[str, Any] = json.loads(json.dumps({**self.entry, **options}, default=str))
        return {"env": self.env_id, "seed": self.seed, **plain}


def plan_jobs(
    template: TrainRequest, envs: Sequence[str], settings: Sequence[Setting], seeds: Sequence[int]
) -> list[Job]:
    """List the runs, environments outermost and seeds innermost.

    :param template: options of all runs, with absolute paths; ``out`` is the folder of the study
    :param envs: aliases or ids
    :param settings: with names that differ
    :param seeds: of the trainings
    :raises UsageError: if any of them cannot be asked for
    """
    if template.video == "none":
        template.look.refuse_without_films("--video cubic")
    import_modules(template.imports)
    for seed in seeds:
        training_seed(seed)
    for setting in settings:
        check_folder_name(setting.name, "setting")
    jobs: list[Job] = []
    for env in envs:
        for setting in settings:
            asked = replace(template, env=env, config=setting.config, overrides=setting.overrides)
            resolved = resolve(
                env,
                config=setting.config,
                overrides=asked.all_overrides,
                steps=template.steps,
                n_envs=template.n_envs,
                registered_ids=registered_ids(),
            )
            entry = parse_yaml(to_yaml(resolved), resolved.source)[resolved.env_id]
            folder = folder_of_env(template.out, resolved.env_id) / setting.name
            jobs += [
                Job(
                    env_id=resolved.env_id,
                    setting=setting.name,
                    seed=seed,
                    entry=entry,
                    source=resolved.source,
                    folder=folder / f"seed-{seed}",
                    request=replace(asked, seed=seed),
                    start_folder=Path.cwd(),
                )
                for seed in seeds
            ]
    _check_distinct(jobs)
    return jobs


def _check_distinct(jobs: Sequence[Job]) -> None:
    folders = [job.folder for job in jobs]
    twice = next((job for job in jobs if folders.count(job.folder) > 1), None)
    if twice is not None:
        raise UsageError(f"{twice.env_id} with the setting {twice.setting} is there twice; name each once")


def name_of_setting(config: Path | None, overrides: Sequence[str]) -> str:
    """Make a folder's name of what was changed, ``default`` where nothing was.

    :param config: value of ``--config``
    :param overrides: values of ``--set``
    """
    words = [config.stem] if config is not None else []
    name = ",".join([*words, *("".join(text.split()) for text in overrides)]) or "default"
    safe = re.sub(r"[^\w.,=+-]", "_", name)
    if safe == name and len(name) <= _LONGEST_NAME:
        return name
    return f"{safe[:_LONGEST_NAME]}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def write_job(job: Job) -> None:
    """Note in a run's folder what it is a run of.

    :param job: whose folder is made
    :raises UsageError: if it holds a run of something else, or cannot be written
    """
    check_is_of(job)
    try:
        with replacing(job.folder / JOB_FILE) as file:
            file.write(TypeAdapter(Job).dump_json(job, indent=1))
    except OSError as error:
        raise UsageError(f"{shown(job.folder)} cannot be written ({error.strerror or error})") from error


def read_job(folder: Path) -> Job:
    """Read what a run's folder is of.

    :param folder: the run's
    :raises UsageError: if nothing whole says so
    """
    try:
        return TypeAdapter(Job).validate_json((folder / JOB_FILE).read_bytes())
    except (OSError, ValidationError, RecursionError) as error:
        raise UsageError(f"{shown(folder / JOB_FILE)} is not what a study has written") from error


def check_is_of(job: Job) -> None:
    """Make sure that a run's folder is empty, or holds this very run.

    :param job: to be made
    :raises UsageError: naming the first difference
    """
    if not (job.folder / JOB_FILE).exists():
        if job.folder.exists() and any(job.folder.iterdir()):
            raise UsageError(f"{shown(job.folder)} holds something else than a run of a study; {ANOTHER_NAME}")
        return
    there, here = read_job(job.folder).identity(), job.identity()
    for key in [*here, *there]:
        if here.get(key) != there.get(key):
            raise UsageError(
                f"{shown(job.folder)} is a run with {key} {received(there.get(key))}, not {received(here.get(key))}; "
                f"{ANOTHER_NAME}"
            )
    made = done_steps(job.folder)
    if made is not None and made != job.total_steps:
        raise UsageError(
            f"{shown(job.folder)} was resumed and has made {made:,} steps, and the study's runs make "
            f"{job.total_steps:,}; {ANOTHER_NAME}"
        )
