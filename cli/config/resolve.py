"""YAML and overrides to one frozen settings object, and back to YAML.

The files have rl_zoo3's format, a mapping from environment id to hyper-parameters, so that rl_zoo3's
``--conf-file`` takes ours and ``ddpg train --config`` takes rl_zoo3's ``ddpg.yml``.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.config.classes import CLASS_HOMES
from sb3_ddpg_custom.cli.config.kwargs_text import format_kwargs, is_dotted_name, plain_kwargs
from sb3_ddpg_custom.cli.config.settings import Settings, unknown_key, validate
from sb3_ddpg_custom.cli.config.yaml_text import dump_yaml, parse_yaml, read_text
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, received
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.shared_options import read_preset
from sb3_ddpg_custom.presets import PRESETS

# The top-level key of a run folder's config.yml that holds the seed and versions; not hyper-parameters.
RUN_KEY = "run"


@dataclass(frozen=True)
class Alias:
    """What ``ddpg list`` shows of a shipped file.

    :param env_id: the Gymnasium id
    :param n_timesteps: the environment steps its settings are meant for
    """

    env_id: str
    n_timesteps: int


@dataclass(frozen=True)
class Resolved:
    """What to train, and with which settings.

    :param alias: the alias that was asked for, or None where an environment id was
    :param env_id: the Gymnasium id
    :param settings: the validated settings
    :param source: the file they come from
    """

    alias: str | None
    env_id: str
    settings: Settings
    source: str


def aliases() -> dict[str, Alias]:
    """List the shipped settings.

    :return: for each alias, in order, its environment id and its training length
    """
    listed = {}
    for name in _shipped_names():
        env_id, entry = _shipped_entry(name)
        listed[name] = Alias(env_id, validate(entry, f"{name}.yml").n_timesteps)
    return listed


def resolve(
    env: str,
    *,
    config: Path | None,
    overrides: Sequence[str],
    steps: int | None,
    n_envs: int | None,
    registered_ids: Collection[str],
) -> Resolved:
    """Find the settings for an environment.

    :param env: an alias, a registered Gymnasium id, or ``"module:EnvId-v0"``
    :param config: a file whose entry replaces the shipped one, or None
    :param overrides: ``"key=value"`` each, the value in YAML; dotted keys reach into mappings, and ``preset`` is the
        name of several
    :param steps: replaces ``n_timesteps``, or None
    :param n_envs: replaces ``n_envs``, or None
    :param registered_ids: the ids Gymnasium knows
    :return: the settings
    :raises UsageError: where any of this is not as it should be
    """
    names = _shipped_names()
    alias = env if env in names else None
    if alias is not None:
        source = f"{alias}.yml"
        env_id, entry = _shipped_entry(alias)
    elif env in registered_ids or _names_module(env):
        env_id = env
        source, entry = _shipped_for(env_id, names)
    else:
        hint = did_you_mean(env, [*names, *registered_ids])
        raise UsageError(f"unknown environment '{env}'{hint or ';'} `ddpg list` shows the aliases and ids")
    if config is not None:
        source = str(shown(config))
        entry = _entry_for(env_id, parse_yaml(read_text(config), source), source)

    blame: dict[str, str] = {}  # key -> what set it, for error messages
    for override in overrides:
        name = _preset_in(override)
        if name is not None:
            entry = {**entry, **PRESETS[name]}
            blame |= dict.fromkeys(PRESETS[name], f"--preset {name}")
            continue
        key, entry = _override(entry, override)
        blame[key] = f"--set {key}"
    if "noise_type" in blame and entry.get("noise_type") is None and "noise_std" not in blame:
        # Without noise, the file's scale is for nothing.
        entry = {key: value for key, value in entry.items() if key != "noise_std"}
    for key, value, flag in (("n_timesteps", steps, "--steps"), ("n_envs", n_envs, "--n-envs")):
        if value is not None:
            entry = {**entry, key: value}
            blame[key] = flag
    settings = validate(entry, source, blame)
    return Resolved(alias=alias, env_id=env_id, settings=settings, source=source)


def _names_module(env: str) -> bool:
    module, colon, name = env.partition(":")
    return bool(colon and name) and is_dotted_name(module)


def _shipped_names() -> list[str]:
    """Return the aliases, in order."""
    files = resources.files("sb3_ddpg_custom.zoo_configs").iterdir()
    return sorted(file.name[:-4] for file in files if file.name.endswith(".yml") and file.name != "default.yml")


def _shipped(name: str) -> dict[str, Any]:
    file = resources.files("sb3_ddpg_custom.zoo_configs") / f"{name}.yml"
    data: dict[str, Any] = parse_yaml(file.read_text("utf-8"), f"{name}.yml")
    return data


def _shipped_entry(name: str) -> tuple[str, dict[str, Any]]:
    """Return the one environment id of an alias' file, and its hyper-parameters."""
    return next(iter(_shipped(name).items()))


