"""All options of the replay buffer together, against a list of tuples and against SB3's n-step buffer."""

import copy
import io
import math
import pickle
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ddpg_custom import ReplayBuffer
from sb3_ddpg_custom.replay.files import load_replay_buffer, save_replay_buffer
from sb3_ddpg_custom.replay.n_step import n_step_returns

SPACES: dict[str, spaces.Space[Any]] = {
    "float64": spaces.Box(-1000, 1000, (2,), np.float64),
    "image": spaces.Box(0, 255, (1, 2, 3), np.uint8),
    "discrete": spaces.Discrete(1000),
    "dict": spaces.Dict({"x": spaces.Box(-1000, 1000, (3,)), "level": spaces.Discrete(1000)}),
}
ACTIONS = spaces.Box(-1, 1, (1,), np.float32)


def encode(space: spaces.Space[Any], numbers: list[int]) -> Any:
    if isinstance(space, spaces.Dict):
        return {key: encode(part, numbers) for key, part in space.spaces.items()}
    return np.array([np.full(space.shape or (), number) for number in numbers]).astype(space.dtype)


def decode(batch: Any) -> list[int]:
    if isinstance(batch, dict):
        read = [decode(part) for part in batch.values()]
        assert all(one == read[0] for one in read)
        return read[0]
    rows = np.asarray(batch).reshape(len(batch), -1)
    assert (rows == rows[:, :1]).all()
    return [int(row[0]) for row in rows]


class Transition(NamedTuple):
    s: int
    r: float
    done: bool
    cut: bool
    s2: int


class Stream:
    """Steps of several envs in which every observation has a number of its own, and the list that remembers them."""

    def __init__(self, buffer: ReplayBuffer, space: spaces.Space[Any]) -> None:
        self.buffer, self.space = buffer, space
        self.last = 0
        self.now = [self.number() for _ in range(buffer.n_envs)]
        self.memory: list[list[Transition]] = [[] for _ in range(buffer.n_envs)]

    def number(self) -> int:
        self.last += 1
        return self.last

    def step(self, events: list[str]) -> None:
        """Each env goes on, terminates, is truncated, both, or is left: reset without any flag."""
        events = events[: self.buffer.n_envs]
        after = [self.number() for _ in events]
        done = [event in ("terminated", "truncated", "both") for event in events]
        cut = [event == "truncated" for event in events]
        rewards = [float(number % 8) for number in self.now]
        self.buffer.add(
            encode(self.space, self.now),
            encode(self.space, after),
            np.array([[number / 1000] for number in self.now], np.float32),
            np.array(rewards, np.float32),
            np.array(done),
            [{"TimeLimit.truncated": one} for one in cut],
        )
        for env, memory in enumerate(self.memory):
            memory.append(Transition(self.now[env], rewards[env], done[env], cut[env], after[env]))
            del memory[: -self.buffer.buffer_size]
        self.now = [number if event == "on" else self.number() for number, event in zip(after, events, strict=True)]

    def expected(self) -> dict[int, tuple[float, bool, int, float]]:
        """By first observation: n-step return, terminated, last next observation, discount."""
        answers = {}
        for memory in self.memory:
            for start, first in enumerate(memory):
                total, discount = 0.0, 1.0
                for at in range(start, min(start + self.buffer.n_steps, len(memory))):
                    last = memory[at]
                    total, discount = total + discount * last.r, discount * self.buffer.gamma
                    cut = last.cut and self.buffer.handle_timeout_termination
                    if last.done or cut or (at + 1 < len(memory) and memory[at + 1].s != last.s2):
                        break
                answers[first.s] = (total, last.done and not cut, last.s2, discount)
        return answers

    def check(self) -> None:
        answers = self.expected()
        assert self.buffer.size() == len(self.memory[0])
        if not answers:
            return
        batch = self.buffer.sample(24)
        firsts = decode(batch.observations)
        discounts = [self.buffer.gamma] * 24 if batch.discounts is None else batch.discounts.flatten().tolist()
        columns = (batch.rewards.flatten().tolist(), batch.dones.flatten().tolist(), decode(batch.next_observations))
        assert list(zip(*columns, discounts, strict=True)) == [answers[first] for first in firsts]
        assert (batch.discounts is None) == (self.buffer.n_steps == 1)
        np.testing.assert_array_equal(batch.actions[:, 0], np.array(firsts, np.float32) / np.float32(1000))
        if self.buffer.priorities is not None:
            indices = batch.indices  # type: ignore[union-attr]
            assert decode(self.buffer.records.gather(indices)["actions"] * 1000 + 0.5) == firsts
            self.buffer.update_priorities(indices, np.arange(24.0))
        s, _, r, t, s2 = self.buffer.sample_batch(1000)
        single = sorted(zip(decode(s), np.asarray(r).tolist(), np.asarray(t).tolist(), decode(s2), strict=True))
        handle = self.buffer.handle_timeout_termination
        all_of_them = [one for memory in self.memory for one in memory]
        assert single == sorted((one.s, one.r, one.done and not (one.cut and handle), one.s2) for one in all_of_them)


