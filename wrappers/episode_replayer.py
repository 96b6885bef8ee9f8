"""A wrapper that can play its running episode again: how a simulator that cannot be saved goes on all the same."""

import copy
import inspect
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, SupportsFloat, TypedDict

import gymnasium as gym
import numpy as np
from gymnasium.core import ActType, ObsType
from numpy.typing import NDArray

from sb3_ddpg_custom.wrappers.box2d_world import renew_world

# Larger attributes are pictures, maps, caches and histories; copying them at every reset would be felt.
_MOST_NUMBERS = 10_000  # of an array
_MOST_PARTS = 1_000  # of lists and dicts
_MOST_DEPTH = 4
_KINDS = "biufcSU"  # of arrays: numbers and text
# How this process made the env, and not where its episodes have led.
_NOT_OF_THE_STATE = (
    *("render_mode", "metadata"),
    *("episode_returns", "episode_lengths", "episode_times"),  # SB3's Monitor: of all episodes so far
)
_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
_BLOCK_STEPS = 1024
# rl_zoo3 puts its own in the place of Gymnasium's, in every process that imports it; what it keeps is the same.
_SAME = {"PatchedTimeLimit": "TimeLimit"}


class Episode(TypedDict):
    """A running episode, as plain data.

    - ``layers``: per wrapper, from the outermost to the env itself, what :class:`EpisodeReplayer` keeps of it from
      before the episode's ``reset``
    - ``seed``, ``options``: what that ``reset`` was called with
    - ``actions``: (steps, \\*action_shape)
    - ``observation``: after the last of them
    - ``records``: per wrapper that has a ``record_state``, what that gave
    """

    layers: list[dict[str, Any]]
    seed: int | None
    options: dict[str, Any] | None
    actions: NDArray[Any] | None
    observation: Any
    records: dict[str, Any]


class EpisodeReplayer(gym.Wrapper[ObsType, ActType, ObsType, ActType]):
    """Keeps what is needed to bring a new, equal environment to where this one is.

    A simulator can rarely be saved, but an episode can be played again: the random state from before the last
    ``reset``, and the actions since. The same is kept of every wrapper inside, with its plain attributes (numbers,
    text, small arrays, lists and dicts of those), so that counters, curricula and running statistics go on, too. Each
    episode of a Box2D environment gets a world of its own, as
    :func:`sb3_ddpg_custom.wrappers.box2d_world.renew_world` says.

    Put it outermost, around ``Monitor`` and every other wrapper. Memory grows by one action per step of an episode.

    >>> env = EpisodeReplayer(gym.make("Pendulum-v1"))
    >>> _ = env.reset(seed=0)
    >>> for _ in range(3):
    ...     _ = env.step(np.array([0.5], np.float32))
    >>> episode = env.episode_so_far()
    >>> other = EpisodeReplayer(gym.make("Pendulum-v1"))
    >>> other.replay_episode(episode)
    True

    :param env: any environment
    """

    def __init__(self, env: gym.Env[ObsType, ActType]) -> None:
        super().__init__(env)
        self._layers: list[dict[str, Any]] = []
        self._seed: int | None = None
        self._options: dict[str, Any] | None = None
        # Single actions, and blocks of them, which take less memory in an episode that does not end.
        self._recent: list[NDArray[Any]] = []
        self._blocks: list[NDArray[Any]] = []
        self._observation: Any = None

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[ObsType, dict[str, Any]]:
        """Keep how everything is, and begin an episode."""
        self._layers = [_state_of(layer) for layer in _layers(self.env)]
        kept = _plain(options, _MOST_DEPTH, [_MOST_PARTS])
        self._seed, self._options = seed, None if kept is _UNKNOWN else kept
        self._recent, self._blocks = [], []
        renew_world(self)
        answer = self.env.reset(seed=seed, options=options)
        self._observation = answer[0]
        return answer

    def step(self, action: ActType) -> tuple[ObsType, SupportsFloat, bool, bool, dict[str, Any]]:
        """Keep the action, and take a step."""
        self._recent.append(np.array(action))
        if len(self._recent) == _BLOCK_STEPS:
            self._blocks.append(np.stack(self._recent))
            self._recent = []
        answer = self.env.step(action)
        self._observation = answer[0]
        return answer

    def _actions(self) -> NDArray[Any] | None:
        """Give the actions since the last reset, (steps, *action_shape); None without any."""
        blocks = [*self._blocks, np.stack(self._recent)] if self._recent else self._blocks
        return np.concatenate(blocks) if blocks else None

    def episode_so_far(self) -> Episode:
        """Give the running episode as plain data, for :meth:`replay_episode` in another process."""
        return Episode(
            layers=self._layers,
            seed=self._seed,
            options=self._options,
            actions=self._actions(),
            observation=copy.deepcopy(self._observation),
            records=dict(_records(self.env)),
        )

    def built_of(self) -> list[str]:
        """Name the wrappers that this env is in, and the env itself, from the outermost inwards."""
        return [_name(layer) for layer in _layers(self.env)]

    def replay_episode(self, episode: Episode) -> bool:
        """Bring this environment to where another one was.

        :param episode: of an equal environment, which :meth:`episode_so_far` gave
        :return: whether its last observation came out the same, to the last bit. If not, something in the environment
            is not deterministic, or keeps what cannot be seen from outside; then only a reset helps
        """
        layers = list(_layers(self.env))
        same = len(layers) == len(episode["layers"])
        for layer, state in zip(layers, episode["layers"], strict=False):
            _restore(layer, state)
        observation, _ = self.reset(seed=episode["seed"], options=episode["options"])
        actions = episode["actions"]
        for place in range(0 if actions is None else len(actions)):
            observation, _, terminated, truncated, _ = self.step(actions[place])  # type: ignore[index]
            if (terminated or truncated) and place < len(actions) - 1:  # type: ignore[arg-type]
                same = False
                break
        for layer in layers:
            record = episode["records"].get(_name(layer))
            if record is not None and hasattr(layer, "restore_record"):
                layer.restore_record(record)
        return same and _equal(observation, episode["observation"])


