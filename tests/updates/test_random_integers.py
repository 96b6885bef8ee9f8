"""Numbers drawn in machine code: NumPy's own, and its generator is left where NumPy leaves it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from helpers import make_model

pytest.importorskip("numba", reason="the numba extra is not installed")

from sb3_ddpg_custom.updates.compiled.random_integers import random_integers


@pytest.fixture
def own_generator() -> Iterator[None]:
    before = np.random.get_bit_generator()  # type: ignore[attr-defined]  # the stubs forgot it
    yield
    np.random.set_bit_generator(before)  # type: ignore[attr-defined]


def drawn(draw: Any, high: int, sizes: tuple[int, ...]) -> list[Any]:
    """Draw with others in between, and tell where the generator stands."""
    np.random.seed(7)
    numbers: list[Any] = [np.random.normal(size=3)]
    for size in sizes:
        numbers += [draw(high, size), np.random.random(2)]
    name, words, *where = np.random.get_state()
    return [*numbers, words, where, name]


def test_the_words_are_those_of_the_paper() -> None:
    np.random.seed(5489)
    assert random_integers(2**32, 5).tolist() == [3499211612, 581869302, 3890346734, 3586334585, 545404204]


@pytest.mark.parametrize("high", [1, 2, 3, 64, 65, 1000, 20_000, 1_000_000, 2**31, 2**32 - 1, 2**32, 2**40])
def test_they_are_numpys(high: int) -> None:
    sizes = (1, 64, 0, 700, 256)  # beyond the generator's 624 words
    found = drawn(random_integers, high, sizes)
    expected = drawn(lambda high, size: np.random.randint(0, high, size=size), high, sizes)
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.usefixtures("own_generator")
def test_another_generator_is_asked_itself() -> None:
    for kind in (np.random.PCG64, np.random.MT19937):
        np.random.set_bit_generator(kind(3))  # type: ignore[attr-defined]
        found = [random_integers(1000, 5).tolist(), np.random.random()]
        np.random.set_bit_generator(kind(3))  # type: ignore[attr-defined]
        assert found == [np.random.randint(0, 1000, size=5).tolist(), np.random.random()]


def test_a_randint_of_ones_own_is_called(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(np.random, "randint", lambda low, high, size: np.full(size, high - 1))
    assert random_integers(9, 3).tolist() == [8, 8, 8]


def test_a_training_draws_so(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def count(high: int, size: int) -> Any:
        asked.append((high, size))
        return random_integers(high, size)

    monkeypatch.setattr("sb3_ddpg_custom.updates.compiled.random_integers.random_integers", count)
    make_model(update="compiled").learn(24)
    assert asked == [(21, 16), (22, 16), (23, 16), (24, 16)]
