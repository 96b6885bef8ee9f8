"""Text to plain data and back: YAML, rl_zoo3's ``"dict(...)"`` strings, and hints for misspelt words.

Nothing here runs what it reads: YAML goes through a safe loader, and ``"dict(...)"`` through the syntax tree.
"""

import ast
import difflib
import keyword
import math
import re
import reprlib
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.yaml_values import number

MAX_FILE_BYTES = 1_000_000
# Generous for hyper-parameters, and small enough to stop a file of aliases that unfolds to millions of values.
MAX_VALUES = 10_000
MAX_DEPTH = 20
MAX_INTEGER = 2**63 - 1

_FLOAT_TAG = "tag:yaml.org,2002:float"
# YAML 1.1, which PyYAML implements, wants a dot and a signed exponent in a float; people write 1e-3 and 1e6.
_EXPONENT = re.compile(r"^[-+]?[0-9][0-9_]*(?:\.[0-9_]*)?[eE][-+]?[0-9]+$")


class _Loader(yaml.SafeLoader):
    """PyYAML's safe loader, which also reads ``1e-3`` as a number and refuses duplicate keys."""

    def compose_mapping_node(self, anchor: dict[Any, yaml.Node]) -> yaml.MappingNode:
        node = super().compose_mapping_node(anchor)
        seen = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode) and key.value in seen:
                raise yaml.composer.ComposerError(None, None, f"duplicate key {key.value!r}", key.start_mark)
            seen.add(key.value if isinstance(key, yaml.ScalarNode) else id(key))
        return node

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        """Merge ``<<``; a file of merges of merges would unfold to more than memory holds."""
        super().flatten_mapping(node)
        if len(node.value) > MAX_VALUES:
            raise yaml.constructor.ConstructorError(
                None, None, f"merges that unfold to more than {MAX_VALUES:,} values", node.start_mark
            )


class _Dumper(yaml.SafeDumper):
    """PyYAML's safe dumper, without anchors and with quotes around strings that look like ``1e-3``."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 (PyYAML's signature)
        return True


_Loader.add_implicit_resolver(_FLOAT_TAG, _EXPONENT, list("-+0123456789"))
_Dumper.add_implicit_resolver(_FLOAT_TAG, _EXPONENT, list("-+0123456789"))


def read_text(path: Path) -> str:
    """Read a configuration file.

    :param path: the file
    :return: its text
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise UsageError(f"`{shown(path)}` does not exist; name an existing YAML file") from None
    except IsADirectoryError:
        raise UsageError(f"`{shown(path)}` is a directory; name a YAML file in it") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL character in the path
        reason = error.strerror if isinstance(error, OSError) else error
        raise UsageError(f"`{shown(path)}` cannot be read ({reason}); name a readable YAML file") from None
    if len(content) > MAX_FILE_BYTES:
        raise UsageError(
            f"`{shown(path)}` is larger than {MAX_FILE_BYTES:,} bytes; name a YAML file of hyper-parameters"
        )
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UsageError(f"`{shown(path)}` is not UTF-8 text (byte {error.start}); save it as UTF-8") from None


def parse_yaml(text: str, source: str) -> Any:
    """Parse YAML, as data only.

    :param text: the YAML text
    :param source: where it comes from, for error messages
    :return: what the text says
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 (a subclass of SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        problem = error.problem or "it cannot be parsed"
        tag = re.search(r"constructor for the tag '(.*)'", problem)
        if tag:
            name = tag[1].replace("tag:yaml.org,2002:", "!!")
            remedy = f"the tag {name} is refused, for a config is data only; write plain YAML instead"
        else:
            remedy = f"this is not valid YAML ({problem}); correct it there"
        raise UsageError(f"`{source}`{place}: {remedy}") from None
    except RecursionError:
        raise UsageError(f"`{source}` is nested too deep; {MAX_DEPTH} levels are allowed") from None
    except yaml.YAMLError as error:  # a character that YAML does not allow
        reason = " ".join(str(error).split())
        raise UsageError(f"`{source}` is not valid YAML ({reason}); remove that character") from None
    except Exception as error:
        # "!!bool maybe", "!!int ''" and "2020-13-45" end in whatever PyYAML's scalar constructors happen to raise.
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(f"`{source}` has a value that YAML cannot read ({reason}); correct or quote it") from None


def dump_yaml(data: Any) -> str:
    """Write plain data as YAML that any YAML 1.1 reader understands, floats included.

    :param data: mappings, lists and scalars
    :return: the YAML text
    """
    # A width that no line reaches: PyYAML's folding of long strings is hard to read. It stays ASCII because PyYAML
    # does not read back every Unicode line break that it writes.
    return yaml.dump(data, Dumper=_Dumper, sort_keys=False, width=100_000)


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


def did_you_mean(word: object, choices: Iterable[str]) -> str:
    """Suggest a correction.

    :param word: what was received
    :param choices: what would have been right
    :return: ``"; did you mean '...'?"``, or nothing where no choice is close
    """
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(str(word)[:100].lower(), by_lower, n=1)
    return f"; did you mean '{by_lower[close[0]]}'?" if close else ""


class _Shorten(reprlib.Repr):
    def repr_int(self, x: int, level: int) -> str:
        repr(x)  # 3.13.6 and later describe an integer too large to write out, by its address; earlier ones raise
        return super().repr_int(x, level)


def received(value: object) -> str:
    """Show a value in an error message.

    :param value: anything
    :return: its representation, on one line and shortened
    """
    shorten = _Shorten()
    shorten.maxlevel = 2
    shorten.maxstring = shorten.maxother = 60
    try:
        text = shorten.repr(value)
    except ValueError:  # Python refuses to write out an integer of thousands of digits
        return "too large a number"
    return text if len(text) <= 120 else f"{text[:117]}..."
