"""What a subclass, or an assignment to an object or a class, overrides.

The quick ways to update, to act and to sample do without some of SB3's methods. Whoever overrides one of these wants it
called, so the quick ways ask here first.
"""

import sys
from collections.abc import Iterable
from types import CodeType
from typing import Any

from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.td3.policies import Actor, TD3Policy
from torch import nn

# Of a policy: what builds or stores it. Updates and acting look at what was built.
_BUILDING = frozenset(
    {
        *("__init__", "_build", "make_actor", "make_critic", "make_features_extractor", "_update_features_extractor"),
        *("_get_constructor_parameters", "_dummy_schedule", "init_weights"),
        *("save", "load", "load_from_vector", "parameters_to_vector", "extra_repr", "__repr__", "_get_name"),
    }
)
# Of a policy: what an update never calls.
_ACTING = frozenset(
    {
        *("predict", "_predict", "forward", "obs_to_tensor", "is_vectorized_observation", "extract_features"),
        *("scale_action", "unscale_action", "squash_output", "set_training_mode"),
    }
)
# What every class statement writes.
_OF_EVERY_CLASS = frozenset(
    {
        *("__module__", "__qualname__", "__doc__", "__dict__", "__weakref__", "__annotations__", "__annotate_func__"),
        *("__annotations_cache__", "__abstractmethods__", "_abc_impl", "__parameters__", "__orig_bases__"),
        *("__firstlineno__", "__static_attributes__", "__slots__"),
    }
)
# Whose classes the quick ways know: they do themselves what these override.
_KNOWN = frozenset({"sb3_ddpg_custom.normalized_policies"})


def overridden(instance: object, base: type, harmless: Iterable[str] = ()) -> str | None:
    """Name one attribute of a class that an object has otherwise; None if there is none.

    :param instance: of ``base`` or a subclass
    :param base: whose methods and properties count
    :param harmless: names that may be overridden
    """
    kind = type(instance)
    if base not in kind.__mro__:
        return kind.__name__
    by_class = _overridden_by_class(kind, base) - frozenset(harmless)
    if by_class:
        return min(by_class)
    for name in getattr(instance, "__dict__", ()):
        if name not in harmless and callable(getattr(base, name, None)):
            return str(name)
    return _replaced(base, harmless)


def _overridden_by_class(kind: type, base: type) -> frozenset[str]:
    before = kind.__mro__[: kind.__mro__.index(base)]
    between = [one for one in before if one.__module__ not in _KNOWN]
    names = {name for one in between for name in vars(one) if hasattr(base, name)}
    return frozenset(names - _OF_EVERY_CLASS)


def _of_sb3(base: type) -> list[type]:
    return [one for one in base.__mro__ if one.__module__.startswith("stable_baselines3.")]


def is_as_written(kind: type, *names: str) -> bool:
    """Say whether methods are those of the source, of a class and of all that it derives from.

    What was assigned to a class is found by the file of its code, whenever that was, and whatever name it goes by.

    :param kind: a class
    :param names: of its methods
    """
    return all(_is_in_source(one, name) for one in kind.__mro__ for name in names if name in vars(one))


def _is_in_source(owner: type, name: str) -> bool:
    code = _code(vars(owner)[name])
    return code is not None and code.co_filename == getattr(sys.modules.get(owner.__module__), "__file__", None)


def _code(value: Any) -> CodeType | None:
    """Take the code of a method, a property, a class method or a static one; None where it has none."""
    if isinstance(value, property):
        value = value.fget
    code = getattr(getattr(value, "__func__", value), "__code__", None)
    return code if isinstance(code, CodeType) else None


# Classes can be written to as well: these are SB3's as they came; None stands for what somebody wrote to them before.
_AS_THEY_CAME: dict[type, dict[str, Any]] = {
    one: {
        name: value if _code(value) is None or _is_in_source(one, name) else None for name, value in vars(one).items()
    }
    for base in (TD3Policy, Actor, ContinuousCritic, FlattenExtractor)
    for one in _of_sb3(base)
}


# What is looked at all the time.
_METHODS = [
    *((TD3Policy, "predict"), (TD3Policy, "_predict"), (Actor, "forward")),
    *((ContinuousCritic, "forward"), (ContinuousCritic, "q1_forward"), (nn.Linear, "forward")),
    (nn.LayerNorm, "forward"),
]
_CLASSES, _NAMES = [kind for kind, _ in _METHODS], [name for _, name in _METHODS]
_METHODS_THEN = [getattr(kind, name) if is_as_written(kind, name) else None for kind, name in _METHODS]


def classes_are_as_they_came() -> bool:
    """Say whether nobody has written to the classes that networks are made of, as far as is cheap to see."""
    return list(map(getattr, _CLASSES, _NAMES)) == _METHODS_THEN


def _replaced(base: type, harmless: Iterable[str]) -> str | None:
    for one in _of_sb3(base):
        as_it_came = _AS_THEY_CAME.get(one)
        for name, value in vars(one).items():
            if as_it_came is None or name in _OF_EVERY_CLASS or name in harmless:
                continue
            overrides = any(name in vars(above) for above in one.__mro__[1:])
            if as_it_came[name] is not value if name in as_it_came else overrides:
                return name
    return None


def has_own(model: object, name: str) -> bool:
    """Say whether an algorithm, or its class, has a method that neither SB3 nor this package wrote.

    :param model: an SB3 algorithm
    :param name: of a method that it has
    """
    if name in model.__dict__:
        return True
    owner = next(kind for kind in type(model).__mro__ if name in vars(kind))
    is_known = owner.__module__.startswith(("sb3_ddpg_custom.", "stable_baselines3."))
    return not (is_known and _is_in_source(owner, name))


def overridden_for_updates(policy: object) -> str | None:
    """Name what of a policy an update by hand would not obey; None if nothing.

    :param policy: a ``TD3Policy``; its networks are looked at by themselves
    """
    return overridden(policy, TD3Policy, _BUILDING | _ACTING)


def overridden_for_acting(policy: Any) -> str | None:
    """Name what of a policy quick acting would not obey; None if nothing.

    :param policy: a ``TD3Policy``
    """
    return overridden(policy, TD3Policy, _BUILDING) or overridden(policy.actor, Actor, _BUILDING)


def overrides_modes(policy: object) -> bool:
    """Say whether a policy does more than SB3's where its training mode is set.

    :param policy: a ``TD3Policy``
    """
    return overridden(policy, TD3Policy, _BUILDING | _ACTING - {"set_training_mode"}) is not None
