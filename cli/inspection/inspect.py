"""Look into a run folder, checkpoint, SB3 zip, buffer or statistics file, without running anything in it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch as th

from sb3_ddpg_custom.checkpoint import Checkpoint, CheckpointError, read_checkpoint, read_normalization
from sb3_ddpg_custom.checkpoint.plain_tree import read_tree
from sb3_ddpg_custom.checkpoint.store import CheckpointStore
from sb3_ddpg_custom.cli.config.resolve import RUN_KEY
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml, read_text
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown, shown_in
from sb3_ddpg_custom.cli.run_folder import STATE
from sb3_ddpg_custom.export.formats import ENDINGS
from sb3_ddpg_custom.export.player import Policy
from sb3_ddpg_custom.replay.files import read_header
from sb3_ddpg_custom.wrappers import load_statistics
from sb3_ddpg_custom.wrappers.statistics_file import read_npz

_NETWORKS = ("actor", "critic")


@dataclass(frozen=True)
class Inspection:
    """What was found.

    :param kind: of file
    :param path: as the user named it
    :param facts: by name, in the order to show them
    """

    kind: str
    path: str
    facts: Mapping[str, Any] = field(default_factory=dict)


def inspect(path: Path) -> Inspection:
    """Look into a file or run folder.

    :param path: what to look into
    :raises UsageError: if it is nothing that is known here, or damaged
    """
    if not path.exists():
        raise UsageError(f"{shown(path)} does not exist; name a run folder or a file of one")
    if path.is_dir():
        run = path.parent if path.name == STATE and (path.parent / "config.yml").is_file() else path
        return _found("run folder", run, _run_folder(run))
    if not path.is_file():
        raise UsageError(f"{shown(path)} is no regular file; name a run folder or a file of one")
    errors = []
    kinds = _KINDS if path.suffix.lower() != ENDINGS["onnx"] else {"exported policy": _exported}
    for kind, look in kinds.items():
        try:
            return _found(kind, path, look(path))
        except Exception as error:  # anything may come of bytes that somebody has made up
            errors.append(shown_in(" ".join(str(error).split()), path))
    # The first kind is the one that most files are.
    raise UsageError(f"{shown(path)} is no checkpoint, buffer, state or statistics that can be read: {errors[0]}")


def _found(kind: str, path: Path, facts: Mapping[str, Any]) -> Inspection:
    return Inspection(kind, str(shown(path)), {name: value for name, value in facts.items() if value is not None})


def _checkpoint(path: Path) -> dict[str, Any]:
    checkpoint = read_checkpoint(path)
    known = checkpoint.description or {}
    attributes = checkpoint.attributes
    env_id, settings = _config(checkpoint.config, path)
    return {
        "written by": known.get("algorithm") or "Stable-Baselines3, or an older release of this package",
        "environment": env_id,
        "steps": attributes.get("num_timesteps"),
        "updates": attributes.get("_n_updates"),
        "observations": _space(known.get("observation_space") or attributes.get("observation_space")),
        "actions": _space(known.get("action_space") or attributes.get("action_space")),
        **_networks(checkpoint),
        "normalised": checkpoint.normalization is not None,
        "settings": settings or known.get("settings") or _plain_attributes(attributes),
        "versions": known.get("versions") or attributes.get("_stable_baselines3_version"),
        "bytes": path.stat().st_size,
    }


def _networks(checkpoint: Checkpoint) -> dict[str, Any]:
    found = {}
    weights = checkpoint.parameters["policy"]
    for name in _NETWORKS:
        own = {key: tensor for key, tensor in weights.items() if key.startswith(f"{name}.")}
        layers = [
            f"{tuple(tensor.shape)}" for tensor in own.values() if isinstance(tensor, th.Tensor) and tensor.dim() > 1
        ]
        numbers = sum(tensor.numel() for tensor in own.values() if isinstance(tensor, th.Tensor))
        if own:
            found[name] = f"{numbers:,} parameters in {', '.join(layers)}"
    return found


def _config(text: str | None, path: Path) -> tuple[str | None, Any]:
    if text is None:
        return None, None
    document = parse_yaml(text, f"config.yml in {shown(path)}")
    entries = {key: value for key, value in document.items() if key != RUN_KEY} if isinstance(document, dict) else {}
    return next(iter(entries.items()), (None, None))


def _plain_attributes(attributes: Mapping[str, Any]) -> dict[str, Any]:
    plain = {
        name: value
        for name, value in attributes.items()
        if not name.startswith("_") and (value is None or isinstance(value, bool | int | float | str))
    }
    return dict(sorted(plain.items()))


def _space(space: Any) -> str | None:
    if not isinstance(space, dict):
        return None
    if "type" in space:
        inner = {key: value for key, value in space.items() if key != "type"}
        if space["type"] == "Dict":
            return f"Dict of {', '.join(f'{key}: {_space(part)}' for key, part in space.get('spaces', {}).items())}"
        return f"{space['type']} {', '.join(f'{key} {str(value)[:60]}' for key, value in inner.items())}"
    if space.get("_shape") is None and "spaces" in space:  # SB3 writes what a Dict holds as text
        return f"Dict of {str(space['spaces'])[:200]}"
    return f"shape {space.get('_shape')}, {space.get('dtype')}"


def _run_folder(path: Path) -> dict[str, Any]:
    config = path / "config.yml"
    if not config.is_file():
        raise UsageError(f"{shown(path)} has no config.yml; name a run folder, or a file")
    env_id, settings = _config(read_text(config), config)
    store = CheckpointStore(path / STATE)
    manifest, problems = store.newest()
    resumable: Any = "no state"
    if manifest is not None:
        facts = manifest.facts
        exact = "exactly" if facts.get("exact") else f"not exactly: {facts.get('inexact_because')}"
        resumable = f"from step {manifest.step:,}, {exact}"
    return {
        "environment": env_id,
        "steps": None if manifest is None else f"{manifest.step:,} of {manifest.facts.get('total_steps'):,}",
        "goes on": resumable,
        "damaged": "; ".join(shown_in(problem, path) for problem in problems) or None,
        "replay buffer": None if manifest is None else _fill(manifest.facts.get("transitions")),
        "left out": None if manifest is None else ", ".join(manifest.facts.get("left_out") or ()) or None,
        "episodes": _episodes(path / "rewards.npz"),
        "checkpoints": len(list((path / "checkpoints").glob("step_*.zip"))) or None,
        "settings": settings,
        "versions": None if manifest is None else manifest.facts.get("versions"),
        "bytes": {
            str(part.relative_to(path)): sum(one.stat().st_size for one in part.rglob("*") if one.is_file())
            if part.is_dir()
            else part.stat().st_size
            for part in sorted(path.iterdir())
            if not part.name.startswith(".")
        },
    }


def _fill(transitions: Any) -> str | None:
    return f"{transitions[0]:,} of {transitions[1]:,} transitions" if isinstance(transitions, list) else None


def _episodes(path: Path) -> int | None:
    try:
        return len(load_statistics(path)["rewards"])
    except (OSError, ValueError):
        return None


def _buffer(path: Path) -> dict[str, Any]:
    header = read_header(path)
    layout = header["layout"]
    rows = header["buffer_size"] if header["full"] else header["pos"]
    return {
        "transitions": f"{rows * layout['n_envs']:,} of {header['buffer_size'] * layout['n_envs']:,}",
        "environments": layout["n_envs"],
        "bytes per transition": header["row_bytes"],
        "layout": {key: value for key, value in layout.items() if key != "n_envs"},
        "bytes": path.stat().st_size,
    }


def _statistics(path: Path) -> dict[str, Any]:
    table = load_statistics(path)
    rewards = table["rewards"]
    last = rewards[-100:]
    return {
        "episodes": len(rewards),
        "steps": int(table["timesteps"].max()) if len(rewards) else 0,
        "mean return of the last": f"{last.mean():.2f} ({len(last)} episodes)" if len(last) else None,
        "best return": float(rewards.max()) if len(rewards) else None,
        "columns": ", ".join(table),
    }


def _part(path: Path) -> dict[str, Any]:
    tree = read_tree(path.read_bytes())
    if not isinstance(tree, dict):
        raise ValueError("it is no part of a training state")
    return {str(name): _outline(value) for name, value in tree.items()}


def _outline(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(map(str, value))[:200]
    return f"{value.dtype} {value.shape}" if hasattr(value, "dtype") else str(value)[:200]


def _arrays(path: Path) -> dict[str, Any]:
    if path.suffix != ".npz":
        raise ValueError("it is no npz")
    arrays, _ = read_npz(path)
    return {name: f"{array.dtype} {array.shape}" for name, array in arrays.items()}


def _normalization(path: Path) -> dict[str, Any]:
    return {name: str(array)[:60] for name, array in read_normalization(path).items()}


def _manifest(path: Path) -> dict[str, Any]:
    step = next((step for step in CheckpointStore(path.parent).steps() if path.name == f"step-{step:09d}.json"), None)
    if step is None:
        raise ValueError("it is no manifest")
    manifest = CheckpointStore(path.parent).read_manifest(step)
    return {"step": manifest.step, **manifest.facts, "files": len(manifest.files)}


def _exported(path: Path) -> dict[str, Any]:
    policy: Any
    if path.suffix.lower() == ENDINGS["onnx"]:
        from sb3_ddpg_custom.export.onnx_policy import OnnxPolicy

        policy = OnnxPolicy(path)
    else:
        policy = Policy(path)
    said = policy.metadata
    return {
        "environment": said.get("env_id"),
        "observations": _space(said.get("observation_space")),
        "actions": _space(said.get("action_space")),
        "inputs": {name: str(shape) for name, shape in policy.shapes.items()},
        "mean return": said.get("mean_return"),
        "seed": said.get("seed"),
        "licence": said.get("license"),
        "versions": said.get("versions"),
        "bytes": path.stat().st_size,
    }


_KINDS: dict[str, Callable[[Path], dict[str, Any]]] = {
    "checkpoint": _checkpoint,
    "replay buffer": _buffer,
    "episode statistics": _statistics,
    "manifest of a training state": _manifest,
    "part of a training state": _part,
    "exported policy": _exported,
    "arrays": _arrays,
    "statistics of VecNormalize": _normalization,
}

__all__ = ["CheckpointError", "Inspection", "inspect"]
