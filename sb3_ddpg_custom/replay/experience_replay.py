"""The notes' replay buffer, usable without Stable-Baselines3 and without spaces."""

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sb3_ddpg_custom.option_values import check_count
from sb3_ddpg_custom.replay.records import Field, Records


class ExperienceReplay:
    """First-in-first-out memory of transitions (s, a, r, t, s2), sampled uniformly without replacement.

    The shapes and types are learned at the first :meth:`add`. Sampling has a random generator of its own: neither
    NumPy's global state nor torch's touches it.

    >>> replay = ExperienceReplay(buffer_size=2, random_seed=1234)
    >>> for step in range(3):
    ...     replay.add(s=[step, 0.0], a=[0.5], r=-step, t=False, s2=[step + 1, 0.0])
    >>> replay.size()
    2
    >>> s, a, r, t, s2 = replay.sample_batch(64)
    >>> sorted(r.tolist())
    [-2.0, -1.0]

    :param buffer_size: number of transitions kept; the oldest gives way to the newest
    :param random_seed: seed of the sampling, None for a fresh one
    :raises ValueError: if ``buffer_size`` is no whole number above 0
    """

    def __init__(self, buffer_size: int, random_seed: int | None = None) -> None:
        check_count(buffer_size=buffer_size)
        self.buffer_size = buffer_size
        self._generator = np.random.default_rng(random_seed)
        self._records: Records | None = None
        self._added = 0

    def add(self, s: ArrayLike, a: ArrayLike, r: float, t: bool, s2: ArrayLike) -> None:
        """Remember one transition.

        :param s: observation, any shape
        :param a: action, any shape
        :param r: reward
        :param t: whether the task ended here by its own rules (a time limit is no such end)
        :param s2: next observation, the shape of ``s``
        :raises ValueError: if a shape or a kind of number differs from the first transition's
        """
        transition = {
            "s": np.asarray(s),
            "a": np.asarray(a),
            "r": np.asarray(r),
            "t": np.asarray(t),
            "s2": np.asarray(s2),
        }
        records = self._records or Records(self.buffer_size, _learn_fields(transition))
        for name, value in transition.items():
            shape, dtype = records.fields[name].shape, np.dtype(records.fields[name].dtype)
            if value.shape != shape:
                raise ValueError(f"{name} has shape {value.shape}, but this buffer holds {name} of shape {shape}")
            if not np.can_cast(value.dtype, dtype, "same_kind"):
                raise ValueError(f"{name} has type {value.dtype}, but this buffer holds {name} of type {dtype}")
        self._records = records
        row = self._added % self.buffer_size
        for name, value in transition.items():
            records[name][row] = value
        self._added += 1

    def size(self) -> int:
        """Count the transitions in memory."""
        return min(self._added, self.buffer_size)

    def sample_batch(self, batch_size: int) -> tuple[NDArray[Any], ...]:
        """Draw transitions, none of them twice.

        :param batch_size: how many; a smaller memory gives all that it has, in random order
        :return: s (n, *s), a (n, *a), r (n,), t (n,) bool, s2 (n, *s) with n = min(size, batch_size)
        :raises ValueError: if the memory is empty or ``batch_size`` is no whole number above 0
        """
        check_count(batch_size=batch_size)
        if self._records is None or self.size() == 0:
            raise ValueError("the replay buffer is empty: add transitions before you sample")
        indices = self._generator.choice(self.size(), min(self.size(), batch_size), replace=False)
        batch = self._records.gather(indices)
        return tuple(batch[name] for name in ("s", "a", "r", "t", "s2"))

    def clear(self) -> None:
        """Forget all transitions; the shapes, the memory and the random stream stay."""
        self._added = 0


def _learn_fields(transition: dict[str, NDArray[Any]]) -> dict[str, Field]:
    fields = {name: Field(_storage_dtype(value.dtype), value.shape) for name, value in transition.items()}
    return fields | {"r": Field(np.float64, ()), "t": Field(np.bool_, ()), "s2": fields["s"]}


def _storage_dtype(dtype: np.dtype[Any]) -> np.dtype[Any]:
    # A first observation of whole numbers, such as [0, 0], must not make an integer memory that cuts 0.7 to 0.
    return np.dtype(np.float64) if np.issubdtype(dtype, np.integer) and dtype.itemsize == 8 else dtype
