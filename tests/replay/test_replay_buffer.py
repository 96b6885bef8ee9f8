"""Our SB3 buffer against a plain list, for every kind of observation, and against SB3's own draws."""

import copy
import pickle
from collections import deque
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.buffers import DictReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ddpg_custom import ReplayBuffer
from sb3_ddpg_custom.replay.records import Field, Records, record_dtype

OBSERVATION_SPACES: dict[str, spaces.Space[Any]] = {
    "float32": spaces.Box(-1, 1, (3,), np.float32),
    "float64": spaces.Box(-1, 1, (2, 2), np.float64),
    "int16": spaces.Box(-1000, 1000, (2,), np.int16),
    "image": spaces.Box(0, 255, (1, 4, 5), np.uint8),
    "discrete": spaces.Discrete(1000),
    "multi-discrete": spaces.MultiDiscrete([1000, 1000]),
    "multi-binary": spaces.MultiBinary(8),
    "dict": spaces.Dict(
        {"image": spaces.Box(0, 255, (1, 2, 2), np.uint8), "level": spaces.Discrete(1000), "x": spaces.Box(-1, 1, (2,))}
    ),
}
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)


def encode(space: spaces.Space[Any], numbers: list[int]) -> Any:
    """Make a batch of observations, each full of its number (in binary for MultiBinary)."""
    if isinstance(space, spaces.Dict):
        return {key: encode(part, numbers) for key, part in space.spaces.items()}
    if isinstance(space, spaces.MultiBinary):
        return np.array([[number >> bit & 1 for bit in range(8)] for number in numbers], dtype=space.dtype)
    shape = space.shape or ()
    return np.array([np.full(shape, number) for number in numbers]).astype(space.dtype)


def decode(space: spaces.Space[Any], batch: Any) -> list[int]:
    """Read the numbers back, from tensors or arrays, and check that each observation is full of one."""
    if isinstance(space, spaces.Dict):
        read = [decode(part, batch[key]) for key, part in space.spaces.items()]
        assert all(one == read[0] for one in read)
        return read[0]
    rows = np.asarray(batch).reshape(len(batch), -1)
    if isinstance(space, spaces.MultiBinary):
        return [int(sum(int(bit) << place for place, bit in enumerate(row))) for row in rows]
    assert (rows == rows[:, :1]).all()
    return [int(row[0]) for row in rows]


def add_step(buffer: SB3ReplayBuffer, space: spaces.Space[Any], step: int, n_envs: int) -> list[tuple[int, bool]]:
    """Add one step of every env; return each transition's number and whether it terminated."""
    numbers = [step * n_envs + env for env in range(n_envs)]
    # a cycle of: goes on, terminates, is cut by the time limit, both at once
    done = np.array([number % 4 != 0 for number in numbers])
    truncated_only = [number % 4 == 2 for number in numbers]
    buffer.add(
        encode(space, numbers),
        encode(space, [number + 1 for number in numbers]),
        np.array([[number, number] for number in numbers], dtype=np.float32),
        np.array(numbers, dtype=np.float32),
        done,
        [{"TimeLimit.truncated": cut} for cut in truncated_only],
    )
    return [(number, bool(done[i]) and not truncated_only[i]) for i, number in enumerate(numbers)]


def check(space: spaces.Space[Any], batch: tuple[Any, ...], expected: set[tuple[int, bool]]) -> list[int]:
    """Check that (s, a, r, t, s2) holds whole transitions out of the expected ones; return their numbers."""
    s, a, r, t, s2 = batch
    numbers = decode(space, s)
    assert decode(space, s2) == [number + 1 for number in numbers]
    assert [[int(x) for x in row] for row in a] == [[number, number] for number in numbers]
    assert [int(x) for x in np.ravel(r)] == numbers
    assert {(n, bool(x)) for n, x in zip(numbers, np.ravel(t), strict=True)} <= expected
    return numbers


