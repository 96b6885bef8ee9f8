"""The copy of the records on a device, with the CPU in the GPU's place: the batches are those of the records."""

import copy
import logging
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers.reads import Reads
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_ddpg_custom import DDPG, ReplayBuffer
from sb3_ddpg_custom.replay.device_records import DeviceRecords
from sb3_ddpg_custom.replay.files import load_replay_buffer, save_replay_buffer
from sb3_ddpg_custom.replay.records import Field, Records

CPU = th.device("cpu")
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)
OBSERVATIONS: dict[str, spaces.Space[Any]] = {
    "float32": spaces.Box(-1000, 1000, (3,), np.float32),
    "float64": spaces.Box(-1000, 1000, (2, 2), np.float64),
    "int16": spaces.Box(-1000, 1000, (3,), np.int16),
    "image": spaces.Box(0, 255, (1, 3, 5), np.uint8),
    "multi-binary": spaces.MultiBinary(5),
    "discrete": spaces.Discrete(120),
    "dict": spaces.Dict({"image": spaces.Box(0, 255, (1, 2, 3), np.uint8), "vector": spaces.Box(-999, 999, (2,))}),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "one step": {},
    "three steps": {"n_steps": 3, "gamma": 0.9},
    "by priority": {"priority_exponent": 0.6},
    "four steps by priority": {"n_steps": 4, "gamma": 0.5, "priority_exponent": 1.0},
    "time limits as ends": {"n_steps": 3, "handle_timeout_termination": False},
}


class Pair:
    """A buffer with a copy on a device, one without, and steps for both in which every number tells the transition."""

    def __init__(self, kind: str = "float32", capacity: int = 12, n_envs: int = 1, **options: Any) -> None:
        self.space: Any = OBSERVATIONS[kind]
        self.mirrored = ReplayBuffer(capacity, self.space, ACTIONS, CPU, n_envs, **options)
        self.plain = ReplayBuffer(capacity, self.space, ACTIONS, CPU, n_envs, **options)
        self.mirrored._mirror = mirror_of(self.mirrored)
        self.n_envs, self.number, self.now = n_envs, 0, 0

    def observed(self, now: int) -> Any:
        """What all envs show at a moment, a dict for a Dict space."""

        def full(space: Any) -> Any:
            values = [(now + 37 * env) % 120 for env in range(self.n_envs)]
            return np.array([np.full(space.shape or (), value) for value in values]).astype(space.dtype)

        return {key: full(one) for key, one in self.space.items()} if is_dict(self.space) else full(self.space)

    def add(self, steps: int) -> None:
        for _ in range(steps):
            numbers = np.arange(self.number, self.number + self.n_envs)
            self.number += self.n_envs
            infos = [{"TimeLimit.truncated": bool(number % 4 == 2 or number % 7 == 3)} for number in numbers]
            for buffer in (self.mirrored, self.plain):
                buffer.add(
                    self.observed(self.now),
                    self.observed(self.now + 1),
                    np.stack([numbers, -numbers], 1).astype(np.float32) / 1000,
                    1 + numbers.astype(np.float32),
                    numbers % 2 == 0,
                    infos,
                )
            self.now += 1

    def assert_same(self, count: int = 3, batch_size: int = 40) -> None:
        assert_same_batches(self.mirrored, self.plain, count, batch_size)


def is_dict(space: Any) -> bool:
    return isinstance(space, spaces.Dict)


def mirror_of(buffer: ReplayBuffer, device: th.device = CPU) -> DeviceRecords:
    return DeviceRecords(buffer.records, device, buffer.n_envs, buffer.n_steps)


def assert_same_batches(one: ReplayBuffer, other: ReplayBuffer, count: int = 3, batch_size: int = 40) -> None:
    np.random.seed(1)
    expected = [other.sample(batch_size) for _ in range(count)]
    np.random.seed(1)
    for batch, wanted in zip(one.batches(count, batch_size), expected, strict=True):
        assert type(batch) is type(wanted)
        for name, tensor in wanted._asdict().items():
            assert_same_numbers(getattr(batch, name), tensor, name)
    assert one._mirror is not None


def assert_same_numbers(mine: Any, wanted: Any, name: str) -> None:
    if isinstance(wanted, dict):
        assert mine.keys() == wanted.keys()
        for key, tensor in wanted.items():
            assert_same_numbers(mine[key], tensor, f"{name} {key}")
    elif isinstance(wanted, th.Tensor):
        assert mine.dtype == wanted.dtype
        assert mine.shape == wanted.shape
        assert th.equal(mine.cpu(), wanted), name
    else:
        np.testing.assert_array_equal(mine, wanted)


