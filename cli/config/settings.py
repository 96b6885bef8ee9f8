"""The settings of a training run, and what makes them valid."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sb3_ddpg_custom.cli.config.classes import canonical_names
from sb3_ddpg_custom.cli.config.text import MAX_INTEGER, did_you_mean, integer, is_dotted_name, plain_kwargs, received
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.yaml_values import (
    NOISE_TYPES,
    NoiseStd,
    magnitude,
    noise_problem,
    number,
    number_or_linear,
    read_noise_std,
)

T = TypeVar("T")

POLICIES = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
UPDATES = ("auto", "compiled", "analytic", "autograd")
PRECISIONS = ("float32", "bfloat16")
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


def _expect(expected: str, convert: Callable[[Any], T | None], accept: Callable[[T], bool]) -> BeforeValidator:
    """Make a validator whose error message is what was expected."""

    def validate(value: Any) -> T:
        converted = convert(value)
        if converted is None or not accept(converted):
            raise ValueError(f"expected {expected}")
        return converted

    return BeforeValidator(validate)


def _whole(low: int, high: int = MAX_INTEGER) -> BeforeValidator:
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


def _string(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) else None


def _train_freq(value: Any) -> int | tuple[int, str] | None:
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


def _normalize(value: Any) -> dict[str, Any] | Literal[False]:
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


def _env_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
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


def _monitor_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
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


def _policy_kwargs(kwargs: dict[str, Any]) -> dict[str, Any]:
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
    return canonical_names(kwargs)


_Positive = Annotated[int, _whole(1)]
_Count = Annotated[int, _whole(0)]
_AboveZero = Annotated[float, _expect("a number above 0", number, lambda x: x > 0)]
_AtLeastZero = Annotated[float, _expect("a number of at least 0", number, lambda x: x >= 0)]
_Rate = Annotated[
    float | str,
    _expect(
        "a number above 0 and at most 10, or such as 'lin_7e-4'",
        number_or_linear,
        lambda value: 0 < magnitude(value) <= 10,
    ),
]
_Scale = Annotated[
    NoiseStd,
    _expect(
        "a number of at least 0, or such as 'lin_0.2', or such as [0.05, 0.4] for a range of numbers over the envs",
        read_noise_std,
        lambda _: True,
    ),
]
_Name = Annotated[str, _expect("a name", _string, bool)]
_Kwargs = Annotated[dict[str, Any], BeforeValidator(plain_kwargs)]
_Classes = Annotated[tuple[ClassSpec, ...], BeforeValidator(_class_specs)]


class Settings(BaseModel):
    """Everything a training run is made of, as plain data.

    Keys and their defaults are rl_zoo3's and SB3's DDPG's. A schedule is written ``"lin_x"``: from x at the start
    of training linearly to 0 at its end.

    :param n_timesteps: environment steps to train for, over all environments together
    :param policy: a policy of SB3, or ``"module.Class"``; None: the one that fits the observations
    :param n_envs: environments stepped side by side in one process, one after the other
    :param normalize: ``VecNormalize``'s arguments, or False; pass it the algorithm's ``gamma`` too, as rl_zoo3 does
    :param env_wrapper: wrappers around each environment, the first innermost
    :param vec_env_wrapper: wrappers around the vectorised environment
    :param env_kwargs: arguments of ``gymnasium.make``
    :param frame_stack: observations to stack, or None
    :param callback: SB3 callbacks
    :param monitor_kwargs: arguments of SB3's ``Monitor``
    :param noise_type: exploration noise, or None
    :param noise_std: its scale, in the normalised [-1, 1] action space, or a schedule, or a range over the envs; for
        ``adaptive-param`` the change of actions that the noise on the actor's weights aims at
    :param learning_rate: of the actor, and of the critic unless it has its own; a number or a schedule
    :param critic_learning_rate: of the critic; None: as the actor's
    :param buffer_size: transitions to remember
    :param learning_starts: steps before the first update
    :param batch_size: transitions per update
    :param tau: fraction taken from the online networks into the targets at each update
    :param gamma: discount
    :param train_freq: environment steps between updates, or (how many, ``"step"`` or ``"episode"``)
    :param gradient_steps: updates each time; -1: as many as steps were collected (SB3's convention)
    :param policy_kwargs: the policy's arguments, see ``cli.classes.build_policy_kwargs``
    :param replay_buffer_class: see ``cli.classes.build_replay_buffer_class``; None: the algorithm chooses
    :param replay_buffer_kwargs: the replay buffer's arguments
    :param optimize_memory_usage: store next observations only where the following transition does not hold them
    :param n_steps: steps of the return in the critic's target
    :param max_grad_norm: gradients are clipped to this norm; None: they are not
    :param critic_weight_decay: L2 on the critic's weights; None: the optimiser's own
    :param output_init: output layers start uniform in ± this; None: as PyTorch starts them
    :param update: how a gradient update is computed
    :param precision: of the updates' large matrix products
    :param stats_window_size: episodes that the logged means span
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_timesteps: _Positive
    policy: (
        Annotated[
            str,
            _expect(
                f"{', '.join(POLICIES)} or 'module.Class'",
                _string,
                lambda name: name in POLICIES or ("." in name and is_dotted_name(name)),
            ),
        ]
        | None
    ) = None
    n_envs: Annotated[int, _whole(1, 10_000)] = 1
    normalize: Annotated[dict[str, Any] | Literal[False], BeforeValidator(_normalize)] = False
    env_wrapper: _Classes = ()
    vec_env_wrapper: _Classes = ()
    env_kwargs: Annotated[_Kwargs, AfterValidator(_env_kwargs)] = Field(default_factory=dict)
    frame_stack: _Positive | None = None
    callback: _Classes = ()
    monitor_kwargs: Annotated[_Kwargs, AfterValidator(_monitor_kwargs)] = Field(default_factory=dict)
    noise_type: (
        Annotated[str, _expect("null or one of " + ", ".join(NOISE_TYPES), _string, lambda s: s in NOISE_TYPES)] | None
    ) = None
    noise_std: _Scale | None = None
    learning_rate: _Rate = 1e-3
    critic_learning_rate: _Rate | None = None
    buffer_size: _Positive = 1_000_000
    learning_starts: _Count = 100
    batch_size: Annotated[int, _whole(1, 10_000_000)] = 256
    tau: Annotated[float, _expect("a number above 0 and at most 1", number, lambda x: 0 < x <= 1)] = 0.005
    gamma: Annotated[float, _expect("a number from 0 to 1", number, lambda x: 0 <= x <= 1)] = 0.99
    train_freq: Annotated[
        int | tuple[int, str],
        _expect(
            "a whole number of at least 1, or such as [1, episode] or [4, step]",
            _train_freq,
            lambda every: (every if isinstance(every, int) else every[0]) >= 1,
        ),
    ] = 1
    gradient_steps: Annotated[
        int,
        _expect("a whole number of at least 1, or -1 for one per collected step", integer, lambda n: n >= 1 or n == -1),
    ] = 1
    policy_kwargs: Annotated[_Kwargs, AfterValidator(_policy_kwargs)] = Field(default_factory=dict)
    replay_buffer_class: _Name | None = None
    replay_buffer_kwargs: _Kwargs = Field(default_factory=dict)
    optimize_memory_usage: Annotated[
        bool, _expect("true or false", lambda value: value if isinstance(value, bool) else None, lambda _: True)
    ] = False
    n_steps: _Positive = 1
    max_grad_norm: _AboveZero | None = None
    critic_weight_decay: _AtLeastZero | None = None
    output_init: _AboveZero | None = None
    update: Annotated[str, _expect("one of " + ", ".join(UPDATES), _string, lambda name: name in UPDATES)] = "auto"
    precision: Annotated[str, _expect("one of " + ", ".join(PRECISIONS), _string, lambda name: name in PRECISIONS)] = (
        "float32"
    )
    stats_window_size: _Positive = 100


def unknown_key(key: object) -> str:
    """Say that there is no such key, and which one may have been meant.

    :param key: what was received
    :return: a part of a sentence
    """
    known = sorted(Settings.model_fields)
    return f"unknown key {received(key)}" + (did_you_mean(key, known) or f"; the keys are {', '.join(known)}")


def validate(entry: Mapping[str, Any], source: str, blame: Mapping[str, str] | None = None) -> Settings:
    """Turn hyper-parameters into settings.

    :param entry: the hyper-parameters, which stay as they are
    :param source: the file they come from, for error messages
    :param blame: for keys that did not come from the file, what set them, such as ``--steps``
    :return: the settings
    :raises UsageError: one sentence about the first thing that is wrong
    """
    for key in entry:
        if key not in Settings.model_fields:
            raise UsageError(f"`{source}`: {unknown_key(key)}")
    try:
        settings = Settings.model_validate(dict(entry))
    except ValidationError as caught:
        error = caught.errors(include_url=False)[0]
        key = str(error["loc"][0])
        subject = (blame or {}).get(key) or f"`{source}`: {key}"
        if error["type"] == "missing":
            raise UsageError(f"`{source}`: {key} is missing; add it, or pass --steps") from None
        problem = error.get("ctx", {}).get("error", error["msg"])
        raise UsageError(f"{subject} is {received(entry[key])}; {problem}") from None
    noise = noise_problem(settings.noise_type, settings.noise_std, settings.n_envs)
    conflict = noise or _episode_problem(settings) or _endless_problem(settings)
    if conflict is not None:
        raise UsageError(conflict if blame else f"`{source}`: {conflict}")
    return settings


def _episode_problem(settings: Settings) -> str | None:
    """SB3 counts episodes in a single environment only."""
    if isinstance(settings.train_freq, int) or settings.train_freq[1] == "step" or settings.n_envs == 1:
        return None
    return f"train_freq counts episodes, which needs one environment, but n_envs is {settings.n_envs}; count steps"


def _endless_problem(settings: Settings) -> str | None:
    """Find what would last longer than the whole training."""
    every = settings.train_freq[0] if isinstance(settings.train_freq, tuple) else settings.train_freq
    steps = settings.n_timesteps
    if every > max(steps, 1000):  # a little more than there are does no harm, and ends
        shown = list(settings.train_freq) if isinstance(settings.train_freq, tuple) else every
        return f"train_freq is {shown}, more than the {steps:,} steps of the training; lower it"
    if settings.gradient_steps > max(steps, 10_000):
        return (
            f"gradient_steps is {settings.gradient_steps:,}, more updates at once than the training has steps; lower it"
        )
    return None
