"""The adapter of EnvPool: against a stand-in that keeps EnvPool's contract, and against EnvPool where it is."""

import sys
from importlib.util import find_spec
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from gymnasium import spaces
from helpers import SMALL
from numpy.typing import NDArray
from stable_baselines3.common.vec_env import VecMonitor

from sb3_ddpg_custom import DDPG, ReplayBuffer
from sb3_ddpg_custom.envpool_envs import EnvPoolVecEnv


class CountingPool:
    """EnvPool's interface. Observation: (env, episode, step). Env i's episodes take i + 2 steps, odd ones terminate."""

    made: ClassVar[list[dict[str, Any]]] = []

    def __init__(self, env_id: str, **options: Any) -> None:
        self.made.append({"env_id": env_id, **options})
        self.size = options["num_envs"]
        low = np.zeros(3, np.float32)
        self.observation_space: spaces.Space[Any] = spaces.Box(low, low + 99)
        if env_id == "Dict":
            self.observation_space = spaces.Dict({"x": self.observation_space})
        self.action_space = spaces.Box(-1, 1, (1,), np.float64)
        self.episodes, self.steps = np.zeros(self.size, int), np.zeros(self.size, int)
        self.closed = False

    def observe(self, ids: NDArray[Any]) -> NDArray[np.float32]:
        return np.stack([ids, self.episodes[ids], self.steps[ids]], axis=1).astype(np.float32)

    def reset(self, ids: NDArray[Any] | None = None) -> tuple[Any, dict[str, Any]]:
        if ids is None:
            ids = np.arange(self.size)
        self.episodes[ids] += 1
        self.steps[ids] = 0
        return self.observe(ids), {"env_id": ids}

    def send(self, actions: NDArray[Any]) -> None:
        assert actions.shape == (self.size, 1)
        assert actions.dtype == np.float64
        self.actions = actions

    def recv(self) -> tuple[Any, ...]:
        ids = np.arange(self.size)
        assert (self.steps < ids + 2).all(), "an env whose episode has ended was not reset"
        self.steps += 1
        ended = self.steps == ids + 2
        return self.observe(ids), self.actions[:, 0].copy(), ended & (ids % 2 == 1), ended, {"env_id": ids}

    def close(self) -> None:
        self.closed = True


@pytest.fixture
def pools(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    monkeypatch.setitem(sys.modules, "envpool", SimpleNamespace(make=CountingPool))
    monkeypatch.setattr(CountingPool, "made", [])
    return CountingPool.made


def test_an_episodes_last_and_the_nexts_first_observation_come_with_one_step(pools: list[dict[str, Any]]) -> None:
    env = EnvPoolVecEnv("Counting", 3, seed=7, num_threads=2)
    assert pools == [{"env_id": "Counting", "env_type": "gymnasium", "seed": 7, "num_envs": 3, "num_threads": 2}]
    assert env.reset().tolist() == [[0, 1, 0], [1, 1, 0], [2, 1, 0]]
    actions = np.array([[0.1], [0.2], [0.3]], np.float32)
    observations, rewards, dones, infos = env.step(actions)
    assert observations.tolist() == [[0, 1, 1], [1, 1, 1], [2, 1, 1]]  # type: ignore[union-attr]
    assert (dones.tolist(), infos) == ([False] * 3, [{}, {}, {}])
    assert rewards.tolist() == actions[:, 0].tolist()
    assert rewards.dtype == np.float32
    observations, _, dones, infos = env.step(actions)
    assert observations.tolist() == [[0, 2, 0], [1, 1, 2], [2, 1, 2]]  # type: ignore[union-attr]
    assert dones.tolist() == [True, False, False]
    assert infos[0]["terminal_observation"].tolist() == [0, 1, 2]
    assert infos[0]["TimeLimit.truncated"] is True
    observations, _, dones, infos = env.step(actions)
    assert dones.tolist() == [False, True, False]
    assert infos[1]["terminal_observation"].tolist() == [1, 1, 3]
    assert infos[1]["TimeLimit.truncated"] is False  # terminated, whatever else the env says


def test_a_seed_takes_effect_at_the_next_reset(pools: list[dict[str, Any]]) -> None:
    env = EnvPoolVecEnv("Counting", 2)
    first = env._pool
    env.reset()
    assert env._pool is first
    env.seed(2**32 - 1)
    env.reset()
    assert first.closed
    assert [made["seed"] for made in pools] == [0, (2**32 - 1) % (2**31 - 1)]
    env.reset()
    assert len(pools) == 2


def test_ddpg_stores_what_happened(pools: list[dict[str, Any]]) -> None:
    model = DDPG("MlpPolicy", VecMonitor(EnvPoolVecEnv("Counting", 4)), **SMALL).learn(200)
    assert model.ep_info_buffer
    assert {episode["l"] for episode in model.ep_info_buffer} == {2, 3, 4, 5}
    buffer = model.replay_buffer
    assert isinstance(buffer, ReplayBuffer)
    now, then = buffer.observations[:50], buffer.next_observations[:50]
    np.testing.assert_array_equal(now[..., :2], then[..., :2])
    np.testing.assert_array_equal(now[..., 2] + 1, then[..., 2])
    ends = then[..., 2] == np.arange(4) + 2
    np.testing.assert_array_equal(buffer.dones[:50], ends)
    np.testing.assert_array_equal(buffer.timeouts[:50], ends & (np.arange(4) % 2 == 0))


def test_what_it_cannot_do_is_said(pools: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    env = EnvPoolVecEnv("Counting", 2)
    assert not env.has_attr("annotate_episode")
    for refused in (lambda: env.set_attr("x", 1), lambda: env.env_method("x"), lambda: env.get_attr("x")):
        with pytest.raises(AttributeError, match="no single envs"):
            refused()
    with pytest.raises(ValueError, match="only a Box is supported"):
        EnvPoolVecEnv("Dict", 2)
    monkeypatch.setitem(sys.modules, "envpool", None)
    with pytest.raises(ImportError, match="pip install envpool"):
        EnvPoolVecEnv("Counting", 2)


@pytest.mark.skipif(find_spec("envpool") is None, reason="EnvPool is not installed")
@pytest.mark.filterwarnings("ignore")
def test_the_real_envpool() -> None:
    env = EnvPoolVecEnv("Pendulum-v1", 3, seed=1, num_threads=1, max_episode_steps=5)
    first = env.reset()
    for step in range(1, 12):
        observations, _, dones, infos = env.step(np.zeros((3, 1)))
        assert dones.tolist() == [step % 5 == 0] * 3
        if dones.all():
            assert all(info["TimeLimit.truncated"] for info in infos)
            assert not np.allclose(observations, [info["terminal_observation"] for info in infos])  # type: ignore[arg-type]
    env.seed(1)
    np.testing.assert_array_equal(env.reset(), first)
    env.seed(2)
    assert not np.array_equal(env.reset(), first)
    model = DDPG("MlpPolicy", VecMonitor(env), **SMALL).learn(60)
    assert model.ep_info_buffer
    assert model.ep_info_buffer[-1]["l"] == 5
    env.close()