@pytest.mark.parametrize("kind", OBSERVATIONS)
@settings(max_examples=15, deadline=None)
@given(capacity=st.integers(1, 12), n_envs=st.integers(1, 3), steps=st.lists(st.integers(0, 30), max_size=4))
def test_batches_are_those_of_sample_wherever_the_ring_is(
    kind: str, capacity: int, n_envs: int, steps: list[int]
) -> None:
    pair = Pair(kind, capacity, n_envs)
    for count in [1, *steps]:
        pair.add(count)
        pair.assert_same()


@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", ["float32", "dict"])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_batches_are_those_of_sample_with_every_option(kind: str, n_envs: int, options: dict[str, Any]) -> None:
    pair = Pair(kind, 20, n_envs, **options)
    for steps in (1, 4, 1, 13, 30, 1):
        pair.add(steps)
        pair.assert_same()
        if pair.plain.priorities is not None:
            drawn = pair.plain.sample(5)
            for buffer in (pair.mirrored, pair.plain):
                buffer.update_priorities(drawn.indices, th.arange(5.0))  # type: ignore[union-attr]


@pytest.mark.parametrize("n_steps", [7, 8, 11])
def test_many_steps_are_summed_as_sample_does_up_to_rounding(n_steps: int) -> None:
    pair = Pair(capacity=40, n_steps=n_steps, gamma=0.97)
    pair.add(37)
    np.random.seed(1)
    wanted = pair.plain.sample(40)
    np.random.seed(1)
    (batch,) = pair.mirrored.batches(1, 40)
    th.testing.assert_close(batch.rewards, wanted.rewards, rtol=0 if n_steps < 8 else 1e-6, atol=0)
    assert_same_numbers(batch.discounts, wanted.discounts, "discounts")


def test_other_steps_are_summed_from_then_on() -> None:
    pair = Pair(n_steps=3)
    pair.add(9)
    pair.assert_same()
    for n_steps in (4, 1, 2):
        pair.mirrored.n_steps = pair.plain.n_steps = n_steps
        pair.assert_same()


def test_a_subclass_that_ends_sequences_otherwise_is_asked() -> None:
    class Ending(ReplayBuffer):
        def _ends(self, indices: Any) -> Any:
            return np.ones(indices.shape, np.bool_)

    class Staying(ReplayBuffer):
        def _next_rows(self, indices: Any, steps: Any) -> Any:
            return super()._next_rows(indices, 0 * steps)

    for kind in (Ending, Staying):
        buffers = [kind(12, OBSERVATIONS["float32"], ACTIONS, CPU, n_steps=3) for _ in range(2)]
        buffers[0]._mirror = mirror_of(buffers[0])
        pair = Pair(n_steps=3)
        pair.mirrored, pair.plain = buffers
        pair.add(9)
        pair.assert_same()
        assert pair.plain.draws(1, 5) is None


def test_a_row_that_was_sent_and_then_cut_is_sent_again() -> None:
    pair = Pair(n_steps=3)
    pair.add(2)
    pair.assert_same()
    pair.now += 5  # a reset that no flag tells of: the newest transition ended its episode after all
    pair.add(2)
    assert pair.plain.timeouts[:4, 0].tolist() == [False, True, True, True]
    pair.assert_same()


def test_sums_of_several_steps_are_those_worked_out_by_hand() -> None:
    buffer = ReplayBuffer(8, OBSERVATIONS["float32"], ACTIONS, CPU, n_steps=3, gamma=0.5)
    ends = {2: False, 5: True}  # after three steps the episode ended, after six the time was up
    for step in range(7):
        now, later = np.full((1, 3), step, np.float32), np.full((1, 3), step + 1, np.float32)
        infos = [{"TimeLimit.truncated": ends.get(step, False)}]
        buffer.add(now, later, np.zeros((1, 2)), np.array([4.0 + step]), np.array([step in ends]), infos)
    buffer._mirror = mirror_of(buffer)
    buffer._mirrored()
    batch: Any = buffer._mirror.gather(np.array([0, 1, 2, 3, 5, 6]), 6, newest=6, gamma=0.5)[0]
    assert batch.rewards.flatten().tolist() == [4 + 5 / 2 + 6 / 4, 5 + 6 / 2, 6, 7 + 8 / 2 + 9 / 4, 9, 10]
    assert batch.discounts.flatten().tolist() == [0.125, 0.25, 0.5, 0.125, 0.5, 0.5]
    assert batch.dones.flatten().tolist() == [1, 1, 1, 0, 0, 0]
    assert batch.next_observations[:, 0].tolist() == [3, 3, 3, 6, 6, 7]


