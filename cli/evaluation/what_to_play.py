"""What a checkpoint is played in: its environment, and the normalisation that it was trained under."""

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

from rich.console import Console
from stable_baselines3.common.vec_env import VecEnv

from sb3_ddpg_custom.checkpoint import Checkpoint, CheckpointError, read_normalization
from sb3_ddpg_custom.checkpoint.normalization import normalize_like
from sb3_ddpg_custom.cli.config.plain import integer
from sb3_ddpg_custom.cli.config.resolve import RUN_KEY, resolve
from sb3_ddpg_custom.cli.config.settings import Settings, validate
from sb3_ddpg_custom.cli.config.trust import check_trusted, modules_of, wrappers_of
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml
from sb3_ddpg_custom.cli.environments.registry import registered_ids
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown, shown_in
from sb3_ddpg_custom.cli.run_folder import find_checkpoint


def with_normalization(checkpoint: Checkpoint, path: Path | Literal["none"] | None, console: Console) -> Checkpoint:
    """Give a checkpoint the statistics that the user names; without any it would be judged on raw observations.

    :param checkpoint: as it was read
    :param path: value of ``--normalization``
    :param console: for what cannot be known
    :raises UsageError: if it was trained under statistics that it does not hold, or the file has none
    """
    if path is None:
        lacks = checkpoint.lacks_normalization
        beside = _statistics_beside(checkpoint.path) if lacks is None else None
        if lacks or beside is not None:
            named = str(shown(beside)) if beside is not None else "FILE, which VecNormalize.save wrote"
            how = "seems to have been" if beside is not None else "was"
            raise UsageError(
                f"{shown(checkpoint.path)} {how} trained under VecNormalize and does not hold its statistics; "
                f"add --normalization {named}" + ("" if beside is None else ", or --normalization none if it was not")
            )
        if lacks is None:
            console.print(
                f"{shown(checkpoint.path)} does not say whether it was trained under VecNormalize; if it was, name the "
                "file that VecNormalize.save wrote with --normalization",
                soft_wrap=True,
            )
        return checkpoint
    if path == "none":
        return replace(checkpoint, normalization=None)
    try:
        return replace(checkpoint, normalization=read_normalization(find_checkpoint(path, "--normalization")))
    except CheckpointError as error:
        raise UsageError(f"--normalization: {shown_in(error, path)}") from error


def _statistics_beside(path: Path) -> Path | None:
    """Find statistics where SB3's users (in the same folder) and rl_zoo3 (in a folder within) put them."""
    candidates = sorted([*path.parent.glob("*.pkl"), *path.parent.glob("*/vecnormalize.pkl")])
    for candidate in candidates[:20]:
        if "norm" in candidate.name.lower():
            with suppress(CheckpointError):
                read_normalization(candidate)
                return candidate
    return None


def normalize(checkpoint: Checkpoint, env: VecEnv) -> VecEnv:
    """Put a checkpoint's normalisation around envs.

    :param checkpoint: with statistics
    :param env: the envs
    :raises CheckpointError: if they do not fit
    """
    try:
        return normalize_like(checkpoint.normalization or {}, env)
    except (ValueError, KeyError) as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error


def config_of(checkpoint: Checkpoint) -> Any:
    """Read a checkpoint's ``config.yml``; None where it has none.

    :param checkpoint: as it was read
    :raises UsageError: if it is no YAML
    """
    return None if checkpoint.config is None else parse_yaml(checkpoint.config, _source(checkpoint.path))


def environment(env: str | None, imports: tuple[str, ...], config: Any, path: Path) -> tuple[str, Settings, int | None]:
    """Find out what a policy was trained on, and where its evaluations were cut; the user's word goes first.

    :param env: value of ``--env``
    :param imports: values of ``--import``
    :param config: of the run, as plain data; None where nothing is known
    :param path: the file that says so
    :return: the id, everything about envs, and the steps after which evaluations were cut, None where nobody says
    :raises UsageError: if nobody says what to play, or it needs modules that the user has not named
    """
    own = None if config is None else _own_environment(config, _source(path))
    if env is not None:
        asked = resolve(env, config=None, overrides=(), steps=None, n_envs=None, registered_ids=registered_ids())
        if own is None or own[0] != asked.env_id:
            return asked.env_id, asked.settings, None
    if own is None:
        raise UsageError(f"{shown(path)} does not say what it was trained on; name it with --env, as in --env pendulum")
    env_id, settings, _ = own
    names = [*wrappers_of(settings), *(modules_of(env_id) if env is None else [])]
    check_trusted(names, imports, shown(path))
    return own


def _source(path: Path) -> str:
    return f"{'config.yml' if path.suffix == '.zip' else 'what was trained on'} in {shown(path)}"


def _own_environment(document: Any, source: str) -> tuple[str, Settings, int | None]:
    entries = {key: value for key, value in document.items() if key != RUN_KEY} if isinstance(document, dict) else {}
    if len(entries) != 1 or not all(isinstance(value, dict) for value in entries.values()):
        raise UsageError(f"{source} names no single environment; name it with --env")
    ((env_id, entry),) = entries.items()
    facts = document.get(RUN_KEY)
    bound = integer(facts.get("eval_max_steps")) if isinstance(facts, dict) else None
    return str(env_id), validate(entry, source), bound if bound is not None and bound >= 1 else None
