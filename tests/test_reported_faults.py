"""Situations from bug reports of SB3 and its neighbours, each with the right value."""

import copy
from pathlib import Path
from threading import Thread
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium import spaces
from helpers import SMALL, make_model
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvWrapper

from sb3_ddpg_custom import DDPG, AnnealedActionNoise, EpisodeBias, EpisodeScaledActionNoise, ReplayBuffer

FIELDS = ("observations", "next_observations", "actions", "rewards", "dones", "timeouts")


def filled(rows: int, first: float = 0.0, **kwargs: Any) -> ReplayBuffer:
    """Make a buffer in which every number tells the transition."""
    box = spaces.Box(-1000, 1000, (2,), np.float32)
    buffer = ReplayBuffer(100, box, spaces.Box(-1, 1, (1,)), **kwargs)
    for number in first + np.arange(rows):
        observation = np.full((1, 2), number)
        buffer.add(
            observation, observation + 0.5, np.full((1, 1), number / 1e4), np.array([number]), np.array([False]), [{}]
        )
    return buffer


def test_two_buffers_are_merged_as_in_sb3() -> None:
    one, other = filled(30), filled(30, first=500)
    for field in FIELDS:
        setattr(one, field, np.concatenate([getattr(one, field)[:30], getattr(other, field)[:30]]))
    one.pos = 60
    np.random.seed(0)
    batches: list[Any] = [one.sample(200), *one.batches(2, 200)]
    for batch in batches:
        numbers = batch.rewards[:, 0].numpy()
        assert set(numbers) <= {*range(30), *range(500, 530)}
        assert (numbers < 30).any()
        assert (numbers >= 500).any()
        np.testing.assert_array_equal(batch.observations[:, 0], numbers)
        np.testing.assert_array_equal(batch.next_observations[:, 1], numbers + 0.5)
    one.add(np.ones((1, 2)), np.ones((1, 2)), np.zeros((1, 1)), np.array([-7.0]), np.array([False]), [{}])
    assert one.rewards[60, 0] == -7


def test_more_rows_than_there_were_make_the_buffer_grow() -> None:
    one, other = filled(100), filled(100, first=500)
    for field in FIELDS:
        setattr(one, field, np.concatenate([getattr(one, field), getattr(other, field)]))
    one.pos = 200
    assert set(one.sample(4000).rewards[:, 0].tolist()) == {*range(100), *range(500, 600)}
    one.add(np.ones((1, 2)), np.ones((1, 2)), np.zeros((1, 1)), np.array([-7.0]), np.array([False]), [{}])
    assert (one.rewards[0, 0], one.pos, one.full, one.buffer_size) == (-7, 1, True, 200)


def test_a_wrong_shape_or_kind_is_refused() -> None:
    buffer = filled(5)
    with pytest.raises(ValueError, match=r"observations must have shape \(rows, 1, 2\), got \(5, 2\)"):
        buffer.observations = np.zeros((5, 2))
    with pytest.raises(ValueError, match="actions holds float32, got <U1"):
        buffer.actions = np.full((5, 1, 1), "x")
    with pytest.raises(ValueError, match="rewards cannot be assigned to a buffer with priority_exponent: add the"):
        filled(5, priority_exponent=0.6).rewards = np.zeros((5, 1))
    with pytest.raises(ValueError, match="with optimize_memory_usage"):
        filled(5, optimize_memory_usage=True).observations = np.zeros((5, 1, 2))
    with pytest.raises(AttributeError, match="has no next_observations"):
        _ = filled(5, optimize_memory_usage=True).next_observations
    np.testing.assert_array_equal(buffer.rewards[:5, 0], range(5))


def test_parts_of_dict_observations_are_assigned_too() -> None:
    box = spaces.Box(-9, 9, (1,), np.float32)
    buffer = ReplayBuffer(10, spaces.Dict(a=box, b=box), box)
    zero = {"a": np.zeros((1, 1)), "b": np.zeros((1, 1))}
    buffer.add(zero, zero, np.zeros((1, 1)), np.zeros(1), np.zeros(1, bool), [{}])
    buffer.observations["a"] = np.full((1, 1, 1), 5.0)
    buffer.next_observations = {"b": np.full((1, 1, 1), 7.0)}
    batch: Any = buffer.sample(3)
    assert batch.observations["a"].tolist() == [[5]] * 3
    assert batch.observations["b"].tolist() == [[0]] * 3
    assert batch.next_observations["b"].tolist() == [[7]] * 3


