"""The notes' container against a deque, and its sentences about wrong shapes."""

from collections import deque
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ddpg_custom import ExperienceReplay


def add(replay: ExperienceReplay, number: int) -> None:
    """Add a transition that is full of its own number; the next observation is full of the next."""
    replay.add(np.full(3, number), np.full(2, number), number, number % 3 == 0, np.full(3, number + 1))


def numbers(batch: tuple[Any, ...]) -> list[int]:
    """Check that a batch's rows are whole, and name them."""
    s, a, r, t, s2 = batch
    assert (s == r[:, None]).all()
    assert (a == r[:, None]).all()
    assert (s2 == r[:, None] + 1).all()
    assert (t == (r % 3 == 0)).all()
    return [int(number) for number in r]


@settings(max_examples=80, deadline=None)
@given(
    capacity=st.integers(1, 7),
    operations=st.lists(st.one_of(st.just("clear"), st.integers(1, 9)), max_size=30),
    batch_size=st.integers(1, 10),
)
def test_it_holds_what_a_deque_would(capacity: int, operations: list[Any], batch_size: int) -> None:
    replay, model = ExperienceReplay(capacity, random_seed=0), deque[int](maxlen=capacity)
    number = 0
    for operation in operations:
        if operation == "clear":
            replay.clear()
            model.clear()
        else:
            for _ in range(operation):
                add(replay, number)
                model.append(number)
                number += 1
        assert replay.size() == len(model)
        if model:
            drawn = numbers(replay.sample_batch(batch_size))
            assert len(drawn) == min(batch_size, len(model))
            assert len(set(drawn)) == len(drawn)
            assert set(drawn) <= set(model)
            assert sorted(numbers(replay.sample_batch(capacity))) == sorted(model)


def test_samples_are_uniform() -> None:
    replay = ExperienceReplay(10, random_seed=0)
    for number in range(10):
        add(replay, number)
    counts = np.bincount([n for _ in range(3000) for n in numbers(replay.sample_batch(3))], minlength=10)
    # 900 each, with a standard deviation of about 25
    assert abs(counts - 900).max() < 125


def test_the_random_stream_is_its_own() -> None:
    def draw() -> list[int]:
        replay = ExperienceReplay(50, random_seed=1234)
        for number in range(50):
            add(replay, number)
        return numbers(replay.sample_batch(10))

    np.random.seed(0)
    state = str(np.random.get_state())
    first = draw()
    assert str(np.random.get_state()) == state
    np.random.seed(99)
    assert draw() == first


def test_a_batch_is_a_copy() -> None:
    replay = ExperienceReplay(1)
    add(replay, 1)
    s, *_ = replay.sample_batch(1)
    s[:] = 99
    assert numbers(replay.sample_batch(1)) == [1]


def test_shapes_and_types_of_a_batch() -> None:
    replay = ExperienceReplay(4, random_seed=0)
    replay.add(np.zeros((2, 5), np.uint8), 0.5, 1, False, np.zeros((2, 5), np.uint8))
    replay.add(np.zeros((2, 5), np.uint8), 0.5, 1, True, np.zeros((2, 5), np.uint8))
    s, a, r, t, s2 = replay.sample_batch(64)
    assert [part.shape for part in (s, a, r, t, s2)] == [(2, 2, 5), (2,), (2,), (2,), (2, 2, 5)]
    assert [part.dtype for part in (s, a, r, t, s2)] == [np.uint8, np.float64, np.float64, np.bool_, np.uint8]


def test_whole_numbers_in_the_first_observation_do_not_cut_the_second() -> None:
    replay = ExperienceReplay(2)
    replay.add([0, 0], [1], 0, False, [0, 0])
    replay.add([0.7, 0.2], [0.5], 0.5, False, [0.1, 0.2])
    s, a, *_ = replay.sample_batch(2)
    assert 0.7 in s
    assert 0.5 in a


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"s": np.zeros(4)}, r"s has shape \(4,\), but this buffer holds s of shape \(3,\)"),
        ({"a": np.zeros((1, 2))}, r"a has shape \(1, 2\), but this buffer holds a of shape \(2,\)"),
        ({"r": [1.0]}, r"r has shape \(1,\), but this buffer holds r of shape \(\)"),
        ({"s2": np.zeros(2)}, r"s2 has shape \(2,\), but this buffer holds s2 of shape \(3,\)"),
    ],
)
def test_a_wrong_shape_names_the_field_and_both_shapes(change: dict[str, Any], message: str) -> None:
    replay = ExperienceReplay(4)
    add(replay, 0)
    transition: dict[str, Any] = {"s": np.zeros(3), "a": np.zeros(2), "r": 0.0, "t": False, "s2": np.zeros(3)}
    with pytest.raises(ValueError, match=message):
        replay.add(**(transition | change))
    assert replay.size() == 1


def test_the_first_transition_must_fit_itself() -> None:
    with pytest.raises(ValueError, match=r"s2 has shape \(2,\), but this buffer holds s2 of shape \(3,\)"):
        ExperienceReplay(4).add(np.zeros(3), np.zeros(1), 0.0, False, np.zeros(2))


def test_a_refused_first_transition_teaches_nothing() -> None:
    replay = ExperienceReplay(4)
    with pytest.raises(ValueError, match="s2 has shape"):
        replay.add(np.zeros(2), np.zeros(1), 0.0, False, np.zeros(3))
    add(replay, 0)
    assert numbers(replay.sample_batch(1)) == [0]


def test_a_number_that_would_be_cut_is_refused() -> None:
    replay = ExperienceReplay(4)
    replay.add(np.zeros(3), np.int32(0), 0.0, False, np.zeros(3))
    with pytest.raises(ValueError, match="a has type float64, but this buffer holds a of type int32"):
        replay.add(np.zeros(3), 0.7, 0.0, False, np.zeros(3))


@pytest.mark.parametrize("size", [0, -3])
def test_sizes_must_be_positive(size: int) -> None:
    with pytest.raises(ValueError, match=f"at least 1, got {size}"):
        ExperienceReplay(size)
    replay = ExperienceReplay(1)
    add(replay, 0)
    with pytest.raises(ValueError, match=f"at least 1, got {size}"):
        replay.sample_batch(size)


def test_an_empty_memory_says_so() -> None:
    replay = ExperienceReplay(3)
    with pytest.raises(ValueError, match="empty"):
        replay.sample_batch(1)
    add(replay, 0)
    replay.clear()
    with pytest.raises(ValueError, match="empty"):
        replay.sample_batch(1)