def _layers(env: Any) -> Iterator[Any]:
    yield env
    while isinstance(env, gym.Wrapper):
        env = env.env
        yield env


def _records(env: Any) -> Iterator[tuple[str, Any]]:
    for layer in _layers(env):
        if "record_state" in dir(type(layer)):
            yield _name(layer), layer.record_state()


def _name(layer: Any) -> str:
    name = type(layer).__name__
    return _SAME.get(name, name)


def _state_of(layer: Any) -> dict[str, Any]:
    """Copy the plain attributes of an env or wrapper, its own random generator, and those of its spaces."""
    if not isinstance(layer, gym.Wrapper):
        _seed_what_is_not(layer)
    attributes, statistics, left_out = {}, {}, []
    for name, value in _vars(layer).items():
        if name in _NOT_OF_THE_STATE:
            continue
        kept = _plain(value, _MOST_DEPTH, [_MOST_PARTS])
        if kept is not _UNKNOWN:
            attributes[name] = kept
        elif isinstance(value, list | dict | deque) and len(value) > _MOST_PARTS:
            left_out.append(name)
        elif type(value).__name__ == "RunningMeanStd":
            statistics[name] = {key: copy.copy(part) for key, part in vars(value).items()}
    randoms = {name: copy.deepcopy(generator.bit_generator.state) for name, generator in _generators(layer)}
    return {
        "kind": _name(layer),
        "attributes": attributes,
        "statistics": statistics,
        "randoms": randoms,
        "left_out": left_out,
    }


def _seed_what_is_not(env: Any) -> None:
    """Have the generators made that would be made, and seeded at random, when they are asked first."""
    for owner in (env, _vars(env).get("action_space"), _vars(env).get("observation_space")):
        with suppress(Exception):  # whatever an env may be
            owner.np_random  # type: ignore[union-attr]  # noqa: B018  # makes it


def _generators(layer: Any) -> Iterator[tuple[str, np.random.Generator]]:
    """List the random generators that there are: an env's or wrapper's own, and those of its spaces."""
    for name, owner in (
        ("", layer),
        *((name, _vars(layer).get(name)) for name in ("action_space", "observation_space")),
    ):
        generator = _vars(owner).get("_np_random")
        if isinstance(generator, np.random.Generator):
            yield name, generator


def _restore(layer: Any, state: Mapping[str, Any]) -> None:
    if state["kind"] != _name(layer):
        return
    for name, value in state["attributes"].items():
        kept = _plain(value, _MOST_DEPTH, [_MOST_PARTS])  # whoever wrote it
        if kept is not _UNKNOWN and _is_data(layer, name):
            _vars(layer)[name] = kept
    for name, parts in state["statistics"].items():
        _vars(_vars(layer).get(name)).update(parts)
    for name, random_state in state["randoms"].items():
        owner = _vars(layer).get(name) if name else layer
        kind = random_state["bit_generator"]
        if kind not in _BIT_GENERATORS:
            raise ValueError(f"{str(kind)[:40]!r} is no random generator of NumPy's")
        generator = _vars(owner).get("_np_random")
        if not isinstance(generator, np.random.Generator) or type(generator.bit_generator).__name__ != kind:
            generator = np.random.Generator(getattr(np.random, kind)())
            owner._np_random = generator  # type: ignore[union-attr]
        # In place, for whoever holds on to it.
        generator.bit_generator.state = random_state


def _is_data(layer: Any, name: str) -> bool:
    """Say whether an attribute may be put back: it is data here, or not there yet, as an env may make it in a step."""
    here = inspect.getattr_static(layer, name, None)
    return not (callable(here) or isinstance(here, property | classmethod | staticmethod) or name.startswith("__"))


def _vars(owner: Any) -> dict[str, Any]:
    return getattr(owner, "__dict__", {})


_UNKNOWN = object()


def _plain(value: Any, depth: int, left: list[int]) -> Any:
    """Copy what is plain data, ``_UNKNOWN`` otherwise; ``left`` counts the values that may still come."""
    left[0] -= 1
    if left[0] < 0:
        return _UNKNOWN
    if isinstance(value, np.generic | np.ndarray):
        return value.copy() if value.dtype.kind in _KINDS and value.size <= _MOST_NUMBERS else _UNKNOWN
    if isinstance(value, str):
        return _UNKNOWN if "/" in value or "\\" in value else value  # a path is of this process
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth == 0 or not isinstance(value, list | tuple | dict | deque) or len(value) > left[0]:
        return _UNKNOWN
    if isinstance(value, dict):
        values = {key: _plain(part, depth - 1, left) for key, part in value.items() if isinstance(key, str | int)}
        whole = len(values) == len(value) and not any(part is _UNKNOWN for part in values.values())
        return values if whole and type(value) is dict else _UNKNOWN
    parts = [_plain(part, depth - 1, left) for part in value]
    if any(part is _UNKNOWN for part in parts) or type(value) not in (list, tuple, deque):
        return _UNKNOWN
    return deque(parts, value.maxlen) if isinstance(value, deque) else type(value)(parts)


def _equal(one: Any, other: Any) -> bool:
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(_equal(one[key], other[key]) for key in one)
    if isinstance(one, tuple | list) and isinstance(other, tuple | list):
        return len(one) == len(other) and all(map(_equal, one, other))
    first, second = np.asarray(one), np.asarray(other)
    return first.dtype == second.dtype and first.shape == second.shape and first.tobytes() == second.tobytes()