class Whole(gym.Env[Any, Any]):
    """Says which actions it got."""

    def __init__(self, low: int, high: int, dtype: Any) -> None:
        self.observation_space = spaces.Box(-1, 1, (2,), np.float32)
        self.action_space = spaces.Box(low, high, (2,), dtype)
        self.got: list[Any] = []

    def reset(self, **kwargs: Any) -> Any:
        super().reset(seed=kwargs.get("seed"))
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        self.got.append(action)
        assert self.action_space.contains(action), action
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), 0.0, len(self.got) % 10 == 0, False, {}


@pytest.mark.parametrize(
    ("low", "high", "dtype"),
    [(-10, 20, np.int8), (-10, 20, np.int64), (0, 200, np.uint8), (-100, 100, np.int8), (0, 255, np.uint8)],
)
@pytest.mark.parametrize("update", ["auto", "autograd"])
def test_an_env_of_whole_numbers_gets_them_and_the_buffer_real_ones(
    low: int, high: int, dtype: Any, update: Any
) -> None:
    env = Whole(low, high, dtype)
    noise = NormalActionNoise(np.zeros(2), 0.3 * np.ones(2))
    m = make_model(env, update=update, action_noise=noise).learn(60)
    stored = m.replay_buffer.actions[:60, 0]
    assert stored.dtype == np.float32
    got = np.array(env.got[:60], np.float64)
    np.testing.assert_allclose(stored, 2 * (got - low) / (high - low) - 1, atol=1e-6)
    assert len(np.unique(got)) > 10
    actions, _ = m.predict(np.zeros((1, 2), np.float32))
    assert actions.dtype == dtype
    evaluate_policy(m, m.get_env(), n_eval_episodes=1)


def test_whole_numbers_survive_a_zip(tmp_path: Path) -> None:
    m = make_model(Whole(-100, 100, np.int8)).learn(30)
    m.save(tmp_path / "whole")
    loaded = DDPG.load(tmp_path / "whole", env=Whole(-100, 100, np.int8)).learn(30)
    assert loaded.action_space == spaces.Box(-100, 100, (2,), np.int8)
    loaded.save_replay_buffer(tmp_path / "buffer")
    loaded.load_replay_buffer(tmp_path / "buffer")


class Simulator(VecEnvWrapper):
    """As adapters of GPU simulators are: no single envs behind it.

    :param error: what it raises when a method of its envs is called, or asked for
    """

    def __init__(self, venv: Any, error: Exception, *, asked: bool = False) -> None:
        self.error, self.asked = error, asked
        super().__init__(venv)

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        return self.venv.step_wait()

    def get_attr(self, attr_name: str, indices: Any = None) -> list[Any]:
        if self.asked and attr_name == "annotate_episode":
            raise self.error
        return [None] * self.num_envs

    def has_attr(self, attr_name: str) -> bool:
        return VecEnv.has_attr(self, attr_name)

    def env_method(self, method_name: str, *args: Any, indices: Any = None, **kwargs: Any) -> list[Any]:
        raise self.error


@pytest.mark.parametrize("asked", [False, True])
@pytest.mark.parametrize("error", [NotImplementedError, AttributeError, TypeError, RuntimeError])
def test_a_vectorised_simulator_without_single_envs_trains(error: type[Exception], asked: bool) -> None:
    envs = DummyVecEnv([lambda: gym.make("Pendulum-v1", max_episode_steps=10)] * 2)
    m = make_model(Simulator(envs, error("no single envs"), asked=asked))
    m.learn(100)
    assert m._episode_num == 10
    assert m._n_updates > 0


