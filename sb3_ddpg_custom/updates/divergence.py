"""What an update that came out as no number leaves behind: where it came from, and the batch."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray

from sb3_ddpg_custom.updates.interface import Batch, UpdateStatistics


class NonFiniteUpdateError(ArithmeticError):
    """An update's losses or gradients are NaN or infinite; no step was made along such a gradient on the CPU.

    :param statistics: of the training's updates
    :param batch: the last one that was trained on
    :param policy: as it is now
    """

    def __init__(self, statistics: UpdateStatistics, batch: Batch, policy: Any) -> None:
        self.statistics = statistics
        self.batch = arrays_of(batch)
        super().__init__(f"{_named(statistics)}; {_source(self.batch, policy)}")


def arrays_of(batch: Batch) -> dict[str, NDArray[Any]]:
    """Copy a batch's tensors, those of Dict observations as ``observations:key``.

    :param batch: as it was sampled
    """
    arrays: dict[str, NDArray[Any]] = {}
    for name, value in batch._asdict().items():
        parts = {f"{name}:{key}": part for key, part in value.items()} if isinstance(value, dict) else {name: value}
        for key, part in parts.items():
            if isinstance(part, th.Tensor):
                arrays[key] = part.detach().float().cpu().numpy().copy()
            elif isinstance(part, np.ndarray):
                arrays[key] = part.copy()
    return arrays


def _named(statistics: UpdateStatistics) -> str:
    bad = [f"{name} is {value}" for name, value in statistics._asdict().items() if not np.isfinite(value)]
    return ", ".join(bad[:3])


def _source(batch: dict[str, NDArray[Any]], policy: Any) -> str:
    in_batch = [name for name, array in batch.items() if array.dtype.kind == "f" and not np.isfinite(array).all()]
    if in_batch:
        return f"the batch has {' and '.join(in_batch[:3])} that are no finite numbers"
    largest = max(batch, key=lambda name: _size(batch[name]))
    if _size(batch[largest]) > 1e6:
        return f"the batch has {largest} of size {_size(batch[largest]):.1e}; scale them, or normalise"
    broken = list(_broken(policy))
    learning = "lower the learning rate, bound max_grad_norm, or normalise"
    return f"weights of {', '.join(broken[:2])} overflowed; {learning}" if broken else f"it overflowed; {learning}"


def _size(array: NDArray[Any]) -> float:
    return float(np.abs(array).max()) if array.dtype.kind == "f" and array.size else 0.0


def _broken(policy: Any) -> Iterator[str]:
    for name in ("actor", "critic"):
        if not all(bool(parameter.isfinite().all()) for parameter in getattr(policy, name).parameters()):
            yield f"the {name}"
