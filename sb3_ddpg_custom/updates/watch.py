"""Is this still the network that was looked at? Asked at every step, so it may cost next to nothing."""

from collections.abc import Iterable
from operator import attrgetter, is_
from typing import Any

from torch import nn

_needs_gradient = attrgetter("requires_grad")


class Watch:
    """Remembers what modules are made of, and notices when something is replaced, added or frozen.

    Identity is compared: of submodules, parameters and classes. Attributes are counted, which tells of a method that
    was assigned to an object. Hooks are :mod:`hooks`' business, memory is :class:`FlatParameters`'s.

    :param modules: all of them, parents and children
    :param trained: parameters that must go on asking for gradients
    """

    def __init__(self, modules: Iterable[nn.Module], trained: Iterable[nn.Parameter]) -> None:
        self._modules = list(modules)
        self._attributes = [module.__dict__ for module in self._modules]
        self._counts = list(map(len, self._attributes))
        self._kinds = list(map(type, self._modules))
        # Dicts and lists are compared entry by entry, by identity first. Modules are equal to nothing else, and tensors
        # raise an error when they are asked, unless they have one element.
        parts: list[Any] = [part for module in self._modules for part in (module._modules, module._parameters) if part]
        lists = [
            (attributes, name, value)
            for attributes in self._attributes
            for name, value in attributes.items()
            if _lists_modules(value)
        ]
        parts += [value for _, _, value in lists]
        self._parts, self._parts_then = parts, [part.copy() for part in parts]
        single = [
            (module._parameters, name, parameter)
            for module in self._modules
            for name, parameter in module._parameters.items()
            if parameter is not None and parameter.numel() == 1
        ]
        # Such as the slope of a leaky ReLU.
        constants = [
            (module.__dict__, name, module.__dict__[name])
            for module in self._modules
            for name in getattr(module, "__constants__", ())
            if name in module.__dict__ and name != "inplace" and not isinstance(module, nn.Linear | nn.Flatten)
        ]
        alone = [*single, *lists, *constants]
        self._owners = [owner for owner, _, _ in alone]
        self._names = [name for _, name, _ in alone]
        self._values = [value for _, _, value in alone]
        self._trained = list(trained)

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy watches the copied modules, not copies of their attributes.
        return Watch, (self._modules, self._trained)

    def is_same(self) -> bool:
        """Say whether nothing was replaced, added or frozen since.

        :raises RuntimeError: where a tensor took the place of another thing: it does not compare
        """
        return (
            list(map(len, self._attributes)) == self._counts
            and self._parts == self._parts_then
            and all(map(_needs_gradient, self._trained))
            and all(map(is_, map(dict.get, self._owners, self._names), self._values))
            and list(map(type, self._modules)) == self._kinds
        )


def _lists_modules(value: object) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, nn.Module) for one in value)