@pytest.mark.parametrize("kind", ["float32", "dict"])
@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_gather_reads_nothing_back_from_the_device(n_steps: int, kind: str) -> None:
    pair = Pair(kind, n_steps=n_steps)
    pair.add(9)
    with Reads() as reads:
        for _ in range(2):
            list(pair.mirrored.batches(3, 5))
    assert reads.found == []


def test_only_what_is_new_is_sent() -> None:
    pair = Pair(capacity=10)
    sent: list[tuple[int, int]] = []
    mirror: Any = pair.mirrored._mirror
    copy_rows = mirror._copy

    def spy(first: int, end: int) -> None:
        sent.append((first, end))
        copy_rows(first, end)

    mirror._copy = spy
    for steps, expected in [
        (4, [(0, 4)]),
        (1, [(4, 5)]),
        (8, [(5, 10), (0, 3)]),
        (0, [(3, 3)]),
        (30, [(3, 10), (0, 3)]),
    ]:
        sent.clear()
        pair.add(steps)
        pair.assert_same()
        assert sent == expected


def test_after_a_reset_or_another_content_all_rows_are_sent_again() -> None:
    pair, other = Pair(), Pair()
    pair.add(7)
    pair.assert_same()
    for buffer in (pair.mirrored, pair.plain):
        buffer.reset()
    pair.add(2)
    pair.assert_same()
    other.number = 500
    other.add(9)
    for buffer in (pair.mirrored, pair.plain):
        buffer.restore(other.plain.stored())
    pair.assert_same()


def from_file(buffer: ReplayBuffer, folder: Path) -> ReplayBuffer:
    save_replay_buffer(buffer, folder / "buffer")
    return load_replay_buffer(folder / "buffer", buffer)


@pytest.mark.parametrize(
    "copier",
    [
        lambda buffer, folder: pickle.loads(pickle.dumps(buffer)),
        lambda buffer, folder: copy.deepcopy(buffer),
        from_file,
    ],
)
def test_copies_begin_without_a_mirror_and_take_over_the_rest(copier: Callable[..., Any], tmp_path: Path) -> None:
    pair = Pair()
    pair.add(8)
    pair.assert_same()
    copied = copier(pair.mirrored, tmp_path)
    assert copied._mirror is None
    assert copied.storage == "auto"
    copied._mirror = mirror_of(copied)
    assert_same_batches(copied, pair.plain)


def test_time_limits_are_no_ends_and_values_arrive_in_their_columns() -> None:
    fields = {
        "observations": Field(np.float64, (2,)),
        "next_observations": Field(np.float64, (2,)),
        "actions": Field(np.float32, (1,)),
        "rewards": Field(np.float32, ()),
        "dones": Field(np.bool_, ()),
        "timeouts": Field(np.bool_, ()),
    }
    records = Records(3, fields)
    records["observations"][:] = [[1, 2], [3, 4], [5, 6]]
    records["next_observations"][:] = [[3, 4], [5, 6], [7, 8]]
    records["actions"][:] = [[0.5], [0.25], [-1]]
    records["rewards"][:] = [10, 20, 30]
    records["dones"][:] = [False, True, True]
    records["timeouts"][:] = [False, False, True]
    there = DeviceRecords(records, CPU)
    there.upload(end=0, count=3)
    first, second = there.gather(np.array([2, 1, 0, 0]), batch_size=2)
    assert isinstance(first, ReplayBufferSamples)
    assert first.observations.tolist() == [[5.0, 6.0], [3.0, 4.0]]
    assert first.next_observations.tolist() == [[7.0, 8.0], [5.0, 6.0]]
    assert first.actions.tolist() == [[-1.0], [0.25]]
    assert first.rewards.tolist() == [[30.0], [20.0]]
    assert first.dones.tolist() == [[0.0], [1.0]]
    assert second.rewards.tolist() == [[10.0], [10.0]]
    records["rewards"][2] = -1.0  # not uploaded
    assert there.gather(np.array([2]), batch_size=1)[0].rewards.tolist() == [[30.0]]


