"""Go on with a run, as a plain function: ``ddpg resume`` without the command line."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sb3_ddpg_custom.checkpoint.store import CheckpointStore
from sb3_ddpg_custom.cli.child_processes import start_server
from sb3_ddpg_custom.cli.config.resolve import RUN_KEY, Resolved, to_yaml
from sb3_ddpg_custom.cli.config.settings import Settings, validate
from sb3_ddpg_custom.cli.config.trust import check_trusted_to_train
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml, read_text
from sb3_ddpg_custom.cli.declared_options import read_value
from sb3_ddpg_custom.cli.environments.processes import PRELOADED
from sb3_ddpg_custom.cli.environments.registry import import_modules
from sb3_ddpg_custom.cli.errors import UsageError, received
from sb3_ddpg_custom.cli.paths import shown, shown_in, tied_to_start
from sb3_ddpg_custom.cli.run_folder import ANOTHER_NAME, STATE, find_checkpoint, is_done
from sb3_ddpg_custom.cli.training.commands_to_paste import going_on
from sb3_ddpg_custom.cli.training.leftovers import remove_leftovers_of
from sb3_ddpg_custom.cli.training.make import Plan
from sb3_ddpg_custom.cli.training.model import check_device
from sb3_ddpg_custom.cli.training.options import ResumeRequest, TrainRequest
from sb3_ddpg_custom.cli.training.run import TrainResult, run
from sb3_ddpg_custom.cli.training.run_files import link_in
from sb3_ddpg_custom.wrappers import prepare_headless_rendering

# What config.yml's run part says that is an option of ddpg train, too; paths and imports are the user's to give.
_OF_THE_RUN = (
    "seed",
    "device",
    "threads",
    "vec_env",
    "eval_every",
    "eval_episodes",
    "eval_max_steps",
    "checkpoint_every",
    "video",
    "fps",
    "overlay",
    "track",
)


def resume(request: ResumeRequest, console: Console, *, expected: Settings | None = None) -> TrainResult:
    """Go on with a run from its newest whole checkpoint, exactly where that is possible.

    Nothing in the run folder is run: see :mod:`sb3_ddpg_custom.cli.config.trust`.

    :param request: what to do
    :param console: for progress and notes
    :param expected: settings that the user vouches for, and that the run has to have; None trusts no class of others
    :raises UsageError: if the run cannot go on; nothing has been changed then
    :raises RunError: if the env or the training fails; the last good checkpoint stays
    """
    request = tied_to_start(request)
    folder = request.run
    if not (folder / "config.yml").exists():
        raise UsageError(f"{shown(folder)} is no run folder; name one that ddpg train has made")
    prepare_headless_rendering()
    import_modules(request.imports)
    env_id, settings, facts = _read_config(folder / "config.yml")
    if expected is None:
        check_trusted_to_train(env_id, settings, request.imports, shown(folder / "config.yml"))
    elif settings != expected:
        name = next(key for key in Settings.model_fields if getattr(settings, key) != getattr(expected, key))
        there, here = getattr(settings, name), getattr(expected, name)
        are_words = all(isinstance(one, int | float | str | None) for one in (there, here))
        told = f" ({received(there)}, not {received(here)})" if are_words else ""
        raise UsageError(f"{shown(folder / 'config.yml')} has another {name} than the study{told}; {ANOTHER_NAME}")
    link = link_in(folder)
    if link is not None:
        raise UsageError(f"{shown(link)} is a link, and a run goes on with files of its own only; put the file there")
    manifest, problems = CheckpointStore(folder / STATE).newest()
    if manifest is None:
        reason = f"no checkpoint is whole: {shown_in(problems[0], folder)}" if problems else "there is no state in it"
        raise UsageError(f"{shown(folder)} cannot go on, for {reason}; {_other_ways(folder)}")
    done = manifest.step
    steps = settings.n_timesteps if request.steps is None else request.steps
    if request.steps is not None and steps <= done:
        raise UsageError(f"--steps {steps:,} is not above the {done:,} steps that {shown(folder)} has made")
    if done >= steps and is_done(folder, steps):
        raise UsageError(f"{shown(folder)} has made all of its {steps:,} steps; add --steps to go on further")
    settings = settings.model_copy(update={"n_timesteps": steps})
    asked = _asked(facts, env_id, folder)
    if request.device is not None:
        asked = replace(asked, device=request.device)
    if request.threads is not None:
        asked = replace(asked, threads=request.threads)
    if request.vec_env is not None:
        asked = replace(asked, vec_env=request.vec_env)
    if asked.vec_env == "subproc":
        start_server(PRELOADED)
    check_device(asked.device)
    remove_leftovers_of(folder)
    facts = {**facts, "device": asked.device, "threads": asked.threads, "vec_env": asked.vec_env}
    source = str(facts.get("settings_from", "config.yml"))
    resolved = Resolved(alias=None, env_id=env_id, settings=settings, source=source)
    plan = Plan(
        request=replace(asked, imports=request.imports),
        settings=settings,
        seed=asked.seed or 0,
        eval_every=asked.eval_every or settings.n_timesteps,
        video=asked.video or "none",
        folder=folder,
        config=to_yaml(resolved, run=facts),
        start_from=None,
        goes_on=True,
        rate_scale=_scale(manifest.facts),
    )
    return run(plan, console)


def how_to_go_on(folder: Path) -> str | None:
    """Write the command that goes on with a run; None where nothing is saved that it could go on from.

    :param folder: the run's
    """
    if CheckpointStore(folder / STATE).newest()[0] is None:
        return None
    try:
        _, _, facts = _read_config(folder / "config.yml")
        imports = read_value(TrainRequest, "imports", facts.get("imports", ()))
    except (UsageError, ValueError):
        return None
    return going_on(folder, imports)


def _other_ways(folder: Path) -> str:
    try:
        find_checkpoint(folder)
    except UsageError:
        return "ddpg train begins it anew"
    return "ddpg train --from begins with its networks"


def _scale(facts: Mapping[str, Any]) -> float:
    """Read by what earlier rollbacks have multiplied the learning rates."""
    scale = facts.get("rate_scale", 1.0)
    return scale if isinstance(scale, float) and 0 < scale <= 1 else 1.0


def _read_config(path: Path) -> tuple[str, Settings, dict[str, Any]]:
    document = parse_yaml(read_text(path), str(shown(path)))
    facts = document.get(RUN_KEY) if isinstance(document, dict) else None
    entries = {key: value for key, value in document.items() if key != RUN_KEY} if isinstance(document, dict) else {}
    if not isinstance(facts, dict) or len(entries) != 1 or not all(isinstance(one, dict) for one in entries.values()):
        raise UsageError(f"`{shown(path)}` is not what ddpg train has written; it needs one environment and a run part")
    ((env_id, entry),) = entries.items()
    return str(env_id), validate(entry, str(shown(path))), facts


def _asked(facts: dict[str, Any], env_id: str, folder: Path) -> TrainRequest:
    """Read the options of the run out of its ``config.yml``; what is absurd there is a sentence."""
    given = {}
    for name in _OF_THE_RUN:
        if name not in facts:
            continue
        try:
            given[name] = read_value(TrainRequest, name, facts[name])
        except ValueError as error:
            raise UsageError(f"`{shown(folder / 'config.yml')}`: run.{name} is {facts[name]!r}; {error}") from None
    return TrainRequest(env=env_id, **given)
