"""Runs from paths: found, read, and sorted into settings that have names."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.analysis.bands import binned
from sb3_ddpg_custom.analysis.runs import Run
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.results.find import find_runs
from sb3_ddpg_custom.cli.results.names import plain, plain_path
from sb3_ddpg_custom.cli.results.read import Found, read_run

_LONGEST_NAME = 60
_LONGEST_VALUE = 24


@dataclass(frozen=True)
class Loaded:
    """Runs as they are compared and drawn.

    :param runs: one per run that was found, empty ones too
    :param found: what their files say, in the same order
    :param remarks: on files that could not be read, and on what was taken for evaluations
    """

    runs: tuple[Run, ...]
    found: tuple[Found, ...]
    remarks: tuple[str, ...]


def load_runs(words: Sequence[str]) -> Loaded:
    """Find and read runs.

    Where no run of an environment has an evaluation, its training episodes are taken: with exploration, and averaged
    over fiftieths of the training.

    :param words: see :func:`sb3_ddpg_custom.cli.results.find.find_runs`
    :raises UsageError: if a path does not exist, or there is no run
    """
    places, remarks = find_runs(words)
    if not places:
        raise UsageError(f"{'; '.join(remarks[:3])}; name run folders, folders of them, or files evaluations.npz")
    found = [read_run(place) for place in places]
    names = _setting_names(found)
    evaluated = {one.environment for one in found if len(one.evaluations["timesteps"])}
    runs = []
    episodes_of = set()
    for one, setting in zip(found, names, strict=True):
        steps, returns = one.evaluations["timesteps"], one.evaluations["results"]
        if one.environment not in evaluated and len(one.episodes.get("steps", ())):
            steps, returns = binned(one.episodes["steps"], one.episodes["return"])
            episodes_of.add(one.environment or "these runs")
        path = plain_path(one.place.path)
        remarks += [f"{path}: {problem}" for problem in one.problems]
        runs.append(
            Run(
                environment=one.environment,
                setting=setting,
                seed=one.seed,
                steps=steps,
                returns=returns,
                episodes=one.episodes,
                is_finished=one.is_finished,
                name=path,
            )
        )
    for environment in sorted(episodes_of):
        remarks.append(
            f"there are no evaluations of {environment}: their place is taken by training episodes, "
            "with exploration, averaged over fiftieths of the training"
        )
    if len(set(names)) == 1 and len(words) > 1 and all(one.place.label is None for one in found):
        remarks.append(f"all runs have one setting, {names[0]}; LABEL=PATH gives names to what is to be compared")
    return Loaded(tuple(runs), tuple(found), tuple(remarks))


def _setting_names(found: Sequence[Found]) -> list[str]:
    """Name each run's setting: by its label, its folder, or what differs in its configuration."""
    roots: dict[str, set[Path]] = {}
    for one in found:
        if one.place.label is None and one.setting is not None:
            roots.setdefault(one.setting, set()).add(one.root)
    numbers: dict[tuple[str, str], list[bytes]] = {}
    by_config = _names_by_config([one for one in found if one.place.label is None and one.setting is None])
    names = []
    for one in found:
        name = one.place.label or one.setting or by_config[_key(one)]
        if one.place.label is None and one.setting is not None:
            if len(roots[name]) > 1:  # two studies may both have a setting "default"
                name = plain(f"{one.root.name}/{one.setting}")
            if isinstance(one.config, bytes):
                texts = numbers.setdefault((one.environment, name), [])
                texts += [] if one.config in texts else [one.config]
        names.append(name)
    return [_numbered(one, name, numbers) for one, name in zip(found, names, strict=True)]


def _numbered(one: Found, name: str, numbers: Mapping[tuple[str, str], Sequence[bytes]]) -> str:
    """Tell apart rl_zoo3's runs of one algorithm whose configurations differ, which are not read."""
    texts = numbers.get((one.environment, name), ())
    return f"{name} #{texts.index(one.config) + 1}" if len(texts) > 1 and one.config in texts else name


def _key(one: Found) -> tuple[str, str]:
    return one.environment, json.dumps(_flat(one.config), sort_keys=True, default=str)


def _names_by_config(found: Sequence[Found]) -> dict[tuple[str, str], str]:
    names: dict[tuple[str, str], str] = {}
    for environment in dict.fromkeys(one.environment for one in found):
        configs = {_key(one): _flat(one.config) for one in found if one.environment == environment}
        keys = dict.fromkeys(key for config in configs.values() for key in config)
        differing = [key for key in keys if len({_written(config.get(key)) for config in configs.values()}) > 1]
        for place, config in configs.items():
            said = [f"{key}={_text(config[key]) if key in config else 'default'}" for key in differing]
            names[place] = _unlike(plain(", ".join(said) or "default")[:_LONGEST_NAME], environment, names)
    return names


def _unlike(name: str, environment: str, names: Mapping[tuple[str, str], str]) -> str:
    taken = {other for (of, _), other in names.items() if of == environment}
    return name if name not in taken else next(f"{name} #{n}" for n in range(2, 10_000) if f"{name} #{n}" not in taken)


def _flat(config: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(config, Mapping):
        return {prefix.rstrip("."): config} if prefix else {}
    flat: dict[str, Any] = {}
    for key, value in config.items():
        is_inner = isinstance(value, Mapping) and value and prefix.count(".") < 5
        flat |= _flat(value, f"{prefix}{key}.") if is_inner else {f"{prefix}{key}": value}
    return flat


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, default=str)


def _text(value: Any) -> str:
    text = _written(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[: _LONGEST_VALUE - 1]}…"