@pytest.mark.parametrize("kind", OBSERVATION_SPACES)
@settings(max_examples=15, deadline=None)
@given(
    capacity=st.integers(1, 12),
    n_envs=st.integers(1, 3),
    operations=st.lists(st.one_of(st.just("clear"), st.integers(1, 8)), min_size=1, max_size=6),
)
def test_it_holds_what_a_list_would(kind: str, capacity: int, n_envs: int, operations: list[Any]) -> None:
    space = OBSERVATION_SPACES[kind]
    buffer = ReplayBuffer(capacity, space, ACTIONS, device="cpu", n_envs=n_envs)
    model = deque[list[tuple[int, bool]]](maxlen=max(capacity // n_envs, 1))
    step = 0
    for operation in operations:
        if operation == "clear":
            buffer.clear()
            model.clear()
        else:
            for _ in range(operation):
                model.append(add_step(buffer, space, step, n_envs))
                step += 1
        transitions = {transition for row in model for transition in row}
        assert buffer.size() == len(model)
        if not model:
            continue
        sampled = buffer.sample(16)
        s2, t = sampled.next_observations, sampled.dones
        check(space, (sampled.observations, sampled.actions, sampled.rewards, t, s2), transitions)
        without_replacement = check(space, buffer.sample_batch(len(transitions)), transitions)
        assert sorted(without_replacement) == sorted(number for number, _ in transitions)
        assert len(buffer.sample_batch(3)[2]) == min(3, len(transitions))


def fill(buffer: SB3ReplayBuffer, space: spaces.Space[Any], steps: int = 20) -> SB3ReplayBuffer:
    for step in range(steps):
        add_step(buffer, space, step, buffer.n_envs)
    return buffer


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("kind", OBSERVATION_SPACES)
def test_the_same_seed_draws_what_sb3_draws(kind: str, n_envs: int) -> None:
    space = OBSERVATION_SPACES[kind]
    theirs = DictReplayBuffer if isinstance(space, spaces.Dict) else SB3ReplayBuffer
    batches = []
    for buffer_class in (ReplayBuffer, theirs):
        buffer = fill(buffer_class(30, space, ACTIONS, device="cpu", n_envs=n_envs), space)  # type: ignore[arg-type]
        np.random.seed(7)
        batches.append(buffer.sample(32))
    ours, expected = batches
    assert type(ours) is type(expected)
    for name, one in ours._asdict().items():
        other = getattr(expected, name)
        pairs = [(one[key], other[key]) for key in one] if isinstance(one, dict) else [(one, other)]
        for a, b in pairs:
            if a is None:
                assert b is None
            else:
                assert a.dtype == b.dtype
                assert a.shape == b.shape
                assert th.equal(a, b)


@pytest.mark.parametrize("name", ["observations", "next_observations", "actions", "rewards", "dones", "timeouts"])
def test_sb3s_attributes_are_views_on_the_records(name: str) -> None:
    space = OBSERVATION_SPACES["float64"]
    ours = fill(ReplayBuffer(30, space, ACTIONS, n_envs=3), space, steps=7)
    theirs = fill(SB3ReplayBuffer(30, space, ACTIONS, n_envs=3), space, steps=7)
    assert isinstance(ours, ReplayBuffer)
    np.testing.assert_array_equal(getattr(ours, name), getattr(theirs, name))
    assert np.shares_memory(getattr(ours, name), ours.records.rows)


def test_time_limits_count_as_ends_when_asked() -> None:
    space = OBSERVATION_SPACES["float32"]
    buffer = fill(ReplayBuffer(30, space, ACTIONS, handle_timeout_termination=False), space)
    assert isinstance(buffer, ReplayBuffer)
    numbers = decode(space, (batch := buffer.sample_batch(100))[0])
    assert [bool(t) for t in batch[3]] == [number % 4 != 0 for number in numbers]


def test_vec_normalize_scales_at_sampling() -> None:
    import gymnasium as gym

    env = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]))
    buffer = ReplayBuffer(8, env.observation_space, env.action_space)
    raw = np.array([[0.5, -0.5, 4.0]], dtype=np.float32)
    statistics: Any = env.obs_rms
    statistics.mean, statistics.var = np.array([0.5, 0.5, 0.0]), np.array([1.0, 1.0, 4.0])
    buffer.add(raw, raw, np.zeros((1, 1)), np.array([3.0]), np.array([False]), [{}])
    np.testing.assert_allclose(np.asarray(buffer.sample(1, env=env).observations), [[0.0, -1.0, 2.0]], atol=1e-6)
    np.testing.assert_array_equal(np.asarray(buffer.sample(1).observations), raw)
    env.close()


@pytest.mark.parametrize("copier", [lambda buffer: pickle.loads(pickle.dumps(buffer)), copy.deepcopy])
@pytest.mark.parametrize("steps", [0, 4, 20])
@pytest.mark.parametrize("kind", ["float32", "dict"])
def test_a_pickle_holds_what_is_filled_and_its_views_still_view(kind: str, steps: int, copier: Any) -> None:
    space = OBSERVATION_SPACES[kind]
    buffer = fill(ReplayBuffer(30, space, ACTIONS, n_envs=2), space, steps)
    copied = copier(buffer)
    assert (copied.pos, copied.full) == (buffer.pos, buffer.full)
    assert np.shares_memory(copied.rewards, copied.records.rows)
    if steps:
        np.random.seed(0)
        one = buffer.sample_batch(60)  # type: ignore[attr-defined]
        np.random.seed(0)
        assert decode(space, copied.sample_batch(60)[0]) == decode(space, one[0])
    add_step(copied, space, 99, 2)
    assert copied.rewards[buffer.pos].tolist() == [198.0, 199.0]


