"""A new environment comes to where another one was."""

from collections import deque
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces

from sb3_ddpg_custom.wrappers import EpisodeReplayer


class Keeper(gym.Env[Any, Any]):
    """Keeps all sorts of things from episode to episode, and shows them in what is observed."""

    observation_space = spaces.Box(-1e9, 1e9, (6,), np.float64)

    def __init__(self) -> None:
        self.action_space = spaces.Box(-1, 1, (2,), np.float32)
        self.history = deque([0.0], maxlen=3)
        self.nested: dict[str, Any] = {"a": [1.0, (2.0, np.array([3.0]))]}
        self.unknown = object()
        self.endless: list[Any] = []
        self.endless.append(self.endless)
        self.large = np.zeros(20_000)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.level = getattr(self, "level", 0) + 1  # made at the first reset, as many envs do
        self.start = float((options or {}).get("start", self.np_random.normal()))
        self.sampled = float(self.action_space.sample()[0])
        return self._observe(), {}

    def _observe(self) -> Any:
        nested = self.nested["a"][1]
        return np.array(
            [self.level, sum(self.history), nested[1][0], self.start, self.sampled, self.np_random.random()]
        )

    def step(self, action: Any) -> Any:
        self.history.append(float(action[0]) + self.level)
        self.nested["a"][1][1][0] += action[1]
        return self._observe(), 0.0, False, False, {}


def played(env: Any, generator: np.random.Generator, steps: int) -> None:
    for _ in range(steps):
        env.step(generator.uniform(-1, 1, 2).astype(np.float32))


@pytest.mark.parametrize("options", [None, {"start": 4.5}])
@pytest.mark.parametrize("steps", [0, 1, 2500])
def test_everything_plain_goes_on(steps: int, options: Any) -> None:
    generator = np.random.default_rng(0)
    env = EpisodeReplayer(Keeper())
    env.reset(seed=3)
    played(env, generator, 5)
    env.reset(options=options)
    played(env, generator, steps)
    other = EpisodeReplayer(Keeper())
    assert other.replay_episode(env.episode_so_far())
    for _ in range(3):
        action = generator.uniform(-1, 1, 2).astype(np.float32)
        assert env.step(action)[0].tobytes() == other.step(action)[0].tobytes()
    assert env.reset()[0].tobytes() == other.reset()[0].tobytes()


def test_only_data_is_put_back() -> None:
    """A file must not put numbers in the place of methods."""
    env = EpisodeReplayer(Keeper())
    env.reset(seed=3)
    episode = env.episode_so_far()
    episode["layers"][-1]["attributes"] |= {"step": 3, "unwrapped": 4, "__class__": 5, "made_in_a_step": 6}
    other = EpisodeReplayer(Keeper())
    assert other.replay_episode(episode)
    kept = vars(other.unwrapped)
    assert kept["made_in_a_step"] == 6
    assert not {"step", "unwrapped", "__class__"} & kept.keys()


def test_what_is_too_long_to_keep_is_named() -> None:
    env = Keeper()
    env.endless = [0.0] * 1001
    replayer = EpisodeReplayer(env)
    replayer.reset(seed=0)
    assert [layer["left_out"] for layer in replayer.episode_so_far()["layers"]] == [["endless"]]


def test_paths_of_this_process_stay(tmp_path: Any) -> None:
    env, other = Keeper(), Keeper()
    env.folder, other.folder = "/somewhere/else", str(tmp_path)  # type: ignore[attr-defined]
    replayer = EpisodeReplayer(env)
    replayer.reset(seed=0)
    episode = replayer.episode_so_far()
    episode["layers"][0]["attributes"]["folder"] = "/somewhere/else"
    assert EpisodeReplayer(other).replay_episode(episode)
    assert other.folder == str(tmp_path)  # type: ignore[attr-defined]


def test_an_episode_is_a_copy() -> None:
    env = EpisodeReplayer(Keeper())
    env.reset(seed=0)
    played(env, np.random.default_rng(0), 3)
    episode = env.episode_so_far()
    played(env, np.random.default_rng(1), 300)
    assert len(episode["actions"]) == 3  # type: ignore[arg-type]
    assert EpisodeReplayer(Keeper()).replay_episode(episode)


def test_what_differs_is_told() -> None:
    class Clock(gym.ObservationWrapper[Any, Any, Any]):
        ticks = 0

        def observation(self, observation: Any) -> Any:
            Clock.ticks += 1
            return observation + Clock.ticks

    env = EpisodeReplayer(Clock(Keeper()))
    env.reset(seed=0)
    played(env, np.random.default_rng(0), 3)
    assert not EpisodeReplayer(Clock(Keeper())).replay_episode(env.episode_so_far())
    assert not EpisodeReplayer(Keeper()).replay_episode(env.episode_so_far())


def test_an_episode_that_ends_earlier_is_told() -> None:
    env = EpisodeReplayer(gym.wrappers.TimeLimit(Keeper(), 10))
    env.reset(seed=0)
    played(env, np.random.default_rng(0), 8)
    episode = env.episode_so_far()
    other = EpisodeReplayer(gym.wrappers.TimeLimit(Keeper(), 5))
    episode["layers"][0]["attributes"]["_max_episode_steps"] = 5
    assert not other.replay_episode(episode)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_box2d_episodes_have_worlds_of_their_own() -> None:
    """BipedalWalker keeps its world, in which the same episode came out otherwise after others."""
    pytest.importorskip("Box2D")

    def observed(env: Any) -> bytes:
        env.unwrapped.np_random = np.random.default_rng(5)
        seen = [env.reset()[0]]
        generator = np.random.default_rng(6)
        seen += [env.step(generator.uniform(-1, 1, 4).astype(np.float32))[0] for _ in range(40)]
        return np.stack(seen).tobytes()

    env = EpisodeReplayer(gym.make("BipedalWalker-v3"))
    assert len({observed(env) for _ in range(5)}) == 1
    env.close()


def test_observations_of_parts() -> None:
    class Parts(Keeper):
        def _observe(self) -> Any:
            return {"a": super()._observe(), "b": (np.float32(1), 2)}

    env = EpisodeReplayer(Parts())
    env.reset(seed=0)
    played(env, np.random.default_rng(0), 3)
    assert EpisodeReplayer(Parts()).replay_episode(env.episode_so_far())
