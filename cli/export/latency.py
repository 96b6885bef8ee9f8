"""How long one step takes: the NumPy player, onnxruntime, and ``predict``."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sb3_ddpg_custom.export.npz_file import write_npz
from sb3_ddpg_custom.export.player import Policy
from sb3_ddpg_custom.export.program import Program

_ROUNDS, _WARM_UP = 500, 20


@dataclass(frozen=True)
class Latency:
    """Of one step, a single observation.

    :param by: who computes it
    :param median_us: microseconds
    :param p99_us: microseconds that 99 of 100 steps stay below
    """

    by: str
    median_us: float
    p99_us: float


def latencies(program: Program, predict: Callable[[Any], Any], observations: Any) -> tuple[Latency, ...]:
    """Measure, in turn, whatever can compute the policy here.

    :param program: what the policy computes
    :param predict: ``model.predict`` of a batch
    :param observations: raw, a batch
    """
    with tempfile.TemporaryDirectory() as folder:
        scratch = Path(folder)
        write_npz(program, scratch / "policy.npz", {})
        player = Policy(scratch / "policy.npz")
        calls: dict[str, Callable[[Any], Any]] = {"NumPy player": lambda batch: player(_first(batch))}
        onnx = _onnx(program, scratch / "policy.onnx")
        if onnx is not None:
            calls["onnxruntime"] = onnx
        calls["predict"] = predict
        singles = [_row(observations, place % _length(observations)) for place in range(_ROUNDS + _WARM_UP)]
        seconds = {name: np.empty(_ROUNDS) for name in calls}
        for place, single in enumerate(singles):
            for name, call in calls.items():
                began = time.perf_counter()
                call(single)
                if place >= _WARM_UP:
                    seconds[name][place - _WARM_UP] = time.perf_counter() - began
    return tuple(
        Latency(name, round(1e6 * float(np.median(took)), 1), round(1e6 * float(np.quantile(took, 0.99)), 1))
        for name, took in seconds.items()
    )


def _onnx(program: Program, path: Path) -> Callable[[Any], Any] | None:
    from sb3_ddpg_custom.export.onnx_file import write_onnx
    from sb3_ddpg_custom.export.onnx_policy import OnnxPolicy

    try:
        write_onnx(program, path, {})
        return OnnxPolicy(path).predict
    except ImportError:
        return None


def _length(observations: Any) -> int:
    return len(next(iter(observations.values())) if isinstance(observations, dict) else observations)


def _row(observations: Any, place: int) -> Any:
    if isinstance(observations, dict):
        return {key: part[place : place + 1] for key, part in observations.items()}
    return observations[place : place + 1]


def _first(batch: Any) -> Any:
    return {key: part[0] for key, part in batch.items()} if isinstance(batch, dict) else batch[0]
