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
from hypothesis import given, settings
from hypothesis import strategies as st

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
}


class Pair:
    """A buffer with a copy on a device, one without, and steps for both in which every number tells the transition."""

    def __init__(self, kind: str = "float32", capacity: int = 12, n_envs: int = 1) -> None:
        self.space = OBSERVATIONS[kind]
        self.mirrored = ReplayBuffer(capacity, self.space, ACTIONS, CPU, n_envs)
        self.plain = ReplayBuffer(capacity, self.space, ACTIONS, CPU, n_envs)
        self.mirrored._mirror = DeviceRecords(self.mirrored.records, CPU)
        self.n_envs, self.number = n_envs, 0

    def add(self, steps: int) -> None:
        for _ in range(steps):
            numbers = np.arange(self.number, self.number + self.n_envs)
            self.number += self.n_envs
            full = [np.full(self.space.shape or (), number % 120) for number in (*numbers, *(numbers + 1))]
            observations = np.array(full).astype(self.space.dtype)
            infos = [{"TimeLimit.truncated": bool(number % 4 == 2)} for number in numbers]
            for buffer in (self.mirrored, self.plain):
                buffer.add(
                    observations[: self.n_envs],
                    observations[self.n_envs :],
                    np.stack([numbers, -numbers], 1).astype(np.float32) / 1000,
                    numbers.astype(np.float32),
                    numbers % 2 == 0,
                    infos,
                )

    def assert_same(self, count: int = 3, batch_size: int = 40) -> None:
        assert_same_batches(self.mirrored, self.plain, count, batch_size)


def assert_same_batches(one: ReplayBuffer, other: ReplayBuffer, count: int = 3, batch_size: int = 40) -> None:
    np.random.seed(1)
    expected = [other.sample(batch_size) for _ in range(count)]
    np.random.seed(1)
    for batch, wanted in zip(one.batches(count, batch_size), expected, strict=True):
        for name, tensor in wanted._asdict().items():
            mine = getattr(batch, name)
            if tensor is None:
                assert mine is None
            else:
                assert mine.dtype == tensor.dtype
                assert mine.shape == tensor.shape
                assert th.equal(mine, tensor), name
    assert one._mirror is not None


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
    copied._mirror = DeviceRecords(copied.records, CPU)
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

    def fail(*arguments: Any) -> None:
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
    pair = Pair(capacity=12)
    buffer = pair.plain
    free = free_rows * buffer.records.row_bytes
    monkeypatch.setattr(th.cuda, "mem_get_info", lambda device: (free, free))
    monkeypatch.setattr(
        "sb3_ddpg_custom.replay.storage.DeviceRecords", lambda records, device: DeviceRecords(records, CPU)
    )
    buffer.device = th.device("cuda")
    pair.add(3)
    assert (buffer._mirrored() is not None) == kept
    buffer._mirror, buffer.storage = None, "memory"
    assert buffer._mirrored() is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"storage": "gpu"}, "storage='gpu' does not exist: choose 'auto', 'memory' or 'cuda'"),
        ({"storage": "cuda"}, "needs a CUDA device, but the device is cpu"),
        ({"storage": "cuda", "device": "cuda", "n_steps": 3}, "plain transitions only"),
        ({"storage": "cuda", "device": "cuda", "optimize_memory_usage": True}, "plain transitions only"),
        ({"storage": "cuda", "device": "cuda", "priority_exponent": 0.6}, "plain transitions only"),
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


@pytest.mark.parametrize("schedule", [{}, {"train_freq": 3, "gradient_steps": 2}])
def test_training_from_a_mirror_is_the_same(schedule: dict[str, Any]) -> None:
    options: dict[str, Any] = {"learning_starts": 20, "batch_size": 16, "buffer_size": 60, "seed": 0, **schedule}
    weights = []
    for mirrored in (True, False):
        model = DDPG("MlpPolicy", "Pendulum-v1", **options, device="cpu", policy_kwargs={"net_arch": [16]})
        buffer: Any = model.replay_buffer
        if mirrored:
            buffer._mirror = DeviceRecords(buffer.records, CPU)
        weights.append(model.learn(150).policy.state_dict())
    one, other = weights
    assert all(th.equal(one[name], other[name]) for name in one)


@pytest.mark.skipif(not th.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("kind", OBSERVATIONS)
def test_batches_on_cuda_are_those_of_the_cpu(kind: str) -> None:
    pair = Pair(kind, capacity=50)
    pair.mirrored._mirror = DeviceRecords(pair.mirrored.records, th.device("cuda"))
    for steps in (20, 1, 45):
        pair.add(steps)
        np.random.seed(1)
        expected = [pair.plain.sample(40) for _ in range(3)]
        np.random.seed(1)
        for batch, wanted in zip(pair.mirrored.batches(3, 40), expected, strict=True):
            for mine, tensor in zip(batch[:5], wanted[:5], strict=True):
                assert mine.device.type == "cuda"
                assert th.equal(mine.cpu(), tensor)
