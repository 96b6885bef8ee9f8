"""Requests: frozen dataclasses whose fields are a command's options, each declared once.

From the one declaration come the command's parameters with their help, the object that its function gets, and the
command line that asks for the same again.
"""

import inspect
import shlex
from collections.abc import Callable, Iterator
from dataclasses import MISSING, Field, fields
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from sb3_ddpg_custom.cli.paths import shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

Request = TypeVar("Request", bound="DataclassInstance")


def takes(kind: type[Request]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of a request, which its function gets as its first argument.

    :param kind: a dataclass, each field an ``Annotated[type, typer.Option(...)]`` or ``typer.Argument``
    :return: a decorator; the function's other parameters stay options of their own
    """
    names = [field.name for field in fields(kind)]
    repeatable = [field.name for field, of_type, _ in _declared(kind) if _is_tuple(of_type)]

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [*inspect.signature(command).parameters.values()][1:]

        @wraps(command)
        def run(**given: Any) -> None:
            asked = {name: given.pop(name) for name in names}
            asked |= {name: tuple(asked[name] or ()) for name in repeatable}
            command(kind(**asked), **given)

        parameters = [*map(_parameter, _declared(kind)), *own]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def command_line(name: str, request: "DataclassInstance") -> str:
    """Write the command that makes a request; what it leaves to the defaults is left out.

    :param name: of the command, such as ``train``
    :param request: what was asked for
    """
    words = ["ddpg", name]
    for field, _, info in _declared(type(request)):
        value = getattr(request, field.name)
        if isinstance(info, ArgumentInfo):
            words.append(_word(value))
        elif value is True:
            words.append(_flag(field, info))
        elif value != field.default:
            for one in value if isinstance(value, tuple) else (value,):
                words += [_flag(field, info), _word(one)]
    return shlex.join(words)


def _declared(kind: type[Any]) -> "Iterator[tuple[Field[Any], Any, ParameterInfo]]":
    hints = get_type_hints(kind, include_extras=True)
    for field in fields(kind):
        of_type, info = get_args(hints[field.name])
        yield field, of_type, info


def _parameter(declared: "tuple[Field[Any], Any, ParameterInfo]") -> inspect.Parameter:
    field, of_type, info = declared
    default: Any = inspect.Parameter.empty if field.default is MISSING else field.default
    if info.parser is not None:  # which says what the text becomes: a type of many kinds is none of Typer's
        of_type = str if default is inspect.Parameter.empty else str | None
    elif _is_tuple(of_type):
        of_type, default = list[str] | None, None
    annotation: Any = Annotated[of_type, info]
    return inspect.Parameter(
        field.name, inspect.Parameter.POSITIONAL_OR_KEYWORD, default=default, annotation=annotation
    )


def _is_tuple(of_type: Any) -> bool:
    return get_origin(of_type) is tuple


def _flag(field: "Field[Any]", info: ParameterInfo) -> str:
    # In Annotated, the first word of typer.Option(...) lands where its default would.
    named = isinstance(info, OptionInfo) and isinstance(info.default, str)
    return str(info.default) if named else f"--{field.name.replace('_', '-')}"


def _word(value: Any) -> str:
    return str(shown(value) if isinstance(value, Path) else value)