def through_a_file(buffer: ReplayBuffer) -> ReplayBuffer:
    file = io.BytesIO()
    save_replay_buffer(buffer, file)
    file.seek(0)
    return load_replay_buffer(file, buffer)


COPIERS: dict[str, Callable[[ReplayBuffer], ReplayBuffer]] = {
    "file": through_a_file,
    "pickle": lambda b: pickle.loads(pickle.dumps(b)),
    "deepcopy": copy.deepcopy,
}
EVENTS = st.sampled_from(["on", "on", "on", "on", "terminated", "truncated", "both", "left"])
STEP = st.lists(EVENTS, min_size=3, max_size=3)


@pytest.mark.parametrize("kind", SPACES)
@settings(max_examples=60, deadline=None)
@given(
    capacity=st.integers(1, 14),
    n_envs=st.integers(1, 3),
    n_steps=st.integers(1, 4),
    saving=st.booleans(),
    handle=st.booleans(),
    priority_exponent=st.sampled_from([None, 0.6]),
    operations=st.lists(
        st.one_of(st.lists(STEP, min_size=1, max_size=7), st.sampled_from(["clear", *COPIERS])), min_size=1, max_size=6
    ),
)
def test_every_combination_holds_what_a_list_would(
    kind: str,
    capacity: int,
    n_envs: int,
    n_steps: int,
    saving: bool,
    handle: bool,
    priority_exponent: float | None,
    operations: list[Any],
) -> None:
    options: dict[str, Any] = {"n_steps": n_steps, "gamma": 0.5, "priority_exponent": priority_exponent}
    buffer = ReplayBuffer(capacity, SPACES[kind], ACTIONS, "cpu", n_envs, saving, handle, **options)
    stream = Stream(buffer, SPACES[kind])
    for operation in operations:
        if operation == "clear":
            stream.buffer.clear()
            stream.memory = [[] for _ in range(n_envs)]
        elif isinstance(operation, str):
            stream.buffer = COPIERS[operation](stream.buffer)
        else:
            for events in operation:
                stream.step(events)
        stream.check()


def random_steps(space: spaces.Box, n_envs: int, steps: int, seed: int) -> list[tuple[Any, ...]]:
    """Transitions as SB3's rollout loop adds them: where nothing ended, the next observation is the following one."""
    rng = np.random.default_rng(seed)
    observation = rng.normal(size=(n_envs, *space.shape)).astype(space.dtype)
    added = []
    for _ in range(steps):
        following = rng.normal(size=observation.shape).astype(space.dtype)
        done = rng.random(n_envs) < 0.15
        infos = [{"TimeLimit.truncated": bool(one and rng.random() < 0.5)} for one in done]
        rewards = rng.normal(size=n_envs).astype(np.float32)
        added.append((observation, following, rng.random((n_envs, 1), np.float32), rewards, done, infos))
        fresh = rng.normal(size=observation.shape).astype(space.dtype)
        observation = np.where(done[:, None], fresh, following)
    return added


def same_batches(one: Any, other: Any, env: VecNormalize | None = None) -> None:
    for seed in range(5):
        batches = []
        for buffer in (one, other):
            np.random.seed(seed)
            batches.append(buffer.sample(40, env=env)._asdict())
        for name, tensor in batches[0].items():
            if isinstance(tensor, th.Tensor):
                assert tensor.dtype == batches[1][name].dtype
                assert np.asarray(tensor).tobytes() == np.asarray(batches[1][name]).tobytes(), name
            else:
                np.testing.assert_equal(tensor, batches[1][name])


@pytest.fixture(scope="module")
def normalizing() -> VecNormalize:
    import gymnasium as gym

    env = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]))
    env.ret_rms.var = np.array(7.3)
    return env


@pytest.mark.parametrize("n_steps", [1, 2, 3, 5, 9, 20])
@pytest.mark.parametrize("saving", [False, True])
@pytest.mark.parametrize("handle", [False, True])
def test_n_step_batches_are_those_of_sb3_bit_by_bit(
    n_steps: int, saving: bool, handle: bool, normalizing: VecNormalize
) -> None:
    space = normalizing.observation_space
    assert isinstance(space, spaces.Box)
    for n_envs in (1, 3):
        for case, steps in enumerate((1, 7, 19, 20, 21, 50, 73)):
            shape: Any = {"device": "cpu", "n_envs": n_envs, "handle_timeout_termination": handle}
            shape |= {"buffer_size": 20 * n_envs, "observation_space": space, "action_space": ACTIONS}
            options: dict[str, Any] = {"n_steps": n_steps, "gamma": 0.97}
            ours = ReplayBuffer(optimize_memory_usage=saving, **shape, **options)
            theirs: SB3ReplayBuffer
            if n_steps == 1:
                theirs = SB3ReplayBuffer(**shape)
            else:
                theirs = NStepReplayBuffer(**shape, **options)
            for transition in random_steps(space, n_envs, steps, seed=case):
                ours.add(*transition)
                theirs.add(*transition)
            same_batches(ours, theirs)
            same_batches(ours, theirs, normalizing)


