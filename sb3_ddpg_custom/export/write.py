"""Write a policy into a file, and check the file against what ``predict`` says before it gets its name."""

import json
import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, VecTransposeImage
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.acting.averaged_actor import playing
from sb3_ddpg_custom.action_bounds import BoundedActions
from sb3_ddpg_custom.checkpoint.description import describe_space, versions
from sb3_ddpg_custom.checkpoint.normalization import to_arrays
from sb3_ddpg_custom.export.formats import FormatName, format_of
from sb3_ddpg_custom.export.from_policy import ExportError, program_of
from sb3_ddpg_custom.export.player import FORMAT, Policy
from sb3_ddpg_custom.export.program import Program

OBSERVATIONS = 1000  # that a file is checked with
TOLERANCE = 1e-5  # of the largest bound of the action
_AS_ROUNDING = 10.0  # times what the last digit of the observation changes, where that is more
_FAR = 1e3  # a corner of a space without bounds
_CORNERS = 64

Predict = Callable[[Any], NDArray[Any]]


@dataclass(frozen=True)
class Exported:
    """What was written.

    :param path: the file
    :param observations: that it was checked with
    :param largest_difference: from ``predict``, as a share of the action's largest bound
    :param play: what the file computes, (n, *observation shape) to (n, *action shape)
    """

    path: Path
    observations: int
    largest_difference: float
    play: Predict


def export_policy(
    model: OffPolicyAlgorithm,
    path: str | os.PathLike[str],
    *,
    format: FormatName | None = None,  # noqa: A002  # as NumPy and Matplotlib name it
    observations: Any = None,
    metadata: Mapping[str, Any] | None = None,
) -> Exported:
    """Write a model's deterministic policy as one file: from a raw observation to the environment's action.

    The statistics of a ``VecNormalize``, or the policy's own, are in it, what Stable-Baselines3 does with pictures and
    whole numbers, and the bounds of the action space. A file that differs from ``model.predict`` does not come to be.

    :param model: DDPG or TD3, of this package or of SB3, with its environment where there is a ``VecNormalize``
    :param path: of the file; replaced whole or not at all
    :param format: ``"onnx"`` (needs the extra ``onnx``), ``"npz"`` (played by NumPy alone, see
        :mod:`sb3_ddpg_custom.export.player`) or ``"torchscript"``; None: by the path's ending .onnx, .npz or .pt
    :param observations: raw ones to check the file with, (n, *shape) or a dict of such; None draws them from the space.
        Its corners are looked at, too
    :param metadata: more plain data for the file, which has the spaces and versions
    :return: what was written, and how far it is from ``predict``
    :raises ExportError: if the policy has a part that no file says, or the file differs from ``predict``
    :raises ImportError: if a package is missing, with the command that installs it
    :raises OSError: if it cannot be written
    """
    env = model.get_env()
    raw_space = model.observation_space if env is None else raw_space_of(env)
    normalizer = model.get_vec_normalize_env()
    policy, action_space = model.policy, model.action_space
    if not isinstance(policy, TD3Policy) or not isinstance(action_space, spaces.Box):
        raise ExportError(f"{type(policy).__name__} is no policy of DDPG or TD3")
    arrays = None if normalizer is None else to_arrays(normalizer)
    with playing(policy):
        program = program_of(policy, action_space, raw_space=raw_space, normalization=arrays)

    def predict(batch: Any) -> NDArray[Any]:
        return model.predict(batch if normalizer is None else normalizer.normalize_obs(batch), deterministic=True)[0]

    own = facts_of(raw_space, action_space) | dict(metadata or {})
    try:
        json.dumps(own)
    except (TypeError, ValueError) as error:
        raise ExportError(f"metadata must be plain data: {error}") from error
    if observations is None:
        observations = drawn(raw_space, OBSERVATIONS)
    return write_checked(program, Path(path), format, own, predict, [observations, corners(raw_space)], action_space)


def write_checked(
    program: Program,
    path: Path,
    kind: FormatName | None,
    metadata: dict[str, Any],
    predict: Predict,
    batches: list[Any],
    action_space: spaces.Box,
) -> Exported:
    """Write a program, compare what the file computes, and give it its name.

    :param program: what the policy computes
    :param path: of the file
    :param kind: its format; None: by its ending
    :param metadata: plain data
    :param predict: what it has to compute, for a batch
    :param batches: of raw observations
    :param action_space: the environment's
    :raises ExportError: if it computes something else
    """
    kind = format_of(path) if kind is None else kind
    with tempfile.TemporaryDirectory(prefix=".export-", dir=path.parent) as folder:
        written = Path(folder) / path.name
        _WRITERS[kind](program, written, metadata)
        play = _player(kind, written, program)
        largest = 0.0
        for batch in batches:
            wanted = predict(batch)
            difference = _difference(play(batch), wanted, action_space)
            # Large observations of a network that does not normalise them make float32 itself less exact.
            allowed = max(
                TOLERANCE, _AS_ROUNDING * _difference(predict(_last_digit_moved(batch)), wanted, action_space)
            )
            if not difference <= allowed:
                raise ExportError(
                    f"the file differs from predict by {difference:.1g} of the largest action, and rounding explains "
                    f"{allowed:.1g}; nothing was written"
                )
            largest = max(largest, difference)
        written.replace(path)
    number = sum(len(next(iter(b.values())) if isinstance(b, Mapping) else b) for b in batches)
    return Exported(path, number, largest, play)


