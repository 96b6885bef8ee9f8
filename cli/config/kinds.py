"""The kinds of values that settings may have, each with the words for what does not fit."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import BeforeValidator

from sb3_ddpg_custom.cli.config.classes import canonical_names
from sb3_ddpg_custom.cli.config.kwargs_text import is_dotted_name, plain_kwargs
from sb3_ddpg_custom.cli.config.plain import MAX_INTEGER, integer
from sb3_ddpg_custom.cli.errors import did_you_mean
from sb3_ddpg_custom.option_values import LayerNormName, Precision, UpdateName
from sb3_ddpg_custom.yaml_values import (
    NoiseStd,
    magnitude,
    number,
    number_or_linear,
    read_noise_std,
)

T = TypeVar("T")

POLICIES = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy", "SimbaPolicy")
UPDATES = get_args(UpdateName)
PRECISIONS = get_args(Precision)
# Beyond any use, and before memory ends.
MAX_LAYER = 100_000


@dataclass(frozen=True)
class ClassSpec:
    """A class to construct later, such as an environment wrapper.

    :param name: ``"module.Class"``, see :func:`import_class`
    :param kwargs: its keyword arguments
    """

    name: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


def expect(expected: str, convert: Callable[[Any], T | None], accept: Callable[[T], bool]) -> BeforeValidator:
    """Make a validator whose error message is what was expected."""

    def validate(value: Any) -> T:
        converted = convert(value)
        if converted is None or not accept(converted):
            raise ValueError(f"expected {expected}")
        return converted

    return BeforeValidator(validate)


def whole(low: int, high: int = MAX_INTEGER) -> BeforeValidator:
    """Make a validator for whole numbers between two bounds, whose error names the one that is crossed."""

    def validate(value: Any) -> int:
        converted = integer(value)
        beyond = isinstance(value, int) and not isinstance(value, bool) and value > high
        if beyond or (converted or number(value) or 0) > high:
            raise ValueError(f"expected a whole number of at most {high:,}")
        if converted is None or converted < low:
            raise ValueError(f"expected a whole number of at least {low}")
        return converted

    return BeforeValidator(validate)


def read_string(value: Any) -> str | None:
    """Read text, without spaces around it."""
    return value.strip() if isinstance(value, str) else None


def read_bounds(value: Any) -> list[Any] | None:
    """Read a low and a high, each a number or (nested) lists of numbers; None where it is something else."""
    if not isinstance(value, list | tuple) or len(value) != 2:
        return None
    read = [_numbers(one) for one in value]
    return None if None in read else read


def _numbers(value: Any) -> Any:
    if isinstance(value, list | tuple):
        read = [_numbers(one) for one in value]
        return None if None in read or not read else read
    converted = number(value)
    return converted if converted is not None and math.isfinite(converted) else None


def read_train_freq(value: Any) -> int | tuple[int, str] | None:
    """Read a number of steps, or such as ``[1, episode]``."""
    if isinstance(value, list | tuple):
        every = integer(value[0]) if len(value) == 2 and value[1] in ("step", "episode") else None
        return None if every is None else (every, value[1])
    return integer(value)


_NORMALIZE_SWITCHES = ("norm_obs", "norm_reward", "training")
_NORMALIZE_NUMBERS = ("clip_obs", "clip_reward", "gamma", "epsilon")


def _positive_number(key: str, value: Any) -> float:
    converted = number(value)
    if converted is None or not 0 < converted <= (1 if key == "gamma" else math.inf):
        raise ValueError(f"expected for {key} a number above 0" + (" and at most 1" if key == "gamma" else ""))
    return converted


def read_normalize(value: Any) -> dict[str, Any] | Literal[False]:
    """Read ``VecNormalize``'s arguments; True is its defaults, False and None are none."""
    if value is None or value is False:
        return False
    kwargs = {} if value is True else plain_kwargs(value)
    known = (*_NORMALIZE_SWITCHES, *_NORMALIZE_NUMBERS, "norm_obs_keys")
    for key, setting in kwargs.items():
        if key not in known:
            raise ValueError(f"{key!r} is no argument of VecNormalize{did_you_mean(key, known)}")
        if key in _NORMALIZE_SWITCHES and not isinstance(setting, bool):
            raise ValueError(f"expected for {key} true or false")
        if key in _NORMALIZE_NUMBERS:
            kwargs[key] = _positive_number(key, setting)
    names = kwargs.get("norm_obs_keys")
    if names is not None and not (isinstance(names, list) and all(isinstance(name, str) for name in names)):
        raise ValueError("expected for norm_obs_keys a list of names of the observation's parts")
    # Never an empty mapping: "if settings.normalize" must mean what it says.
    return kwargs or {"norm_obs": True, "norm_reward": True}