def test_where_the_device_fails_batches_come_out_of_memory_after_one_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = Pair()
    pair.add(5)

    def fail(*arguments: Any, **options: Any) -> None:
        raise th.OutOfMemoryError("CUDA out of memory. Tried to allocate\nmore")

    monkeypatch.setattr(pair.mirrored._mirror, "gather", fail)
    np.random.seed(0)
    expected = [pair.plain.sample(6) for _ in range(4)]
    np.random.seed(0)
    batches = [batch.rewards.clone() for _ in range(2) for batch in pair.mirrored.batches(2, 6)]
    assert all(th.equal(rewards, one.rewards) for rewards, one in zip(batches, expected, strict=True))
    (line,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert line == (
        "batches come out of memory: keeping the records on the device failed (CUDA out of memory. Tried to allocate)"
    )
    assert pair.mirrored._mirrored() is None


@pytest.mark.parametrize(("free_rows", "kept"), [(24, True), (23, False)])
def test_auto_takes_at_most_half_of_what_is_free(free_rows: int, kept: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = Pair(capacity=12, n_envs=2, n_steps=3)
    buffer = pair.plain
    free = free_rows * buffer.records.row_bytes
    monkeypatch.setattr(th.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(
        "sb3_ddpg_custom.replay.storage.DeviceRecords",
        lambda records, device, *more: DeviceRecords(records, CPU, *more),
    )
    buffer.device = th.device("cuda")
    pair.add(3)
    mirror = buffer._mirrored()
    assert (mirror is not None) == kept
    if mirror is not None:
        numbers = np.arange(6)
        gathered = pair.mirrored._mirrored().gather(numbers, 6, newest=2, gamma=0.9)  # type: ignore[union-attr]
        for mine, wanted in zip(mirror.gather(numbers, 6, newest=2, gamma=0.9)[0], gathered[0], strict=True):
            assert_same_numbers(mine, wanted, "batch")
    buffer._mirror, buffer.storage = None, "memory"
    assert buffer._mirrored() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"storage": "gpu"}, "storage='gpu' does not exist: choose 'auto', 'memory' or 'cuda'"),
        ({"storage": "cuda"}, "needs a CUDA device, but the device is cpu"),
        ({"storage": "cuda", "device": "cuda", "optimize_memory_usage": True}, "whole transitions only"),
        ({"storage": "cuda", "device": "cuda"}, "needs 0.0 GB for a full replay buffer, but 0.0 GB of the device are"),
    ],
)
def test_a_storage_that_cannot_be_had_is_refused(
    options: dict[str, Any], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(th.cuda, "mem_get_info", lambda device: (100, 100))
    monkeypatch.setattr("stable_baselines3.common.buffers.get_device", th.device)
    with pytest.raises(ValueError, match=message):
        ReplayBuffer(10, OBSERVATIONS["float32"], ACTIONS, **{"device": "cpu", **options})


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"train_freq": 3, "gradient_steps": 2},
        {"n_steps": 3},
        {"replay_buffer_kwargs": {"priority_exponent": 0.6}, "gradient_steps": 2},
        {"n_steps": 2, "replay_buffer_kwargs": {"priority_exponent": 0.6}},
    ],
)
def test_training_from_a_mirror_is_the_same(options: dict[str, Any]) -> None:
    options = {"learning_starts": 20, "batch_size": 16, "buffer_size": 60, "seed": 0, "update": "analytic", **options}
    weights = []
    for mirrored in (True, False):
        model = DDPG("MlpPolicy", "Pendulum-v1", **options, device="cpu", policy_kwargs={"net_arch": [16]})
        buffer: Any = model.replay_buffer
        if mirrored:
            buffer._mirror = mirror_of(buffer)
        weights.append(model.learn(150).policy.state_dict())
        assert not mirrored or buffer._mirror._sizes[1] == 16  # batches did come from there
    one, other = weights
    assert all(th.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize("options", [{}, {"n_steps": 3}, {"replay_buffer_kwargs": {"priority_exponent": 0.6}}])
def test_policies_that_autograd_trains_get_their_batches_from_a_mirror_too(options: dict[str, Any]) -> None:
    weights = []
    for mirrored in (True, False):
        small: dict[str, Any] = {"learning_starts": 20, "batch_size": 16, "buffer_size": 60, "seed": 0}
        env = BitFlippingEnv(n_bits=3, continuous=True)
        model = DDPG("MultiInputPolicy", env, **small, **options, device="cpu", policy_kwargs={"net_arch": [16]})
        buffer: Any = model.replay_buffer
        if mirrored:
            buffer._mirror = mirror_of(buffer)
        weights.append(model.learn(80).policy.state_dict())
        assert not mirrored or buffer._mirror._sizes[1] == 16
    one, other = weights
    assert all(th.equal(one[name], other[name]) for name in one)


@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_batches_on_cuda_are_those_of_the_cpu(kind: str, options: dict[str, Any]) -> None:
    pair = Pair(kind, 50, **options)
    pair.mirrored._mirror = mirror_of(pair.mirrored, th.device("cuda"))
    for steps in (20, 1, 45):
        pair.add(steps)
        pair.assert_same()
