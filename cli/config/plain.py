"""Plain data: mappings, lists, text, numbers, and no more of them than a configuration needs."""

import math
from collections.abc import Mapping
from typing import Any

from sb3_ddpg_custom.cli.errors import received
from sb3_ddpg_custom.yaml_values import number

# Generous for hyper-parameters, and small enough to stop a file of aliases that unfolds to millions of values.
MAX_VALUES = 10_000
MAX_DEPTH = 20
MAX_INTEGER = 2**63 - 1


def plain(value: Any) -> Any:
    """Copy plain data, tuples as lists.

    :param value: mappings, lists, tuples and scalars
    :return: a copy that shares nothing mutable with ``value``
    :raises ValueError: when there is anything else, or more of it than a configuration needs
    """
    left = MAX_VALUES

    def copy(value: Any, depth: int) -> Any:
        nonlocal left
        left -= 1
        if left < 0:
            raise ValueError(f"at most {MAX_VALUES:,} values are allowed")
        if depth > MAX_DEPTH:
            raise ValueError(f"at most {MAX_DEPTH} levels of nesting are allowed")
        if isinstance(value, Mapping):
            return {copy(key, depth + 1): copy(item, depth + 1) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [copy(item, depth + 1) for item in value]
        if value is None or isinstance(value, bool | str):
            return value
        if isinstance(value, int) and abs(value) <= MAX_INTEGER:
            return value
        if isinstance(value, float) and not math.isnan(value):
            return value
        raise ValueError(f"{received(value)} is not plain data; write a number, a string, a list or a mapping")

    return copy(value, 0)


def integer(value: object) -> int | None:
    """Read a whole number, also from ``1e6`` and ``"1e6"``.

    :param value: anything
    :return: the whole number, or None where ``value`` is none (a boolean is none)
    """
    if isinstance(value, int) and not isinstance(value, bool):
        whole = value
    else:
        converted = number(value)
        if converted is None or not converted.is_integer():
            return None
        whole = int(converted)
    return whole if abs(whole) <= MAX_INTEGER else None