def _class_specs(value: Any) -> tuple[ClassSpec, ...]:
    items = value if isinstance(value, list | tuple) else [] if value is None else [value]
    specs = []
    for item in items:
        if isinstance(item, ClassSpec):
            item = {item.name: item.kwargs}
        name, kwargs = next(iter(item.items())) if isinstance(item, Mapping) and len(item) == 1 else (item, {})
        if not is_dotted_name(name) or "." not in name:
            raise ValueError("expected 'module.Class', {'module.Class': {argument: value}} or a list of those")
        specs.append(ClassSpec(name, plain_kwargs(kwargs)))
    return tuple(specs)


def read_env_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Check what ``gymnasium.make`` gets."""
    if "render_mode" in kwargs:
        raise ValueError("leave out render_mode; --render shows a window, and --video films")
    limit = kwargs.get("max_episode_steps")
    if limit is not None:
        whole = integer(limit)
        if whole is None or whole < 1:
            raise ValueError(
                "expected for max_episode_steps a whole number of at least 1; leave it out for the env's own"
            )
        return {**kwargs, "max_episode_steps": whole}
    return kwargs


def read_monitor_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Check what SB3's ``Monitor`` gets."""
    known = ("allow_early_resets", "info_keywords", "override_existing")
    for key, value in kwargs.items():
        if key == "reset_keywords":
            raise ValueError("leave out reset_keywords; no training gives arguments to an environment's reset")
        if key not in known:
            raise ValueError(f"{key!r} is none of {', '.join(known)}{did_you_mean(key, known)}")
        if key != "info_keywords" and not isinstance(value, bool):
            raise ValueError(f"expected for {key} true or false")
    if "info_keywords" not in kwargs:
        return kwargs
    words = kwargs["info_keywords"]
    words = [words] if isinstance(words, str) else words or []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ValueError("expected for info_keywords a list of names, such as [is_success]")
    return {**kwargs, "info_keywords": words}


def read_policy_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Check the networks' widths and normalisation, and spell class names one way."""
    net_arch = kwargs.get("net_arch")
    if net_arch is not None:
        networks = net_arch if isinstance(net_arch, Mapping) else {"pi": net_arch, "qf": net_arch}
        if networks.keys() != {"pi", "qf"}:
            raise ValueError("expected for net_arch a list of widths, or {pi: widths, qf: widths}")
        for widths in networks.values():
            fit = isinstance(widths, list | tuple) and all(type(n) is int and 1 <= n <= MAX_LAYER for n in widths)
            if not fit:
                raise ValueError(
                    f"expected for net_arch widths of layers, whole numbers from 1 to {MAX_LAYER:,}, such as [64, 64]"
                )
    if kwargs.get("layer_norm") not in (None, *get_args(LayerNormName)):
        raise ValueError("expected for layer_norm critic, actor or both")
    if not isinstance(kwargs.get("normalize_observations", False), bool):
        raise ValueError("expected for normalize_observations true or false")
    return canonical_names(kwargs)


Positive = Annotated[int, whole(1)]
Count = Annotated[int, whole(0)]
Switch = Annotated[
    bool, expect("true or false", lambda value: value if isinstance(value, bool) else None, lambda _: True)
]
AboveZero = Annotated[float, expect("a number above 0", number, lambda x: x > 0)]
Share = Annotated[float, expect("a number above 0 and at most 1", number, lambda x: 0 < x <= 1)]
AtLeastZero = Annotated[float, expect("a number of at least 0", number, lambda x: x >= 0)]
Rate = Annotated[
    float | str,
    expect(
        "a number above 0 and at most 10, or such as 'lin_7e-4'",
        number_or_linear,
        lambda value: 0 < magnitude(value) <= 10,
    ),
]
Scale = Annotated[
    NoiseStd,
    expect(
        "a number of at least 0, or such as 'lin_0.2', or such as [0.05, 0.4] for a range of numbers over the envs",
        read_noise_std,
        lambda _: True,
    ),
]
Name = Annotated[str, expect("a name", read_string, bool)]
Kwargs = Annotated[dict[str, Any], BeforeValidator(plain_kwargs)]
Classes = Annotated[tuple[ClassSpec, ...], BeforeValidator(_class_specs)]