def test_a_return_by_hand() -> None:
    rewards = np.array([[1, 2, 4], [1, 2, 4], [1, 2, 4]], np.float32)
    ended = np.array([[False, False, False], [False, True, True], [True, False, False]])
    result = n_step_returns(rewards, ended, gamma=0.5)
    assert result.returns.tolist() == [[3.0], [2.0], [1.0]]
    assert result.discounts.tolist() == [[0.125], [0.25], [0.5]]
    assert result.last_steps.tolist() == [2, 1, 0]


@pytest.mark.parametrize("episode", [200, 1000])
def test_memory_saving_takes_half_for_images(episode: int) -> None:
    space = spaces.Box(0, 255, (4, 84, 84), np.uint8)
    sizes = []
    for saving in (False, True):
        buffer = ReplayBuffer(1200, space, ACTIONS, optimize_memory_usage=saving)
        image = np.zeros((1, *space.shape), np.uint8)
        for step in range(1300):
            following = image + np.uint8(1)
            done = step % episode == episode - 1
            buffer.add(image, following, np.zeros((1, 1)), np.zeros(1), np.array([done]), [{}])
            image = np.full_like(image, 99) if done else following
        sizes.append(buffer.nbytes)
    sb3s = SB3ReplayBuffer(1200, space, ACTIONS)
    assert sizes[1] <= 0.55 * sizes[0]
    assert sizes[1] <= 0.55 * sum(a.nbytes for a in vars(sb3s).values() if isinstance(a, np.ndarray))


def test_slots_of_final_observations_are_used_again() -> None:
    buffer = ReplayBuffer(4, SPACES["float64"], ACTIONS, optimize_memory_usage=True)
    stream = Stream(buffer, SPACES["float64"])
    for _ in range(100):
        stream.step(["terminated"])
    assert buffer.final_observations is not None
    assert len(buffer.final_observations.rows) <= 16
    stream.check()


def test_an_observation_of_nan_follows_itself() -> None:
    buffer = ReplayBuffer(4, SPACES["float64"], ACTIONS, optimize_memory_usage=True, n_steps=2, gamma=1.0)
    nan = np.full((1, 2), np.nan)
    for _ in range(3):
        buffer.add(nan, nan, np.zeros((1, 1)), np.ones(1), np.array([False]), [{}])
    assert sorted(set(buffer.sample(50).rewards.flatten().tolist())) == [1.0, 2.0]
    assert buffer.final_slots[:3].tolist() == [[-1], [-1], [0]]


@pytest.mark.parametrize("saving", [False, True])
def test_an_unflagged_reset_is_marked_as_a_cut(saving: bool) -> None:
    buffer = ReplayBuffer(8, SPACES["float64"], ACTIONS, optimize_memory_usage=saving, n_steps=3)
    stream = Stream(buffer, SPACES["float64"])
    for event in ("on", "left", "on", "terminated", "on"):
        stream.step([event])
    assert buffer.dones[:5, 0].tolist() == [False, True, False, True, False]
    assert buffer.timeouts[:5, 0].tolist() == [False, True, False, False, False]


def test_options_out_of_range_are_refused_by_name() -> None:
    for options, message in (
        ({"n_steps": 0}, "n_steps must be at least 1, got 0"),
        ({"n_steps": 2.5}, "n_steps must be a whole number, got 2.5"),
        ({"n_steps": True}, "n_steps must be a whole number, got True"),
        ({"priority_exponent": math.nan}, "priority_exponent must be at least 0, got nan"),
        ({"priority_exponent": "a"}, "priority_exponent must be at least 0, got 'a'"),
        (
            {"priority_exponent": 0.6, "importance_exponent": math.nan},
            "importance_exponent must be at least 0, got nan",
        ),
        ({"priority_exponent": -1.0}, "priority_exponent must be at least 0"),
        ({"priority_exponent": 0.6, "importance_exponent": 2.0}, "importance_exponent must be between 0 and 1"),
        ({"priority_exponent": 0.6, "priority_epsilon": 0.0}, "priority_epsilon must be above 0"),
    ):
        with pytest.raises(ValueError, match=message):
            ReplayBuffer(8, SPACES["float64"], ACTIONS, **options)


@pytest.mark.parametrize("saving", [False, True])
def test_a_step_of_another_number_of_envs_is_refused_and_changes_nothing(saving: bool) -> None:
    buffer = ReplayBuffer(8, SPACES["float64"], ACTIONS, n_envs=2, optimize_memory_usage=saving)
    stream = Stream(buffer, SPACES["float64"])
    stream.step(["on", "on"])
    one = np.zeros((1, 2))
    with pytest.raises(ValueError, match="reshape"):
        buffer.add(one, one, np.zeros((1, 1)), np.zeros(1), np.array([False]), [{}])
    stream.check()
