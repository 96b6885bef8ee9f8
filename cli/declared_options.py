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
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin, get_type_hints

from typer.models import ArgumentInfo, OptionInfo, ParameterInfo

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def takes(*kinds: "type[DataclassInstance]") -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Give a command the options of requests, which its function gets as its first arguments.

    :param kinds: dataclasses, each field an ``Annotated[type, typer.Option(...)]`` or ``typer.Argument``
    :return: a decorator; the function's other parameters stay options of their own
    """

    def decorate(command: Callable[..., None]) -> Callable[..., None]:
        own = [*inspect.signature(command).parameters.values()][len(kinds) :]

        @wraps(command)
        def run(**given: Any) -> None:
            requests = [_taken(kind, given) for kind in kinds]
            command(*requests, **given)

        parameters = [*(_parameter(one) for kind in kinds for one in _declared(kind)), *own]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        return run

    return decorate


def _taken(kind: "type[DataclassInstance]", given: dict[str, Any]) -> "DataclassInstance":
    """Take a request's values out of what a command was given."""
    values = {}
    for field, of_type, _ in _declared(kind):
        value = given.pop(field.name)
        values[field.name] = tuple(value or ()) if _is_tuple(of_type) else value
    return kind(**values)


def command_line(name: str, *requests: "DataclassInstance") -> str:
    """Write the command that makes requests; what they leave to the defaults is left out.

    :param name: of the command, such as ``train``
    :param requests: what was asked for
    """
    arguments: list[str] = []
    options: list[str] = []
    for request in requests:
        for field, _, info in _declared(type(request)):
            value = getattr(request, field.name)
            several = value if isinstance(value, tuple) else (value,)
            if isinstance(info, ArgumentInfo):
                arguments += map(_word, several)
            elif value is True:
                options.append(_flag(field, info))
            elif value != field.default:
                for one in several:
                    options += [_flag(field, info), _word(one)]
    return shlex.join(["ddpg", name, *arguments, *options])


def read_value(kind: "type[DataclassInstance]", name: str, value: Any) -> Any:
    """Take an option's value from a file, as strictly as from the command line.

    :param kind: of the request
    :param name: of its field
    :param value: plain data
    :raises ValueError: saying what is wrong with it
    """
    from pydantic import TypeAdapter, ValidationError

    of_type, info = next((of_type, info) for field, of_type, info in _declared(kind) if field.name == name)
    try:
        if info.parser is not None and value is not None:
            return info.parser(str(value))
        if isinstance(value, bool) and bool not in (of_type, *get_args(of_type)):
            raise ValueError("it should be something other than true or false")
        read = TypeAdapter(of_type).validate_python(value)
    except ValidationError as error:
        raise ValueError(error.errors(include_url=False)[0]["msg"]) from None
    except UsageError as error:
        raise ValueError(str(error)) from None
    if read is not None and info.min is not None and read < info.min:
        raise ValueError(f"it should be at least {info.min}")
    if read is not None and info.max is not None and read > info.max:
        raise ValueError(f"it should be at most {info.max}")
    return read


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