def _shipped_for(env_id: str, names: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the file that is about an environment, the general one where none is, and its hyper-parameters."""
    for name in names:
        shipped_id, entry = _shipped_entry(name)
        if shipped_id == env_id:
            return f"{name}.yml", entry
    # It names a policy for rl_zoo3; here the one that fits the observations is chosen.
    general = _shipped("default")["default"]
    return "default.yml", {key: value for key, value in general.items() if key != "policy"}


def _entry_for(env_id: str, data: Any, source: str) -> dict[str, Any]:
    """Pick the hyper-parameters for an environment out of a user's file."""
    if data is None:
        raise UsageError(f"`{source}` is empty; add an entry '{env_id}:' with its hyper-parameters")
    if not isinstance(data, Mapping):
        raise UsageError(f"`{source}` holds {received(data)}; expected a mapping from environment ids to settings")
    entries = {key: value for key, value in data.items() if key != RUN_KEY}
    flat = [key for key in entries if key in Settings.model_fields]
    chosen = next((key for key in (env_id, env_id.partition(":")[2], "default") if key in entries), None)
    if chosen is not None:
        if flat:
            raise UsageError(
                f"`{source}` has '{flat[0]}' at the top level beside the entry '{chosen}'; move it into an entry"
            )
        if not isinstance(entries[chosen], Mapping):
            raise UsageError(
                f"`{source}`: the entry '{chosen}' is {received(entries[chosen])}; "
                "expected a mapping of hyper-parameters"
            )
        return dict(entries[chosen])
    if flat or not all(isinstance(value, Mapping) for value in entries.values()):
        return entries
    if not entries:
        raise UsageError(f"`{source}` has no hyper-parameters; add an entry '{env_id}:'")
    listed = ", ".join(str(key) for key in entries)
    raise UsageError(
        f"`{source}` has no entry for '{env_id}' and no 'default', only {listed}"
        + (did_you_mean(env_id, map(str, entries)) or f"; add an entry '{env_id}:'")
    )


def _preset_in(override: str) -> str | None:
    """Return the name of the preset that an override asks for, None where it is about one key."""
    key, equals, name = override.partition("=")
    return read_preset(parse_yaml(name, "--preset")) if equals and key.strip() == "preset" else None


def _override(entry: Mapping[str, Any], text: str) -> tuple[str, dict[str, Any]]:
    """Apply one ``key=value`` to a copy; return the top-level key and the copy."""
    path, equals, value_text = text.partition("=")
    root, *rest = path.strip().split(".")
    if not equals or not root or not all(rest):
        raise UsageError(f"--set {received(text)} is not key=value; write such as --set learning_rate=1e-4")
    if root not in Settings.model_fields:
        raise UsageError(f"--set {path.strip()}: {unknown_key(root)}")
    value = parse_yaml(value_text, f"--set {path.strip()}")
    if not rest:
        return root, {**entry, root: value}
    if root not in ("env_kwargs", "monitor_kwargs", "normalize", "policy_kwargs", "replay_buffer_kwargs"):
        raise UsageError(f"--set {path.strip()}: {root} takes one value, not a mapping; write --set {root}=value")
    current = entry.get(root)
    try:
        mapping = plain_kwargs(None if isinstance(current, bool) else current)
        return root, {**entry, root: _with(mapping, rest, value)}
    except ValueError as error:
        raise UsageError(f"--set {path.strip()}: {root} is {received(current)}; {error}") from None


def _with(mapping: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return {**mapping, head: value}
    inner = mapping.get(head)
    if inner is not None and not isinstance(inner, Mapping):
        raise ValueError(f"expected a mapping under {head!r} to reach into")
    return {**mapping, head: _with(inner or {}, rest, value)}


def to_yaml(resolved: Resolved, run: Mapping[str, Any] | None = None) -> str:
    """Write resolved settings so that ``--config`` and rl_zoo3's ``--conf-file`` read them back.

    :param resolved: the settings
    :param run: plain data about the run, stored under the top-level key ``run``
    :return: the YAML text
    """
    entry = {}
    for key in Settings.model_fields:
        value = getattr(resolved.settings, key)
        if value is None or value == {} or value == ():
            continue
        if key in ("train_freq", "noise_std") and isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, tuple):
            value = [{spec.name: dict(spec.kwargs)} if spec.kwargs else spec.name for spec in value]
        elif key == "policy_kwargs" and any(is_dotted_name(value.get(name)) for name in CLASS_HOMES):
            # rl_zoo3 evaluates strings and nothing else: in a mapping, "nn.ReLU" would stay a string.
            value = format_kwargs(value, names=CLASS_HOMES)
        entry[key] = value
    document: dict[str, Any] = {resolved.env_id: entry}
    if run is not None:
        document[RUN_KEY] = dict(run)
    return dump_yaml(document)
