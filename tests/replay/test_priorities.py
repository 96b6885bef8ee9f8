"""Prioritised replay: the tree against a running sum, chances and weights against literals, and learning with it."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ddpg_custom import ReplayBuffer
from sb3_ddpg_custom.replay.priorities import Priorities, PrioritizedSamples
from sb3_ddpg_custom.replay.sum_tree import SumTree

BOX = spaces.Box(-1, 1, (1,), np.float32)


@settings(max_examples=60, deadline=None)
@given(
    weights=st.lists(st.sampled_from([0.0, 0.0, 1.0, 2.0, 0.25]), min_size=1, max_size=600).filter(any),
    positions=st.lists(st.floats(0, 1, exclude_max=True), min_size=1, max_size=20),
)
def test_the_tree_finds_what_a_running_sum_finds(weights: list[float], positions: list[float]) -> None:
    tree = SumTree(len(weights))
    tree.set(np.arange(len(weights)), np.array(weights))
    tree.set(np.array([0, 0]), np.array([9.0, weights[0]]))
    assert tree.total == sum(weights)
    at = np.array(positions) * tree.total
    found = tree.find(at)
    np.testing.assert_array_equal(found, np.searchsorted(np.cumsum(weights), at, side="right"))
    assert all(weights[index] > 0 for index in found)


def test_a_position_that_rounding_carried_to_the_end_finds_the_last_that_weighs() -> None:
    tree = SumTree(40)
    tree.set(np.array([3, 17]), np.array([0.1, 0.2]))
    assert tree.find(np.array([tree.total, tree.total * 2])).tolist() == [17, 17]


def test_a_million_weights_are_five_levels() -> None:
    tree = SumTree(1_000_000)
    tree.set(np.array([999_999]), 2.0)
    assert tree.find(np.array([0.0, 1.9])).tolist() == [999_999, 999_999]
    assert tree.nbytes < 8.6e6


def priorities(**options: Any) -> Priorities:
    numbers = {"exponent": 1.0, "importance_exponent": 0.5, "epsilon": 1e-12, **options}
    made = Priorities(8, **numbers)
    made.add(0, 4)
    return made


def test_chances_and_weights_are_the_papers() -> None:
    made = priorities(exponent=0.5)
    made.update(np.array([0, 1, 2, 3]), np.array([-1.0, 4.0, 9.0, -16.0]))
    indices = np.array([0, 1, 2, 3])
    np.testing.assert_allclose(made.chances(indices), [0.1, 0.2, 0.3, 0.4], atol=1e-6)
    # beta 0.5 and N = 4: (4 * 0.1) ** -0.5 = 1.5811 and so on, over the largest
    np.testing.assert_allclose(made.weights(indices, 4), [[1.0], [0.70710678], [0.57735027], [0.5]], rtol=0, atol=1e-6)
    # the largest of the batch, not of the memory
    np.testing.assert_allclose(made.weights(np.array([1, 3]), 4), [[1.0], [0.70710678]], rtol=0, atol=1e-6)
    made.progress_remaining = 0.0
    np.testing.assert_allclose(made.weights(indices, 4), [[1.0], [0.5], [1 / 3], [0.25]], rtol=0, atol=1e-6)


def test_beta_rises_linearly_to_one() -> None:
    made = priorities(importance_exponent=0.4)
    seen = []
    for made.progress_remaining in (1.0, 0.5, 0.0):
        seen.append(round(made.beta, 9))
    assert seen == [0.4, 0.7, 1.0]


def test_epsilon_is_added_before_the_exponent() -> None:
    made = priorities(exponent=2.0, epsilon=0.5)
    made.update(np.array([0, 1]), np.array([0.0, 1.0]))
    assert made.tree.weights[:2].tolist() == [0.25, 2.25]


def test_the_new_get_the_largest_so_far() -> None:
    made = priorities()
    made.update(np.array([0, 1]), np.array([5.0, 0.5]))
    made.update(np.array([0]), np.array([0.1]))
    made.add(4, 2)
    assert made.tree.weights.tolist() == pytest.approx([0.1, 0.5, 1, 1, 5, 5, 0, 0])
    made.clear()
    made.add(0, 1)
    assert made.tree.weights.tolist() == [1, 0, 0, 0, 0, 0, 0, 0]


@pytest.mark.parametrize("n_envs", [1, 4])
def test_draws_follow_the_chances(n_envs: int) -> None:
    np.random.seed(0)
    buffer = ReplayBuffer(400, BOX, BOX, "cpu", n_envs, priority_exponent=0.7, n_steps=2)
    for step in range(60):
        observation = np.full((n_envs, 1), step / 100, np.float32)
        buffer.add(
            observation, observation + 0.01, observation, np.zeros(n_envs), np.zeros(n_envs, bool), [{}] * n_envs
        )
    filled = 60 * n_envs
    td_errors = np.random.default_rng(1).pareto(1.5, filled)
    buffer.update_priorities(np.arange(filled), th.from_numpy(td_errors).reshape(-1, 1))
    counts, draws = np.zeros(filled), 400
    for _ in range(draws):
        batch = buffer.sample(256)
        assert isinstance(batch, PrioritizedSamples)
        counts += np.bincount(batch.indices, minlength=filled)
    chances = (td_errors + 1e-6) ** 0.7
    expected = draws * 256 * chances / chances.sum()
    # chi-square over its degrees of freedom is 1 for independent draws; stratified ones vary less
    assert ((counts - expected) ** 2 / expected).mean() < 1.2
    assert expected.max() > 20 * expected.min()


def test_a_batch_brings_weights_and_the_rows_it_came_from() -> None:
    buffer = ReplayBuffer(8, BOX, BOX, priority_exponent=1.0, importance_exponent=1.0)
    for step in range(4):
        value = np.full((1, 1), step / 10, np.float32)
        buffer.add(value, value, value, np.array([step]), np.array([False]), [{}])
    buffer.update_priorities(np.arange(4), np.array([[1.0], [2.0], [3.0], [4.0]]))
    batch = buffer.sample(32)
    assert isinstance(batch, PrioritizedSamples)
    assert batch._fields[:6] == ("observations", "actions", "next_observations", "dones", "rewards", "discounts")
    assert batch.weights.shape == (32, 1)
    assert batch.weights.dtype == th.float32
    assert batch.rewards.flatten().tolist() == batch.indices.tolist()
    smallest = batch.indices.min()
    np.testing.assert_allclose(batch.weights[:, 0], (1 + smallest) / (1 + batch.indices), atol=1e-6)


def test_bad_td_errors_are_refused() -> None:
    buffer = ReplayBuffer(8, BOX, BOX, priority_exponent=1.0)
    with pytest.raises(ValueError, match="1 of 2 TD errors are not finite"):
        buffer.update_priorities(np.array([0, 1]), np.array([np.nan, 1.0]))
    with pytest.raises(ValueError, match="2 transitions need as many TD errors, got 3"):
        buffer.update_priorities(np.array([0, 1]), np.ones(3))
    with pytest.raises(ValueError, match="no priorities"):
        ReplayBuffer(8, BOX, BOX).update_priorities(np.array([0]), np.ones(1))
