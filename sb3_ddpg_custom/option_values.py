"""The values that options of the algorithm can have; free of torch, so that a command knows them at once."""

from numbers import Integral, Real
from typing import Any, Literal

#: how updates are computed, see :func:`sb3_ddpg_custom.updates.make_update`
UpdateName = Literal["auto", "compiled", "analytic", "autograd"]
#: what the updates' large matrix products are computed in
Precision = Literal["float32", "bfloat16"]
#: which networks have layer normalisation, see :mod:`sb3_ddpg_custom.layer_norm`
LayerNormName = Literal["critic", "actor", "both"]
#: where a replay buffer keeps its records, see :class:`sb3_ddpg_custom.ReplayBuffer`
StorageName = Literal["auto", "memory", "cuda"]


def check_positive(*, or_zero: bool = False, **options: Any) -> None:
    """Check that options are numbers above 0, or None; functions, which schedules are, are left alone.

    :param or_zero: 0 is allowed
    :param options: by name
    :raises ValueError: which names the first that is something else
    """
    for name, value in options.items():
        if value is None or callable(value):
            continue
        if not _is_number(value) or not (value > 0 or (or_zero and value == 0)):
            raise ValueError(f"{name} must be {'at least' if or_zero else 'above'} 0, got {value!r}")


def check_count(**options: Any) -> None:
    """Check that options are whole numbers above 0.

    :param options: by name
    :raises ValueError: which names the first that is something else
    """
    for name, value in options.items():
        if not isinstance(value, Integral) or isinstance(value, bool):
            raise ValueError(f"{name} must be a whole number, got {value!r}")
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}")


def check_switch(**options: Any) -> None:
    """Check that options are True, False or None.

    :param options: by name
    :raises ValueError: which names the first that is something else
    """
    for name, value in options.items():
        if value is not None and not isinstance(value, bool):
            raise ValueError(f"{name} must be True, False or None, got {value}")


def check_share(**options: Any) -> None:
    """Check that options are numbers above 0 and at most 1, or None.

    :param options: by name
    :raises ValueError: which names the first that is something else
    """
    for name, value in options.items():
        if value is not None and not (_is_number(value) and 0 < value <= 1):
            raise ValueError(f"{name} must be above 0 and at most 1, or None, got {value!r}")


def _is_number(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)
