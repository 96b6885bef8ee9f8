"""The ways to update by hand, as parameters of tests."""

from importlib.util import find_spec

import pytest

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
BY_HAND = pytest.mark.parametrize("update", ["analytic", pytest.param("compiled", marks=needs_numba)])