def test_a_pickle_costs_what_is_filled_and_not_the_capacity() -> None:
    space = OBSERVATION_SPACES["float32"]
    small = len(pickle.dumps(fill(ReplayBuffer(100, space, ACTIONS), space, 10)))
    large = len(pickle.dumps(fill(ReplayBuffer(1_000_000, space, ACTIONS), space, 10)))
    assert large < small + 100


def test_an_empty_buffer_says_so() -> None:
    buffer = ReplayBuffer(10, OBSERVATION_SPACES["float32"], ACTIONS)
    with pytest.raises(ValueError, match="empty"):
        buffer.sample(1)
    with pytest.raises(ValueError, match="empty"):
        buffer.sample_batch(1)
    with pytest.raises(ValueError, match="at least 1, got 0"):
        buffer.sample_batch(0)


def test_a_row_is_aligned_and_wastes_at_most_its_end() -> None:
    layout = record_dtype({"flag": Field(np.bool_, ()), "x": Field(np.float64, (2,)), "y": Field(np.float32, (3,))})
    assert layout.names == ("x", "y", "flag")
    assert layout.itemsize == 32  # 16 + 12 + 1, rounded up to a multiple of 8


def test_gathered_rows_are_copies_in_the_order_asked_for() -> None:
    records = Records(4, {"n": Field(np.int64, ())})
    records["n"][:] = [10, 11, 12, 13]
    rows = records.gather(np.array([3, 0, 3]))
    assert rows["n"].tolist() == [13, 10, 13]
    rows["n"][:] = 0
    assert records["n"].tolist() == [10, 11, 12, 13]


def test_a_row_takes_no_more_than_sb3s_arrays() -> None:
    # HalfCheetah: 17 float64 observations, 6 float32 actions; SB3 keeps three more float32 per transition
    buffer = ReplayBuffer(10, spaces.Box(-1, 1, (17,), np.float64), spaces.Box(-1, 1, (6,), np.float32))
    assert buffer.records.row_bytes <= 2 * 17 * 8 + 6 * 4 + 3 * 4


BOX = spaces.Box(-1, 1, (2,), np.float64)


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("at_once", [1, 2, 100])
@pytest.mark.parametrize(
    "options", [{}, {"n_steps": 3}, {"optimize_memory_usage": True}, {"priority_exponent": 0.6}], ids=str
)
def test_batches_are_those_that_as_many_samples_would_be(
    options: dict[str, Any], at_once: int, n_envs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer: Any = fill(ReplayBuffer(30, BOX, ACTIONS, device="cpu", n_envs=n_envs, **options), BOX)
    monkeypatch.setattr("sb3_ddpg_custom.replay.sampling._BYTES_AT_ONCE", at_once * 8 * buffer.records.row_bytes)
    np.random.seed(3)
    expected = [buffer.sample(8) for _ in range(5)]
    np.random.seed(3)
    # copied, because the next one may take its place
    ours = [copy.deepcopy(batch) for batch in buffer.batches(5, 8)]
    assert len(ours) == 5
    for one, other in zip(ours, expected, strict=True):
        assert type(one) is type(other)
        for a, b in zip(one, other, strict=True):
            assert a is b is None or np.array_equal(a, b)


def test_batches_leave_the_random_stream_where_samples_leave_it() -> None:
    buffer = fill(ReplayBuffer(30, BOX, ACTIONS, device="cpu", n_envs=2), BOX)
    after = []
    for draw in (lambda: [buffer.sample(8) for _ in range(5)], lambda: list(buffer.batches(5, 8))):  # type: ignore[attr-defined]
        np.random.seed(3)
        draw()
        after.append(np.random.randint(1 << 30))
    assert after[0] == after[1]


def test_batches_of_somebody_elses_sample_are_theirs() -> None:
    class Newest(ReplayBuffer):
        def sample(self, batch_size: int, env: VecNormalize | None = None) -> Any:
            newest = (self.pos - 1) % self.buffer_size
            return self._get_samples(np.full(batch_size, newest), env)

    buffer: Any = fill(Newest(30, BOX, ACTIONS, device="cpu"), BOX)
    (batch,) = buffer.batches(1, 4)
    assert batch.rewards.flatten().tolist() == [buffer.rewards[19, 0]] * 4


def test_batches_of_an_empty_buffer_say_so() -> None:
    with pytest.raises(ValueError, match="the replay buffer is empty"):
        next(ReplayBuffer(5, BOX, ACTIONS, device="cpu").batches(1, 4))


def test_batches_follow_what_is_loaded_in_the_records_place() -> None:
    buffer: Any = fill(ReplayBuffer(30, BOX, ACTIONS, device="cpu"), BOX)
    list(buffer.batches(1, 8))
    copied = copy.deepcopy(buffer)
    copied.rewards[:] = 77
    (batch,) = copied.batches(1, 8)
    assert set(batch.rewards.flatten().tolist()) == {77.0}
    (batch,) = buffer.batches(1, 8)
    assert 77.0 not in batch.rewards
