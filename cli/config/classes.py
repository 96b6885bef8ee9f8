"""From the names of classes in the settings to the classes."""

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sb3_ddpg_custom.cli.config.kwargs_text import is_dotted_name, plain_kwargs
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, received


@dataclass(frozen=True)
class _ClassHome:
    """Where the classes that ``policy_kwargs`` may name live."""

    module: str
    base: str
    #: the prefixes people write, and the one that rl_zoo3 understands when it evaluates the string form
    prefixes: tuple[str, ...]
    written: str


_TORCH_LAYERS = "stable_baselines3.common.torch_layers"
CLASS_HOMES = {
    "activation_fn": _ClassHome("torch.nn", "torch.nn.Module", ("", "nn", "th.nn", "torch.nn"), "nn"),
    "optimizer_class": _ClassHome(
        "torch.optim", "torch.optim.Optimizer", ("", "optim", "th.optim", "torch.optim"), "th.optim"
    ),
    # rl_zoo3 has no name for these: only its Python configs can set a features extractor.
    "features_extractor_class": _ClassHome(
        _TORCH_LAYERS, f"{_TORCH_LAYERS}.BaseFeaturesExtractor", ("", _TORCH_LAYERS), _TORCH_LAYERS
    ),
}
# A bare name that rl_zoo3 knows too.
_BARE_REPLAY_BUFFERS = {"HerReplayBuffer": "stable_baselines3.HerReplayBuffer"}


def canonical_names(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Spell class names one way, the way rl_zoo3 understands.

    :param kwargs: ``policy_kwargs``, changed in place
    :return: ``kwargs``
    """
    for key, home in CLASS_HOMES.items():
        prefix, _, name = str(kwargs.get(key)).rpartition(".")
        if is_dotted_name(kwargs.get(key)) and prefix in home.prefixes:
            kwargs[key] = f"{home.written}.{name}"
    return kwargs


def import_class(dotted: str, key: str) -> type[Any]:
    """Import a class that a setting names.

    :param dotted: ``"module.Class"``
    :param key: the setting, for error messages
    :return: the class
    :raises UsageError: when there is no such class
    """
    module, _, name = dotted.rpartition(".")
    if not module:
        raise UsageError(f"{key} is '{dotted}'; expected 'module.Class', with the module")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except Exception as error:  # a module may raise anything while it is imported
        reason = f"{type(error).__name__}: {error}"
        raise UsageError(
            f"{key} is '{dotted}', but importing {module} failed ({reason}); correct or install it"
        ) from error
    if not isinstance(found, type):
        classes = [name for name, value in vars(importlib.import_module(module)).items() if isinstance(value, type)]
        raise UsageError(f"{key} is '{dotted}', but {module} has no class '{name}'{did_you_mean(name, classes)}")
    return found


def build_policy_kwargs(data: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the class names in ``policy_kwargs`` into classes.

    Only names from ``torch.nn``, ``torch.optim`` and SB3's ``torch_layers`` are looked up; nothing is evaluated.

    :param data: the plain data of :attr:`Settings.policy_kwargs`
    :return: a copy for SB3's policies
    :raises UsageError: where a name is none of those
    """
    kwargs = canonical_names(plain_kwargs(data))
    for key, home in CLASS_HOMES.items():
        if kwargs.get(key) is not None:
            kwargs[key] = _home_class(key, kwargs[key], home)
    return kwargs


def _home_class(key: str, value: object, home: _ClassHome) -> type[Any]:
    where = f"policy_kwargs.{key}"
    prefix, _, name = str(value).rpartition(".")
    base = import_class(home.base, where)
    known = {
        name: found
        for name, found in vars(importlib.import_module(home.module)).items()
        if isinstance(found, type) and issubclass(found, base) and found is not base
    }
    if prefix != home.written or name not in known:
        raise UsageError(f"{where} is {received(value)}; expected a class of {home.module}{did_you_mean(name, known)}")
    return known[name]


def build_replay_buffer_class(name: str | None) -> type[Any] | None:
    """Find the replay buffer class that a setting names.

    :param name: ``"HerReplayBuffer"``, ``"module.Class"``, or None
    :return: the class, or None
    :raises UsageError: where there is no such replay buffer
    """
    if name is None:
        return None
    key = "replay_buffer_class"
    dotted = _BARE_REPLAY_BUFFERS.get(name, name)
    if "." not in dotted:
        known = ", ".join(_BARE_REPLAY_BUFFERS)
        raise UsageError(
            f"{key} is '{name}'; expected {known} or 'module.Class'{did_you_mean(name, _BARE_REPLAY_BUFFERS)}"
        )
    found = import_class(dotted, key)
    if not issubclass(found, import_class("stable_baselines3.common.buffers.ReplayBuffer", key)):
        raise UsageError(f"{key} is '{name}', which is no replay buffer; name a subclass of SB3's ReplayBuffer")
    return found
