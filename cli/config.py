"""YAML and overrides to one frozen settings object.

The files have rl_zoo3's format, a mapping from environment id to hyper-parameters, so that rl_zoo3's
``--conf-file`` takes ours and ``ddpg train --config`` takes rl_zoo3's ``ddpg.yml``.
"""

import importlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sb3_ddpg_custom.cli.config_text import (
    did_you_mean,
    dump_yaml,
    format_kwargs,
    integer,
    is_dotted_name,
    number,
    parse_kwargs,
    parse_yaml,
    plain,
    read_text,
    received,
)
from sb3_ddpg_custom.cli.errors import UsageError

T = TypeVar("T")

NOISE_TYPES = ("normal", "ornstein-uhlenbeck", "normal-per-episode", "bias-per-episode")
POLICIES = ("MlpPolicy", "CnnPolicy", "MultiInputPolicy")
# The top-level key of a run folder's config.yml that holds the seed and versions; not hyper-parameters.
RUN_KEY = "run"


@dataclass(frozen=True)
class ClassSpec:
    """A class to construct later, such as an environment wrapper.

    :param name: ``"module.Class"``, see :func:`import_class`
    :param kwargs: its keyword arguments
    """

    name: str
    kwargs: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class _ClassHome:
    """Where the classes that ``policy_kwargs`` may name live."""

    module: str
    base: str
    #: the prefixes people write, and the one that rl_zoo3 understands when it evaluates the string form
    prefixes: tuple[str, ...]
    written: str


