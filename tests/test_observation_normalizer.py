"""Running statistics of observations: VecNormalize's, to the last bit, wherever they are computed."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.running_mean_std import RunningMeanStd
from torch import nn

from sb3_ddpg_custom.observation_normalizer import ObservationNormalizer, RunningNormalizer, normalizer_of


def filled(shape: tuple[int, ...] = (2,), seed: int = 0) -> RunningNormalizer:
    normalizer, numbers = RunningNormalizer(shape), np.random.default_rng(seed)
    for _ in range(20):
        normalizer.update(numbers.normal(5, 3, (3, *shape)))
    return normalizer


def test_statistics_by_hand() -> None:
    normalizer = RunningNormalizer((1,))
    normalizer.count.zero_()  # without the little that RunningMeanStd begins with
    normalizer.update(np.array([[1.0]]))
    assert (normalizer.mean.item(), normalizer.var.item(), normalizer.count.item()) == (1, 0, 1)
    normalizer.update(np.array([[3.0], [5.0]]))
    # of 1, 3, 5: mean 3, variance (4 + 0 + 4) / 3
    assert (normalizer.mean.item(), normalizer.count.item()) == (3, 3)
    assert normalizer.var.item() == pytest.approx(8 / 3)


def test_normalisation_by_hand() -> None:
    normalizer = RunningNormalizer((2,), clip=2.0, epsilon=0.0)
    normalizer.mean.copy_(th.tensor([1.0, -1.0]))
    normalizer.var.copy_(th.tensor([4.0, 0.25]))
    rows = np.array([[1.0, -1.0], [3.0, -1.5], [100.0, -np.inf], [np.nan, 0.0]])
    expected = [[0, 0], [1, -1], [2, -2], [np.nan, 2]]
    np.testing.assert_array_equal(normalizer(th.from_numpy(rows)).numpy(), expected)
    np.testing.assert_array_equal(normalizer.normalize(rows), expected)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8, np.int64])
@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("shape", [(), (1,), (4,), (2, 3)])
def test_statistics_are_sb3s(dtype: type[Any], n_envs: int, shape: tuple[int, ...]) -> None:
    ours, theirs, numbers = RunningNormalizer(shape), RunningMeanStd(shape=shape), np.random.default_rng(1)
    for _ in range(50):
        observations = (100 * numbers.random((n_envs, *shape))).astype(dtype)
        ours.update(observations)
        theirs.update(observations)
    np.testing.assert_array_equal(ours.mean.numpy(), theirs.mean)
    np.testing.assert_array_equal(ours.var.numpy(), theirs.var)
    assert ours.count.item() == theirs.count == pytest.approx(50 * n_envs + 1e-4)
    expected = np.clip((observations - theirs.mean) / np.sqrt(theirs.var + 1e-8), -10, 10).astype(np.float32)
    np.testing.assert_array_equal(ours(th.from_numpy(observations)).numpy(), expected)
    np.testing.assert_array_equal(ours.normalize(observations.reshape(n_envs, -1)), expected.reshape(n_envs, -1))


def test_small_differences_of_large_numbers_remain() -> None:
    # In float32, 1e6 and 1e6 + 0.01 are the same number.
    normalizer = RunningNormalizer((1,))
    rows = 1e6 + 0.01 * np.arange(10.0)[:, None]
    normalizer.count.zero_()
    normalizer.update(rows)
    assert normalizer(th.from_numpy(rows)).std(correction=0).item() == pytest.approx(1, abs=1e-3)


def test_it_stays_float64_on_the_cpu_and_has_nothing_to_train() -> None:
    network = nn.Sequential(nn.Linear(2, 2), filled())
    network.half().to("meta")
    assert network[0].weight.device.type == "meta"
    statistics = network[1].state_dict()
    assert list(statistics) == ["mean", "var", "count"]
    assert all(value.dtype == th.float64 and value.device.type == "cpu" for value in statistics.values())
    assert list(network[1].parameters()) == []


@pytest.mark.parametrize("way", [copy.deepcopy, lambda n: pickle.loads(pickle.dumps(n))])
def test_a_copy_goes_on_by_itself(way: Any) -> None:
    normalizer = filled()
    before = normalizer.mean.clone()
    other = way(normalizer)
    other.update(np.full((5, 2), 100.0))
    assert th.equal(normalizer.mean, before)
    assert not th.equal(other.mean, before)


def test_a_state_dict_brings_the_statistics() -> None:
    one, other = filled(seed=1), filled(seed=2)
    other.load_state_dict(one.state_dict())
    rows = th.tensor([[1.0, 2.0]])
    assert th.equal(one(rows), other(rows))
    np.testing.assert_array_equal(one.normalize(rows.numpy()), other.normalize(rows.numpy()))


def test_a_dict_is_normalised_part_by_part_and_images_and_choices_are_left_alone() -> None:
    space = spaces.Dict(
        {
            "speed": spaces.Box(-1, 1, (2,)),
            "camera": spaces.Box(0, 255, (1, 36, 36), np.uint8),
            "gear": spaces.Discrete(3),
            "lamps": spaces.MultiBinary(4),
        }
    )
    normalizer = ObservationNormalizer(space)
    assert list(normalizer.parts) == ["speed"]
    assert normalizer.alone is None
    camera, gear, lamps = th.zeros(3, 1, 36, 36), th.ones(3), th.ones(3, 4)
    speed = np.array([[0.0, 1.0], [2.0, 3.0], [4.0, 5.0]])
    normalizer.update({"speed": speed, "camera": camera.numpy(), "gear": gear.numpy(), "lamps": lamps.numpy()})
    seen = normalizer({"speed": th.from_numpy(speed), "camera": camera, "gear": gear, "lamps": lamps})
    assert seen["camera"] is camera
    assert seen["gear"] is gear
    assert seen["lamps"] is lamps
    th.testing.assert_close(
        seen["speed"], th.tensor([-1.5, 0, 1.5])[:, None].expand(3, 2) / 1.5**0.5, atol=1e-2, rtol=0
    )


@pytest.mark.parametrize("space", [spaces.Box(0, 255, (1, 36, 36), np.uint8), spaces.Discrete(3)])
def test_what_is_left_alone_passes_as_it_is(space: spaces.Space[Any]) -> None:
    normalizer = ObservationNormalizer(space)
    observations = th.ones(2)
    normalizer.update(observations.numpy())
    assert normalizer(observations) is observations
    assert len(normalizer.state_dict()) == 0


def test_pictures_of_floats_are_images_where_the_policy_says_so() -> None:
    space = spaces.Box(0, 1, (1, 36, 36), np.float32)
    assert ObservationNormalizer(space).alone is not None
    assert ObservationNormalizer(space, normalize_images=False).alone is None


def test_only_a_normalizer_is_found() -> None:
    network = nn.Module()
    assert normalizer_of(network) is None
    network.normalizer = nn.Identity()
    assert normalizer_of(network) is None
    network.normalizer = ObservationNormalizer(spaces.Box(-1, 1, (2,)))
    assert normalizer_of(network) is network.normalizer
