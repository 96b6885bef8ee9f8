"""Export a run's policy, as a plain function: ``ddpg export`` without the command line."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from rich.console import Console
from stable_baselines3.common.vec_env import VecEnv

from sb3_ddpg_custom.action_bounds import bounded_space
from sb3_ddpg_custom.checkpoint import Checkpoint, CheckpointError, build_policy, read_checkpoint
from sb3_ddpg_custom.cli.blame import exits_are_errors, reason
from sb3_ddpg_custom.cli.config.resolve import RUN_KEY, Resolved, to_yaml
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml
from sb3_ddpg_custom.cli.environments.fitting import fit_to_env
from sb3_ddpg_custom.cli.environments.raw import Raw
from sb3_ddpg_custom.cli.environments.registry import import_modules
from sb3_ddpg_custom.cli.environments.seeds import evaluation_seeds
from sb3_ddpg_custom.cli.environments.vectorised import evaluation_envs
from sb3_ddpg_custom.cli.errors import RunError, UsageError
from sb3_ddpg_custom.cli.evaluation.what_to_play import config_of, environment, normalize, with_normalization
from sb3_ddpg_custom.cli.export.latency import Latency, latencies
from sb3_ddpg_custom.cli.export.mean_return import mean_return_of
from sb3_ddpg_custom.cli.export.observed import observed
from sb3_ddpg_custom.cli.export.options import ExportRequest
from sb3_ddpg_custom.cli.paths import shown, shown_in, tied_to_start
from sb3_ddpg_custom.cli.run_folder import find_checkpoint
from sb3_ddpg_custom.export.formats import ENDINGS, FormatName, format_of
from sb3_ddpg_custom.export.from_policy import ExportError, program_of
from sb3_ddpg_custom.export.write import OBSERVATIONS, corners, facts_of, write_checked

# What an evaluation of the file needs to know of the settings.
_OF_THE_ENV = ("n_timesteps", "policy", "env_kwargs", "env_wrapper", "vec_env_wrapper", "frame_stack", "action_bounds")


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """What was written; the names are the keys of ``--json``.

    :param file: the file
    :param format: of the file
    :param bytes: its size
    :param env_id: what the policy was trained on
    :param checkpoint: whose policy it is
    :param mean_return: of the training's evaluation of that checkpoint, None where nobody knows
    :param observations: that the file was checked with
    :param largest_difference: from ``predict``, as a share of the action's largest bound
    :param latency: of one step
    """

    file: str
    format: FormatName
    bytes: int
    env_id: str
    checkpoint: str
    mean_return: float | None
    observations: int
    largest_difference: float
    latency: tuple[Latency, ...]


def export(request: ExportRequest, console: Console) -> ExportResult:
    """Write a policy into a file, checked with observations from its environment and the corners of their space.

    Nothing in the checkpoint is run: see :mod:`sb3_ddpg_custom.checkpoint.read`.

    :param request: what to do
    :param console: for remarks
    :raises UsageError: if the checkpoint, the env or the file does not serve
    :raises RunError: if the env fails
    """
    request = tied_to_start(request)
    if request.license == "":
        raise UsageError("--license is empty; leave it out, or name one such as CC-BY-4.0")
    import_modules(request.imports)
    path = find_checkpoint(request.run, "RUN")
    kind = _kind(request)
    out = request.out or path.parent / f"policy{ENDINGS[kind]}"
    try:
        checkpoint = with_normalization(read_checkpoint(path), request.normalization, console)
        env_id, settings, bound = environment(request.env, request.imports, config_of(checkpoint), path)
        settings = fit_to_env(env_id, settings).settings
        envs = evaluation_envs(
            env_id,
            settings,
            evaluation_seeds(0, 1),
            n_envs=1,
            most_steps=bound or OBSERVATIONS,
            normalize=None if checkpoint.normalization is None else partial(normalize, checkpoint),
        )
        try:
            written = _written(
                checkpoint, envs, kind, out, _metadata(request, checkpoint, env_id, settings, bound, envs)
            )
        finally:
            with exits_are_errors():
                envs.close()
    except CheckpointError as error:
        raise UsageError(f"RUN: {shown_in(error, path)}") from error
    except ExportError as error:
        raise UsageError(f"{shown(path)} cannot be exported: {error}") from error
    except ImportError as error:
        raise UsageError(str(error)) from error
    except OSError as error:
        raise UsageError(f"--out {shown(out)} cannot be written ({error.strerror or error})") from error
    exported, latency = written
    return ExportResult(
        file=str(shown(out)),
        format=kind,
        bytes=out.stat().st_size,
        env_id=env_id,
        checkpoint=str(shown(path)),
        mean_return=mean_return_of(path),
        observations=exported.observations,
        largest_difference=exported.largest_difference,
        latency=latency,
    )


def _kind(request: ExportRequest) -> FormatName:
    if request.kind is not None:
        others = set(ENDINGS.values()) - {ENDINGS[request.kind]}
        if request.out is not None and request.out.suffix.lower() in others:
            raise UsageError(
                f"--out {shown(request.out)} has the ending of another format than --format {request.kind}; "
                f"name one that ends in {ENDINGS[request.kind]}, or leave --format out"
            )
        return request.kind
    if request.out is None:
        return "npz"
    try:
        return format_of(request.out)
    except ValueError as error:
        raise UsageError(f"--out {error}; or add --format") from error


def _written(checkpoint: Checkpoint, envs: VecEnv, kind: FormatName, out: Path, metadata: dict[str, Any]) -> Any:
    raw = Raw(envs)
    policy = build_policy(checkpoint, envs.observation_space, envs.action_space, "cpu")
    space: Any = bounded_space(envs.action_space, checkpoint.attributes.get("action_bounds"))
    program = program_of(policy, space, raw_space=raw.space, normalization=checkpoint.normalization)

    def predict(batch: Any) -> Any:
        return policy.predict(raw.to_policy(batch), deterministic=True)[0]

    try:
        with exits_are_errors():
            seen = observed(envs, space, raw, predict, OBSERVATIONS)
    except Exception as error:  # an env may raise anything
        raise RunError(f"export stopped, for the environment failed: {reason(error)}") from error
    batches = [seen, corners(raw.space)]
    out.parent.mkdir(parents=True, exist_ok=True)
    exported = write_checked(program, out, kind, metadata, predict, batches, space)
    return exported, latencies(program, predict, seen)


def _metadata(
    request: ExportRequest, checkpoint: Checkpoint, env_id: str, settings: Settings, bound: int | None, envs: VecEnv
) -> dict[str, Any]:
    """Say what the file is, and what an evaluation of it needs; nothing of the machine that it comes from."""
    resolved = Resolved(alias=None, env_id=env_id, settings=settings, source="")
    entry = parse_yaml(to_yaml(resolved), "")[env_id]
    own: Any = config_of(checkpoint)
    facts = own.get(RUN_KEY) if isinstance(own, dict) else None
    seed = facts.get("seed") if isinstance(facts, dict) else None
    return {
        **facts_of(Raw(envs).space, bounded_space(envs.action_space, checkpoint.attributes.get("action_bounds"))),
        "env_id": env_id,
        "seed": seed if isinstance(seed, int) else None,
        "license": request.license,
        "mean_return": mean_return_of(checkpoint.path),
        "environment": {
            env_id: {key: entry[key] for key in _OF_THE_ENV if key in entry},
            RUN_KEY: {"eval_max_steps": bound},
        },
    }