_TORCH_LAYERS = "stable_baselines3.common.torch_layers"
_CLASS_HOMES = {
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


def _expect(expected: str, convert: Callable[[Any], T | None], accept: Callable[[T], bool]) -> BeforeValidator:
    """Make a validator whose error message is what was expected."""

    def validate(value: Any) -> T:
        converted = convert(value)
        if converted is None or not accept(converted):
            raise ValueError(f"expected {expected}")
        return converted

    return BeforeValidator(validate)


def _string(value: Any) -> str | None:
    return value.strip() if isinstance(value, str) else None


def _number_or_linear(value: Any) -> float | str | None:
    if isinstance(value, str) and value.startswith("lin_"):
        # rl_zoo3 splits at each underscore, so 1_000 is no number here.
        return value if number(value[4:]) is not None and value.count("_") == 1 else None
    return number(value)


def _magnitude(value: float | str) -> float:
    """Read a number, or the start of a schedule such as ``"lin_7e-4"``."""
    return float(value.removeprefix("lin_")) if isinstance(value, str) else value


def _train_freq(value: Any) -> int | tuple[int, str] | None:
    if isinstance(value, list | tuple):
        every = integer(value[0]) if len(value) == 2 and value[1] in ("step", "episode") else None
        return None if every is None else (every, value[1])
    return integer(value)


def _kwargs(value: Any) -> dict[str, Any]:
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


def _normalize(value: Any) -> dict[str, Any] | Literal[False]:
    if value is None or value is False:
        return False
    kwargs = {} if value is True else _kwargs(value)
    known = ("norm_obs", "norm_reward", "clip_obs", "clip_reward", "gamma", "epsilon", "norm_obs_keys", "training")
    for key in kwargs:
        if key not in known:
            raise ValueError(f"{key!r} is no argument of VecNormalize{did_you_mean(key, known)}")
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
        specs.append(ClassSpec(name, _kwargs(kwargs)))
    return tuple(specs)


def _canonical_names(kwargs: dict[str, Any]) -> dict[str, Any]:
    """Spell class names one way, the way rl_zoo3 understands."""
    for key, home in _CLASS_HOMES.items():
        prefix, _, name = str(kwargs.get(key)).rpartition(".")
        if is_dotted_name(kwargs.get(key)) and prefix in home.prefixes:
            kwargs[key] = f"{home.written}.{name}"
    return kwargs


_Positive = Annotated[int, _expect("a whole number of at least 1", integer, lambda n: n >= 1)]
_Count = Annotated[int, _expect("a whole number of at least 0", integer, lambda n: n >= 0)]
_AboveZero = Annotated[float, _expect("a number above 0", number, lambda x: x > 0)]
_AtLeastZero = Annotated[float, _expect("a number of at least 0", number, lambda x: x >= 0)]
_Rate = Annotated[
    float | str,
    _expect("a number above 0, or such as 'lin_7e-4'", _number_or_linear, lambda value: _magnitude(value) > 0),
]
_Scale = Annotated[
    float | str,
    _expect("a number of at least 0, or such as 'lin_0.2'", _number_or_linear, lambda value: _magnitude(value) >= 0),
]
_Name = Annotated[str, _expect("a name", _string, bool)]
_Kwargs = Annotated[dict[str, Any], BeforeValidator(_kwargs)]
_Classes = Annotated[tuple[ClassSpec, ...], BeforeValidator(_class_specs)]


class Settings(BaseModel):
    """Everything a training run is made of, as plain data.

    Keys and their defaults are rl_zoo3's and SB3's DDPG's. A schedule is written ``"lin_x"``: from x at the start
    of training linearly to 0 at its end.

    :param n_timesteps: environment steps to train for, over all environments together
    :param policy: a policy of SB3, or ``"module.Class"``
    :param n_envs: environments stepped side by side
    :param normalize: ``VecNormalize``'s arguments, or False; pass it the algorithm's ``gamma`` too, as rl_zoo3 does
    :param env_wrapper: wrappers around each environment, the first innermost
    :param vec_env_wrapper: wrappers around the vectorised environment
    :param env_kwargs: arguments of ``gymnasium.make``
    :param frame_stack: observations to stack, or None
    :param callback: SB3 callbacks
    :param monitor_kwargs: arguments of SB3's ``Monitor``
    :param noise_type: exploration noise, or None
    :param noise_std: its scale, in the normalised [-1, 1] action space, or a schedule
    :param learning_rate: of the actor, and of the critic unless it has its own; a number or a schedule
    :param critic_learning_rate: of the critic; None: as the actor's
    :param buffer_size: transitions to remember
    :param learning_starts: steps before the first update
    :param batch_size: transitions per update
    :param tau: fraction taken from the online networks into the targets at each update
    :param gamma: discount
    :param train_freq: environment steps between updates, or (how many, ``"step"`` or ``"episode"``)
    :param gradient_steps: updates each time; -1: as many as steps were collected (SB3's convention)
    :param policy_kwargs: the policy's arguments, see :func:`build_policy_kwargs`
    :param replay_buffer_class: see :func:`build_replay_buffer_class`; None: the algorithm chooses
    :param replay_buffer_kwargs: the replay buffer's arguments
    :param optimize_memory_usage: SB3's memory-saving buffer
    :param n_steps: steps of the return in the critic's target
    :param max_grad_norm: gradients are clipped to this norm; None: they are not
    :param critic_weight_decay: L2 on the critic's weights
    :param output_init: output layers start uniform in ± this; None: as PyTorch starts them
    :param update: how a gradient update is computed
    :param stats_window_size: episodes that the logged means span
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_timesteps: _Positive
    policy: Annotated[
        str,
        _expect(
            f"{', '.join(POLICIES)} or 'module.Class'",
            _string,
            lambda name: name in POLICIES or ("." in name and is_dotted_name(name)),
        ),
    ] = "MlpPolicy"
    n_envs: _Positive = 1
    normalize: Annotated[dict[str, Any] | Literal[False], BeforeValidator(_normalize)] = False
    env_wrapper: _Classes = ()
    vec_env_wrapper: _Classes = ()
    env_kwargs: _Kwargs = Field(default_factory=dict)
    frame_stack: _Positive | None = None
    callback: _Classes = ()
    monitor_kwargs: _Kwargs = Field(default_factory=dict)
    noise_type: (
        Annotated[str, _expect("null or one of " + ", ".join(NOISE_TYPES), _string, lambda s: s in NOISE_TYPES)] | None
    ) = None
    noise_std: _Scale | None = None
    learning_rate: _Rate = 1e-3
    critic_learning_rate: _Rate | None = None
    buffer_size: _Positive = 1_000_000
    learning_starts: _Count = 100
    batch_size: _Positive = 256
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
    policy_kwargs: Annotated[_Kwargs, AfterValidator(_canonical_names)] = Field(default_factory=dict)
    replay_buffer_class: _Name | None = None
    replay_buffer_kwargs: _Kwargs = Field(default_factory=dict)
    optimize_memory_usage: Annotated[
        bool, _expect("true or false", lambda value: value if isinstance(value, bool) else None, lambda _: True)
    ] = False
    n_steps: _Positive = 1
    max_grad_norm: _AboveZero | None = None
    critic_weight_decay: _AtLeastZero = 0.0
    output_init: _AboveZero | None = None
    update: _Name = "auto"
    stats_window_size: _Positive = 100


@dataclass(frozen=True)
class Alias:
    """What ``ddpg list`` shows of a shipped file.

    :param env_id: the Gymnasium id
    :param n_timesteps: the environment steps its settings are meant for
    """

    env_id: str
    n_timesteps: int


@dataclass(frozen=True)
class Resolved:
    """What to train, and with which settings.

    :param alias: the alias that was asked for, or None where an environment id was
    :param env_id: the Gymnasium id
    :param settings: the validated settings
    :param source: the file they come from
    """

    alias: str | None
    env_id: str
    settings: Settings
    source: str


def aliases() -> dict[str, Alias]:
    """List the shipped settings.

    :return: for each alias, in order, its environment id and its training length
    """
    listed = {}
    for name in _shipped_names():
        env_id, entry = _shipped_entry(name)
        listed[name] = Alias(env_id, validate(entry, f"{name}.yml").n_timesteps)
    return listed


def resolve(
    env: str,
    *,
    config: Path | None,
    overrides: Sequence[str],
    steps: int | None,
    n_envs: int | None,
    registered_ids: Collection[str],
) -> Resolved:
    """Find the settings for an environment.

    :param env: an alias, a registered Gymnasium id, or ``"module:EnvId-v0"``
    :param config: a file whose entry replaces the shipped one, or None
    :param overrides: ``"key=value"`` each, the value in YAML; dotted keys reach into mappings
    :param steps: replaces ``n_timesteps``, or None
    :param n_envs: replaces ``n_envs``, or None
    :param registered_ids: the ids Gymnasium knows
    :return: the settings
    :raises UsageError: where any of this is not as it should be
    """
    names = _shipped_names()
    alias = env if env in names else None
    if alias is not None:
        source = f"{alias}.yml"
        env_id, entry = _shipped_entry(alias)
    elif env in registered_ids or _names_module(env):
        env_id = env
        source, entry = _shipped_for(env_id, names)
    else:
        hint = did_you_mean(env, [*names, *registered_ids])
        raise UsageError(f"unknown environment '{env}'{hint or ';'} `ddpg list` shows the aliases and ids")
    if config is not None:
        source = str(config)
        entry = _entry_for(env_id, parse_yaml(read_text(config), source), source)

    blame: dict[str, str] = {}  # key -> what set it, for error messages
    for override in overrides:
        key, entry = _override(entry, override)
        blame[key] = f"--set {key}"
    for key, value, flag in (("n_timesteps", steps, "--steps"), ("n_envs", n_envs, "--n-envs")):
        if value is not None:
            entry = {**entry, key: value}
            blame[key] = flag
    settings = validate(entry, source, blame)
    return Resolved(alias=alias, env_id=env_id, settings=settings, source=source)


def _names_module(env: str) -> bool:
    module, colon, name = env.partition(":")
    return bool(colon and name) and is_dotted_name(module)


def _shipped_names() -> list[str]:
    """Return the aliases, in order."""
    files = resources.files("sb3_ddpg_custom.zoo_configs").iterdir()
    return sorted(file.name[:-4] for file in files if file.name.endswith(".yml") and file.name != "default.yml")


def _shipped(name: str) -> dict[str, Any]:
    file = resources.files("sb3_ddpg_custom.zoo_configs") / f"{name}.yml"
    data: dict[str, Any] = parse_yaml(file.read_text("utf-8"), f"{name}.yml")
    return data


def _shipped_entry(name: str) -> tuple[str, dict[str, Any]]:
    """Return the one environment id of an alias' file, and its hyper-parameters."""
    return next(iter(_shipped(name).items()))


def _shipped_for(env_id: str, names: Sequence[str]) -> tuple[str, dict[str, Any]]:
    """Return the file that is about an environment, the general one where none is, and its hyper-parameters."""
    for name in names:
        shipped_id, entry = _shipped_entry(name)
        if shipped_id == env_id:
            return f"{name}.yml", entry
    return "default.yml", _shipped("default")["default"]


def _entry_for(env_id: str, data: Any, source: str) -> dict[str, Any]:
    """Pick the hyper-parameters for an environment out of a user's file."""
    if data is None:
        raise UsageError(f"`{source}` is empty; add an entry '{env_id}:' with its hyper-parameters")
    if not isinstance(data, Mapping):
        raise UsageError(f"`{source}` holds {received(data)}; expected a mapping from environment ids to settings")
    entries = {key: value for key, value in data.items() if key != RUN_KEY}
    flat = [key for key in entries if key in Settings.model_fields]
    chosen = next((key for key in (env_id, env_id.partition(":")[2], "default") if key in entries), None)
    if chosen is not None:
        if flat:
            raise UsageError(
                f"`{source}` has '{flat[0]}' at the top level beside the entry '{chosen}'; move it into an entry"
            )
        if not isinstance(entries[chosen], Mapping):
            raise UsageError(
                f"`{source}`: the entry '{chosen}' is {received(entries[chosen])}; "
                "expected a mapping of hyper-parameters"
            )
        return dict(entries[chosen])
    if flat or not all(isinstance(value, Mapping) for value in entries.values()):
        return entries
    if not entries:
        raise UsageError(f"`{source}` has no hyper-parameters; add an entry '{env_id}:'")
    listed = ", ".join(str(key) for key in entries)
    raise UsageError(
        f"`{source}` has no entry for '{env_id}' and no 'default', only {listed}"
        + (did_you_mean(env_id, map(str, entries)) or f"; add an entry '{env_id}:'")
    )


def _override(entry: Mapping[str, Any], text: str) -> tuple[str, dict[str, Any]]:
    """Apply one ``key=value`` to a copy; return the top-level key and the copy."""
    path, equals, value_text = text.partition("=")
    root, *rest = path.strip().split(".")
    if not equals or not root or not all(rest):
        raise UsageError(f"--set {received(text)} is not key=value; write such as --set learning_rate=1e-4")
    if root not in Settings.model_fields:
        raise UsageError(f"--set {path.strip()}: {_unknown_key(root)}")
    value = parse_yaml(value_text, f"--set {path.strip()}")
    if not rest:
        return root, {**entry, root: value}
    if root not in ("env_kwargs", "monitor_kwargs", "normalize", "policy_kwargs", "replay_buffer_kwargs"):
        raise UsageError(f"--set {path.strip()}: {root} takes one value, not a mapping; write --set {root}=value")
    current = entry.get(root)
    try:
        mapping = _kwargs(None if isinstance(current, bool) else current)
        return root, {**entry, root: _with(mapping, rest, value)}
    except ValueError as error:
        raise UsageError(f"--set {path.strip()}: {root} is {received(current)}; {error}") from None


def _with(mapping: Mapping[str, Any], path: Sequence[str], value: Any) -> dict[str, Any]:
    head, *rest = path
    if not rest:
        return {**mapping, head: value}
    inner = mapping.get(head)
    if inner is not None and not isinstance(inner, Mapping):
        raise ValueError(f"expected a mapping under {head!r} to reach into")
    return {**mapping, head: _with(inner or {}, rest, value)}


def _unknown_key(key: object) -> str:
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
            raise UsageError(f"`{source}`: {_unknown_key(key)}")
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
    conflict = noise_problem(settings) or _episode_problem(settings)
    if conflict is not None:
        raise UsageError(conflict if blame else f"`{source}`: {conflict}")
    return settings


def noise_problem(settings: Settings) -> str | None:
    """Check that noise type and scale go together.

    :param settings: the settings
    :return: what is wrong, or None
    """
    if settings.noise_type is not None and settings.noise_std is None:
        return f"noise_type is '{settings.noise_type}' without noise_std; set noise_std too, such as noise_std=0.1"
    if settings.noise_type is None and settings.noise_std is not None:
        return f"noise_std is {settings.noise_std} without noise_type; set noise_type too, or noise_std=null"
    if isinstance(settings.noise_std, str) and str(settings.noise_type).endswith("-per-episode"):
        # One wrapper would hide the other from the training's progress reports.
        return f"noise_std is '{settings.noise_std}', but {settings.noise_type} shrinks by itself; write a number"
    return None


def _episode_problem(settings: Settings) -> str | None:
    """SB3 counts episodes in a single environment only."""
    if isinstance(settings.train_freq, int) or settings.train_freq[1] == "step" or settings.n_envs == 1:
        return None
    return f"train_freq counts episodes, which needs one environment, but n_envs is {settings.n_envs}; count steps"


def to_yaml(resolved: Resolved, run: Mapping[str, Any] | None = None) -> str:
    """Write resolved settings so that ``--config`` and rl_zoo3's ``--conf-file`` read them back.

    :param resolved: the settings
    :param run: plain data about the run, stored under the top-level key ``run``
    :return: the YAML text
    """
    entry = {}
    for key in Settings.model_fields:
        value = getattr(resolved.settings, key)
        if value is None or value == {} or value == ():
            continue
        if key == "train_freq" and isinstance(value, tuple):
            value = list(value)
        elif isinstance(value, tuple):
            value = [{spec.name: dict(spec.kwargs)} if spec.kwargs else spec.name for spec in value]
        elif key == "policy_kwargs" and any(is_dotted_name(value.get(name)) for name in _CLASS_HOMES):
            # rl_zoo3 evaluates strings and nothing else: in a mapping, "nn.ReLU" would stay a string.
            value = format_kwargs(value, names=_CLASS_HOMES)
        entry[key] = value
    document: dict[str, Any] = {resolved.env_id: entry}
    if run is not None:
        document[RUN_KEY] = dict(run)
    return dump_yaml(document)


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
    kwargs = _canonical_names(_kwargs(data))
    for key, home in _CLASS_HOMES.items():
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