def _difference(given: NDArray[Any], wanted: NDArray[Any], space: spaces.Box) -> float:
    """Tell the largest difference as a share of the largest bound; rounding to whole numbers is none."""
    if given.shape != wanted.shape:
        raise ExportError(f"the file gives actions of shape {given.shape[1:]}, and predict {wanted.shape[1:]}")
    largest = np.maximum(np.abs(space.high.astype(np.float64)), np.abs(space.low.astype(np.float64)))
    rounding = 0.5 if np.dtype(space.dtype).kind in "iu" else 0.0
    away = np.maximum(np.abs(given.astype(np.float64) - wanted) - rounding, 0)
    return float((away / largest).max())


def _last_digit_moved(batch: Any) -> Any:
    """Change each number by the precision of float32, up or down."""
    if isinstance(batch, Mapping):
        return {key: _last_digit_moved(part) for key, part in batch.items()}
    if batch.dtype.kind != "f":
        return batch
    signs = np.random.default_rng(0).choice((-1.0, 1.0), batch.shape)
    return (batch * (1 + signs * np.finfo(np.float32).eps)).astype(batch.dtype)


def facts_of(observation_space: spaces.Space[Any], action_space: spaces.Space[Any]) -> dict[str, Any]:
    """Say in plain data what a file's inputs and outputs are.

    :param observation_space: raw
    :param action_space: the environment's
    """
    return {
        "format": FORMAT,
        "observation_space": describe_space(observation_space),
        "action_space": describe_space(action_space),
        "versions": versions(),
    }


def drawn(space: spaces.Space[Any], number: int) -> Any:
    """Draw observations, the same ones each time.

    :param space: raw
    :param number: how many
    """
    space.seed(0)
    return _stacked([space.sample() for _ in range(number)])


def corners(space: spaces.Space[Any]) -> Any:
    """Give observations at the corners of a space: all lowest, all highest, and mixtures.

    :param space: raw; where a Box has no bound, ±1000 is one
    """
    rng = np.random.default_rng(0)
    return _stacked([_corner(space, rng, number) for number in range(_CORNERS)])


def _corner(space: spaces.Space[Any], rng: np.random.Generator, number: int) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: _corner(part, rng, number) for key, part in space.spaces.items()}
    if not isinstance(space, spaces.Box):
        return space.sample()
    low, high = np.maximum(space.low, -_FAR), np.minimum(space.high, _FAR)
    if number < 2:
        return (low, high)[number].astype(space.dtype)
    return np.where(rng.random(space.shape) < 0.5, low, high).astype(space.dtype)


def _stacked(observations: list[Any]) -> Any:
    if isinstance(observations[0], dict):
        return {key: np.stack([one[key] for one in observations]) for key in observations[0]}
    return np.stack(observations)


def raw_space_of(env: VecEnv) -> spaces.Space[Any]:
    """Give the observations as they are before SB3 normalises them and turns pictures channel-first.

    :param env: with SB3's wrappers
    """
    while isinstance(env, VecTransposeImage | VecNormalize | BoundedActions):
        env = env.venv
    return env.observation_space


def _write_npz(program: Program, path: Path, metadata: dict[str, Any]) -> None:
    from sb3_ddpg_custom.export.npz_file import write_npz

    write_npz(program, path, metadata)


def _write_onnx(program: Program, path: Path, metadata: dict[str, Any]) -> None:
    from sb3_ddpg_custom.export.onnx_file import write_onnx

    write_onnx(program, path, metadata)


def _write_torchscript(program: Program, path: Path, metadata: dict[str, Any]) -> None:
    from sb3_ddpg_custom.export.torchscript_file import write_torchscript

    write_torchscript(program, path, metadata)


_WRITERS: dict[FormatName, Callable[[Program, Path, dict[str, Any]], None]] = {
    "npz": _write_npz,
    "onnx": _write_onnx,
    "torchscript": _write_torchscript,
}


def _player(kind: FormatName, path: Path, program: Program) -> Predict:
    if kind == "npz":
        policy = Policy(path)
        return lambda batch: policy.predict(batch)[0]
    if kind == "onnx":
        from sb3_ddpg_custom.export.onnx_policy import OnnxPolicy

        runtime = OnnxPolicy(path)
        return lambda batch: runtime.predict(batch)[0]
    import torch as th

    load: Any = th.jit.load  # without types
    module = load(path)  # which we have just written

    def play(batch: Any) -> NDArray[Any]:
        parts = [batch[one.name] for one in program.inputs] if isinstance(batch, Mapping) else [batch]
        with th.no_grad():
            actions: NDArray[Any] = module(*(th.from_numpy(np.ascontiguousarray(part)) for part in parts)).numpy()
        return actions

    return play
