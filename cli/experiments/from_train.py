"""``ddpg train`` with ``--seeds``: which runs it asks for."""

import re
from dataclasses import replace
from pathlib import Path

from sb3_ddpg_custom.cli.environments.registry import import_modules, registered_ids
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, or_nothing
from sb3_ddpg_custom.cli.experiments.options import SeedsRequest, read_seeds
from sb3_ddpg_custom.cli.experiments.plan import Job, Setting, name_of_setting, plan_jobs
from sb3_ddpg_custom.cli.paths import tied_to_start
from sb3_ddpg_custom.cli.run_folder import check_folder_name
from sb3_ddpg_custom.cli.training.options import TrainRequest
from sb3_ddpg_custom.presets import PRESETS

_FILES = (".yml", ".yaml")
_NAMES = ("default", *PRESETS)


def jobs_of(request: TrainRequest, many: SeedsRequest) -> list[Job]:
    """List the runs that ``ddpg train --seeds`` asks for.

    :param request: options of all runs
    :param many: which runs
    :raises UsageError: if they cannot be asked for
    """
    request, many = told_apart(tied_to_start(request), many)
    out = request.out
    if request.name is not None:
        check_folder_name(request.name, "--name")
        out /= request.name
    settings = [_setting(text, request) for text in many.compare] or [
        Setting(
            name=name_of_setting(request.config, request.all_overrides),
            config=request.config,
            overrides=request.all_overrides,
        )
    ]
    template = request.settled(out=out, name=None, video=request.video or "none")
    return plan_jobs(template, [request.env, *many.more], settings, read_seeds(many.seeds or ""))


def told_apart(request: TrainRequest, many: SeedsRequest) -> tuple[TrainRequest, SeedsRequest]:
    """Tell environments and settings apart: behind ``--compare a.yml`` stand more of both.

    :param request: options of all runs
    :param many: which runs
    :return: the same, with all settings in ``compare``
    :raises UsageError: if there is no environment
    """
    import_modules(request.imports)
    words = [request.env, *many.more]
    settings = [word for word in words if many.compare and _is_setting(word, may_be_misspelt=word is not request.env)]
    envs = [word for word in words if word not in settings]
    if not envs:
        raise UsageError(f"there is no environment beside --compare {' '.join([*many.compare, *settings])}; add one")
    compared = (*many.compare, *settings)
    return replace(request, env=envs[0]), replace(many, more=tuple(envs[1:]), compare=compared)


def _is_setting(word: str, *, may_be_misspelt: bool) -> bool:
    """Say whether what stands behind ``--compare a.yml`` is one more setting, or is meant to be; or an environment."""
    if word.endswith(_FILES) or "=" in word or word in _NAMES:
        return True
    is_id = word in registered_ids() or re.search(r"-v\d+$", word)
    return may_be_misspelt and not is_id and did_you_mean(word, _NAMES) != ""


def _setting(text: str, request: TrainRequest) -> Setting:
    """Read one of the settings to compare; ``--config`` and ``--set`` are below all of them."""
    if text.endswith(_FILES):
        if request.config is not None:
            raise UsageError(f"--compare {text} and --config {request.config} are both files; leave out --config")
        path = Path.cwd() / text
        return Setting(name=name_of_setting(path, ()), config=path, overrides=request.all_overrides)
    if text in PRESETS:
        overrides = (*request.all_overrides, f"preset={text}")
        return Setting(name=text, config=request.config, overrides=overrides)
    if text == "default":
        return Setting(name=text, config=request.config, overrides=request.all_overrides)
    if "=" not in text:
        raise UsageError(
            f"--compare {or_nothing(text)} is neither a .yml file, KEY=VALUE, a preset nor default"
            f"{did_you_mean(text, _NAMES)}"
        )
    overrides = (*request.all_overrides, text)
    return Setting(name=name_of_setting(None, (text,)), config=request.config, overrides=overrides)
