"""rl_zoo3's ``"dict(...)"`` strings to mappings and back, by the syntax tree: nothing here runs what it reads."""

import ast
import keyword
import math
import re
from collections.abc import Collection, Mapping
from typing import Any

from sb3_ddpg_custom.cli.config.plain import plain
from sb3_ddpg_custom.cli.errors import received


def parse_kwargs(text: str) -> dict[str, Any]:
    """Parse rl_zoo3's string form of keyword arguments, without evaluating it.

    >>> parse_kwargs("dict(net_arch=[400, 300], activation_fn=nn.ReLU)")
    {'net_arch': [400, 300], 'activation_fn': 'nn.ReLU'}

    :param text: ``"dict(...)"`` or ``"{...}"``
    :return: the mapping; dotted names stay strings, tuples become lists
    :raises ValueError: when it is not a mapping, or holds more than literals and names
    """
    try:
        value = _literal(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, RecursionError, MemoryError):
        value = None
    if not isinstance(value, dict):
        raise ValueError("expected a mapping, or a string such as 'dict(net_arch=[400, 300])'")
    return value


def plain_kwargs(value: Any) -> dict[str, Any]:
    """Read keyword arguments, written as a mapping or in rl_zoo3's string form.

    :param value: anything
    :return: a copy that shares nothing mutable with ``value``; empty for None
    :raises ValueError: when it is not a mapping of plain data with string keys
    """
    if value is None:
        return {}
    if isinstance(value, str):
        value = parse_kwargs(value)
    if not isinstance(value, Mapping):
        raise ValueError("expected a mapping, or a string such as 'dict(net_arch=[400, 300])'")
    copied: dict[str, Any] = plain(value)
    if not all(isinstance(key, str) for key in copied):
        raise ValueError("expected a mapping whose keys are strings")
    return copied


def _literal(node: ast.expr) -> Any:
    match node:
        case ast.Constant(value=None | bool() | int() | float() | str() as value):
            return value
        case ast.UnaryOp(op=ast.USub(), operand=ast.Constant(value=int() | float() as value)):
            return -value
        case ast.List(elts=items) | ast.Tuple(elts=items):
            return [_literal(item) for item in items]
        case ast.Dict(keys=keys, values=values) if all(isinstance(key, ast.Constant) for key in keys):
            return {_literal(key): _literal(item) for key, item in zip(keys, values, strict=True) if key}
        case ast.Call(func=ast.Name(id="dict"), args=[], keywords=keywords) if all(word.arg for word in keywords):
            return {str(word.arg): _literal(word.value) for word in keywords}
        case ast.Name() | ast.Attribute() if re.fullmatch(r"[\w.]+", name := ast.unparse(node)):
            return name
    raise ValueError(f"{received(ast.unparse(node))} is not plain data; use only literals, dict(...) and class names")


def format_kwargs(mapping: Mapping[str, Any], names: Collection[str] = ()) -> str:
    """Write a mapping in rl_zoo3's string form, the inverse of :func:`parse_kwargs`.

    :param mapping: plain data
    :param names: the keys at the top whose string values are class names, written without quotes
    :return: such as ``"dict(net_arch=[400, 300], activation_fn=nn.ReLU)"``
    """
    written = {
        key: value if key in names and is_dotted_name(value) else _expression(value) for key, value in mapping.items()
    }
    # ASCII only: Python folds other letters of a name, so "µ" would come back as another character.
    if all(is_dotted_name(key) and key.isascii() and "." not in key for key in written):
        return "dict(" + ", ".join(f"{key}={value}" for key, value in written.items()) + ")"
    return "{" + ", ".join(f"{key!r}: {value}" for key, value in written.items()) + "}"


def is_dotted_name(value: object) -> bool:
    """Tell whether a value reads as a Python name.

    :param value: anything
    :return: True for ``"nn.ReLU"`` and ``"ReLU"``, False for ``"None"``, ``"a b"`` and what is no string
    """
    if not isinstance(value, str):
        return False
    return all(part.isidentifier() and not keyword.iskeyword(part) for part in value.split("."))


def _expression(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key!r}: {_expression(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_expression(item) for item in value) + "]"
    if isinstance(value, float) and math.isinf(value):
        return "1e999" if value > 0 else "-1e999"  # repr() would be the name "inf"
    return repr(value)