@pytest.mark.parametrize("noise", [None, NormalActionNoise(np.zeros(1), np.ones(1))])
def test_an_action_is_sampled_without_learn(noise: Any) -> None:
    actions = []
    for algorithm in (DDPG, stable_baselines3.DDPG):
        m: Any = algorithm("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, seed=0, device="cpu")
        m._last_obs = m.env.reset()
        np.random.seed(1)
        actions.append([*m._sample_action(20, noise, 1), *m._sample_action(0, noise, 1)])
    for ours, theirs in zip(*actions, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)


def test_progress_is_all_before_the_first_learn() -> None:
    noise = AnnealedActionNoise(NormalActionNoise(np.zeros(1), np.ones(1)))
    m = make_model(action_noise=noise)
    m._last_obs = m.env.reset()
    m._sample_action(0, noise, 1)
    assert noise.scale == 1.0


@pytest.mark.parametrize("kwargs", [{}, {"n_steps": 3}, {"replay_buffer_kwargs": {"priority_exponent": 0.6}}])
def test_a_buffer_is_loaded_where_there_is_none(kwargs: Any, tmp_path: Path) -> None:
    m = make_model(**kwargs).learn(50)
    before = m.replay_buffer
    m.save_replay_buffer(tmp_path / "buffer")
    m.replay_buffer = None
    m.load_replay_buffer(tmp_path / "buffer")
    assert (m.replay_buffer.n_steps, m.replay_buffer.pos, m.replay_buffer.buffer_size) == (before.n_steps, 50, 500)
    np.testing.assert_array_equal(m.replay_buffer.observations, before.observations)
    m.learn(10, reset_num_timesteps=False)


def noise_of(kind: Any) -> Any:
    return kind(NormalActionNoise(np.zeros(1), np.ones(1)))


@pytest.mark.parametrize(
    "kwargs",
    [
        {"replay_buffer_kwargs": {"priority_exponent": 0.6}},
        {"action_noise": noise_of(EpisodeScaledActionNoise)},
        {"action_noise": noise_of(AnnealedActionNoise)},
        {"action_noise": EpisodeBias(1)},
    ],
)
@pytest.mark.parametrize("n_envs", [1, 2])
def test_sb3_refuses_what_it_would_train_otherwise(kwargs: Any, n_envs: int, tmp_path: Path) -> None:
    m = make_model(make_vec_env("Pendulum-v1", n_envs), **kwargs).learn(30)
    m.save(tmp_path / "zip")
    DDPG.load(tmp_path / "zip", env=m.env).learn(30)
    with pytest.raises(RuntimeError, match="needs_sb3_ddpg_custom"):
        stable_baselines3.DDPG.load(tmp_path / "zip", env=m.env)


def test_a_frozen_actor_is_left_alone_and_the_critic_trained_as_in_sb3() -> None:
    trained: list[Any] = []
    ways: list[tuple[Any, dict[str, Any]]] = [(stable_baselines3.DDPG, {}), (DDPG, {"update": "autograd"}), (DDPG, {})]
    for algorithm, update in ways:
        m: Any = algorithm("MlpPolicy", "Pendulum-v1", **SMALL, **update)
        m.actor.requires_grad_(False)
        trained.append(m.learn(60).policy.state_dict())
    theirs, *ours = trained
    for one in ours:
        for name, tensor in theirs.items():
            assert th.equal(tensor, one[name]), name


def test_the_critic_follows_the_models_schedule() -> None:
    m = make_model().learn(30)
    m.lr_schedule = lambda progress: 0.25
    m.train(1, 16)
    assert [network.optimizer.param_groups[0]["lr"] for network in (m.actor, m.critic)] == [0.25, 0.25]
    m.critic_learning_rate = 0.5
    m.train(1, 16)
    assert [network.optimizer.param_groups[0]["lr"] for network in (m.actor, m.critic)] == [0.25, 0.5]


def test_a_discount_that_is_changed_reaches_n_step_returns() -> None:
    m = make_model(n_steps=3).learn(40)
    m.gamma = 0.5
    m.train(1, 16)
    assert m.replay_buffer.gamma == 0.5
    other = make_model(replay_buffer_kwargs={"n_steps": 3, "gamma": 0.75}).learn(40)
    assert other.replay_buffer.gamma == 0.75


def test_a_schedule_for_the_critic_alone() -> None:
    m = make_model().learn(30)
    m.critic_lr_schedule = lambda progress: 0.125
    m.train(1, 16)
    assert [network.optimizer.param_groups[0]["lr"] for network in (m.actor, m.critic)] == [1e-3, 0.125]


def test_what_was_read_before_an_assignment_stays_what_it_was() -> None:
    buffer = filled(3)
    before = buffer.rewards
    buffer.rewards = before - 5
    assert before[:3, 0].tolist() == [0, 1, 2]
    buffer.rewards = before
    assert set(buffer.sample(50).rewards[:, 0].tolist()) == {0, 1, 2}
    buffer.observations, buffer.next_observations = buffer.next_observations, buffer.observations
    assert buffer.observations[:3, 0, 0].tolist() == [0.5, 1.5, 2.5]
    assert buffer.next_observations[:3, 0, 0].tolist() == [0, 1, 2]


def test_the_size_may_be_set_first_and_be_smaller() -> None:
    one = filled(100)
    one.buffer_size = 200
    for field in FIELDS:
        setattr(one, field, np.concatenate([getattr(one, field)] * 2))
    assert (one.rewards.shape, one.buffer_size, one.size()) == ((200, 1), 200, 200)
    other = filled(5)
    for field in FIELDS:
        setattr(other, field, getattr(other, field)[:2])
    other.buffer_size, other.pos, other.full = 2, 0, True
    other.add(np.ones((1, 2)), np.ones((1, 2)), np.zeros((1, 1)), np.array([9.0]), np.array([False]), [{}])
    assert other.rewards[:, 0].tolist() == [9, 1]
    assert set(other.sample(50).rewards[:, 0].tolist()) == {9, 1}


def test_rows_are_counted_from_the_end_and_checked_as_in_sb3() -> None:
    buffer = filled(100)
    assert buffer._get_samples(np.array([-1, -2])).rewards[:, 0].tolist() == [99, 98]
    with pytest.raises(IndexError, match="150"):
        buffer._get_samples(np.array([150]))


def test_batches_of_several_threads_do_not_mix() -> None:
    buffer, wrong = filled(100), []

    def look() -> None:
        for _ in range(1500):
            batch: Any = buffer.sample(64)
            wrong.append(int((batch.observations[:, 0] != batch.rewards[:, 0]).sum()))

    threads = [Thread(target=look) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(wrong), sum(wrong)) == (3000, 0)


def test_dones_are_0_and_1() -> None:
    buffer = filled(3)
    with pytest.raises(ValueError, match=r"dones holds 0 and 1 only, got 0\.0 to 0\.5"):
        buffer.dones = np.array([[0.0], [0.5]])


def test_a_copy_of_a_model_keeps_a_method_that_was_assigned() -> None:
    m = make_model()
    m.train = print
    assert copy.deepcopy(m).train is print


def test_a_time_limit_may_be_told_as_an_array() -> None:
    buffer = filled(3)
    zeros, infos = np.zeros((1, 2)), [{"TimeLimit.truncated": np.array([True])}]
    buffer.add(zeros, zeros, np.zeros((1, 1)), np.zeros(1), np.array([True]), infos)
    assert buffer.timeouts[:4, 0].tolist() == [False, False, False, True]


class Lists(VecEnvWrapper):
    """Answers lists where SB3 asks for arrays, and takes them all the same."""

    def reset(self) -> Any:
        return self.venv.reset()

    def step_wait(self) -> Any:
        observations, rewards, dones, infos = self.venv.step_wait()
        return observations, rewards, dones.tolist(), infos


def test_dones_may_be_a_list() -> None:
    m = make_model(Lists(make_vec_env(lambda: gym.make("Pendulum-v1", max_episode_steps=10), 2))).learn(100)
    assert m._episode_num == 10
    assert m.replay_buffer.timeouts[:50].sum() == 10
