"""Whole numbers from NumPy's global generator: those that ``np.random.randint`` would draw, without what it asks first.

With small networks its questions about its arguments take a fifteenth of a step.
"""

import ctypes
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.updates.compiled.kernels import compiled

# MT19937 has so many words, and behind them stands which of them is the next (Matsumoto & Nishimura 1998).
_WORDS = 624


class _Generator(NamedTuple):
    """A bit generator, and its state where it lies; None where that is not known.

    :param generator: kept alive, so that its memory stays
    :param state: 624 words and the place of the next one, (625,)
    """

    generator: object
    state: NDArray[np.uint32] | None


_seen = _Generator(None, None)


def random_integers(high: int, size: int) -> NDArray[np.integer]:
    """Draw what ``np.random.randint(0, high, size=size)`` would, and leave the generator where it would.

    :param high: exclusive
    :param size: how many
    :return: (size,)
    """
    global _seen
    generator = np.random.get_bit_generator()  # type: ignore[attr-defined]  # the stubs forgot it
    if generator is not _seen.generator:
        _seen = _Generator(generator, _state_of(generator))
    is_numpys = getattr(np.random.randint, "__self__", None) is np.random.mtrand._rand
    if _seen.state is None or not 1 < high <= 2**32 or not is_numpys:
        return np.random.randint(0, high, size=size)
    numbers = np.empty(size, np.int64)
    with generator.lock:
        _draw(_seen.state, high - 1, numbers)
    return numbers


def _state_of(generator: np.random.BitGenerator) -> NDArray[np.uint32] | None:
    """View a generator's state in its own memory, None where it is of another kind or lies there in another way."""
    if type(generator) is not np.random.MT19937:
        return None
    memory = (ctypes.c_uint32 * (_WORDS + 1)).from_address(generator.ctypes.state_address)
    state: NDArray[np.uint32] = np.ctypeslib.as_array(memory)
    told = generator.state["state"]
    return state if np.array_equal(state[:-1], told["key"]) and state[-1] == told["pos"] else None


@compiled
def _draw(state: NDArray[np.uint32], highest: int, numbers: NDArray[np.int64]) -> None:
    """Keep as many bits of each word as ``highest`` has, and leave out the numbers beyond it."""
    mask = highest
    for shift in (1, 2, 4, 8, 16):
        mask |= mask >> shift
    for place in range(len(numbers)):
        number = _next_word(state) & mask
        while number > highest:
            number = _next_word(state) & mask
        numbers[place] = number


@compiled
def _next_word(state: NDArray[np.uint32]) -> int:
    if state[_WORDS] == _WORDS:
        for word in range(_WORDS):
            mixed = (np.int64(state[word]) & 0x80000000) | (np.int64(state[(word + 1) % _WORDS]) & 0x7FFFFFFF)
            twisted = (mixed >> 1) ^ (0x9908B0DF if mixed & 1 else 0)
            state[word] = np.uint32(np.int64(state[(word + 397) % _WORDS]) ^ twisted)
        state[_WORDS] = 0
    tempered = np.int64(state[state[_WORDS]])
    state[_WORDS] += np.uint32(1)
    tempered ^= tempered >> 11
    tempered ^= (tempered << 7) & 0x9D2C5680
    tempered ^= (tempered << 15) & 0xEFC60000
    return tempered ^ (tempered >> 18)  # type: ignore[return-value]  # Numba makes an int of it
