"""A study as a file: environments, settings and seeds.

.. code-block:: yaml

    envs: [hopper, walker2d]
    seeds: 0-4
    settings:
      plain: {}
      n_steps 3: {n_steps: 3}
      mine: mine.yml
    train:
      steps: 200000
      eval_every: 10000
"""

import json
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml, read_text
from sb3_ddpg_custom.cli.declared_options import read_value
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, received
from sb3_ddpg_custom.cli.experiments.options import StudyRequest, read_seeds
from sb3_ddpg_custom.cli.experiments.plan import Job, Setting, plan_jobs
from sb3_ddpg_custom.cli.paths import shown, tied_to_start
from sb3_ddpg_custom.cli.run_folder import check_folder_name
from sb3_ddpg_custom.cli.training.options import TrainRequest

_KEYS_OF_OPTIONS = {
    "--seeds": "seeds ",
    "--set": "",
    "--steps": "train.steps ",
    "--n-envs": "train.n_envs ",
    "--preset": "preset ",
}
_KEYS = ("name", "envs", "seeds", "settings", "train")
# Those that are ddpg study's own, or the file's own keys.
_NOT_IN_TRAIN = ("env", "seed", "config", "overrides", "out", "name", "render", "device", "threads", "imports")


def jobs_of_file(request: StudyRequest) -> list[Job]:
    """List the runs that a file asks for; they go to ``out/NAME``, where the name is the file's if it says none.

    :param request: the file, and how its runs are computed
    :raises UsageError: one sentence about the first thing that is wrong
    """
    request = tied_to_start(request)
    source = str(shown(request.file))
    document = parse_yaml(read_text(request.file), source)
    if not isinstance(document, dict):
        raise UsageError(f"`{source}` holds {received(document)}; a study has the keys {', '.join(_KEYS)}")
    for key in document:
        if key not in _KEYS:
            raise UsageError(
                f"`{source}`: unknown key {received(key)}" + (did_you_mean(key, _KEYS) or _there_are(_KEYS))
            )
    name = document.get("name", request.file.stem)
    check_folder_name(str(name), f"`{source}`: name")
    template = TrainRequest(
        env="",
        out=request.out / str(name),
        device=request.device,
        threads=request.threads,
        imports=request.imports,
        **_train_options(document.get("train"), source, request.file.parent),
    )
    template = replace(template, video=template.video or "none")
    envs = document.get("envs")
    if not isinstance(envs, list) or not envs or not all(isinstance(env, str) for env in envs):
        raise UsageError(f"`{source}`: envs is {received(envs)}; write a list such as [hopper, walker2d]")
    settings = _settings(document.get("settings"), source, request.file.parent)
    try:
        return plan_jobs(template, envs, settings, _seeds(document.get("seeds")))
    except UsageError as error:
        # There are no options on the command line for what the file says.
        told = str(error)
        for option, key in _KEYS_OF_OPTIONS.items():
            told = told.replace(f"{option} ", f"`{source}`: {key}")
        raise UsageError(told) from None


def _there_are(names: tuple[str, ...]) -> str:
    return f"; there are {', '.join(names)}"


def _seeds(given: Any) -> tuple[int, ...]:
    """Read ``0-4``, ``3`` or a list of numbers."""
    if isinstance(given, list):
        return read_seeds(",".join(str(seed) for seed in given))
    if given is None:
        raise UsageError("--seeds is missing; write such as 0-9 or 0,3,5-7")
    return read_seeds(str(given))


def _train_options(given: Any, source: str, folder: Path) -> dict[str, Any]:
    if given is None:
        return {}
    if not isinstance(given, Mapping):
        raise UsageError(f"`{source}`: train is {received(given)}; write options of ddpg train, such as steps: 100000")
    known = tuple(field.name for field in fields(TrainRequest) if field.name not in _NOT_IN_TRAIN)
    read = {}
    for key, value in given.items():
        if key not in known:
            raise UsageError(f"`{source}`: unknown key train.{key}" + (did_you_mean(key, known) or _there_are(known)))
        try:
            read[key] = read_value(TrainRequest, key, value)
        except ValueError as error:
            raise UsageError(f"`{source}`: train.{key} is {received(value)}; {error}") from None
        if isinstance(read[key], Path):
            read[key] = folder / read[key]
    return read


def _settings(given: Any, source: str, folder: Path) -> list[Setting]:
    if given is None:
        return [Setting(name="default")]
    if not isinstance(given, Mapping) or not given:
        raise UsageError(f"`{source}`: settings is {received(given)}; write names with hyper-parameters under each")
    settings = []
    for name, value in given.items():
        if isinstance(value, str):
            settings.append(Setting(name=str(name), config=folder / value))
        elif isinstance(value, Mapping) or value is None:
            # JSON is YAML, which --set takes.
            # What stands beside a preset holds over it, wherever it stands.
            entries = sorted((value or {}).items(), key=lambda entry: entry[0] != "preset")
            overrides = [f"{key}={json.dumps(one, default=str)}" for key, one in entries]
            settings.append(Setting(name=str(name), overrides=tuple(overrides)))
        else:
            raise UsageError(
                f"`{source}`: settings.{name} is {received(value)}; write hyper-parameters, or a configuration's path"
            )
    return settings
