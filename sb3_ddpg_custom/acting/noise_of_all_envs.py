"""Noise drawn quickly, that of all envs at once: the same numbers from the same stream as SB3's classes draw."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.noise import (
    ActionNoise,
    NormalActionNoise,
    OrnsteinUhlenbeckActionNoise,
    VectorizedActionNoise,
)

from sb3_ddpg_custom.acting.action_noise import PerEnvActionNoise, ScaledActionNoise
from sb3_ddpg_custom.overrides import is_as_written

_FLOAT64 = np.dtype(np.float64)
_NORMAL_AS_WRITTEN = NormalActionNoise.__call__ if is_as_written(NormalActionNoise, "__call__") else None


class NoiseAtOnce(ActionNoise):
    """Stands in for a noise of several envs while an action is chosen.

    SB3's ``VectorizedActionNoise`` calls one noise after the other: with 256 envs that takes longer than everything
    else in a step. Normal and Ornstein-Uhlenbeck noise, scaled or not, are computed for all envs together here, from
    what each env's noise holds at this moment. Other noises, or mixed ones, are called as SB3 calls them. What is
    saved with a model stays SB3's own object.

    :param noise: the envs' noise
    """

    def __init__(self, noise: VectorizedActionNoise) -> None:
        super().__init__()
        self.noise = noise

    def __call__(self) -> NDArray[np.floating]:
        """Draw for each env.

        :return: (n_envs, *shape of an action)
        """
        known = any(_is_called_as(self.noise, kind) for kind in (VectorizedActionNoise, PerEnvActionNoise))
        rows = _draw(self.noise.noises) if known else None
        if rows is None:
            return np.asarray(self.noise())
        return self.noise.scaled(rows) if isinstance(self.noise, PerEnvActionNoise) else rows


class QuickNormalNoise(ActionNoise):
    """Stands in for one env's ``NormalActionNoise`` while an action is chosen.

    ``np.random.normal`` looks into its arguments for longer than it draws: with small networks up to a tenth of a step.

    :param noise: the env's noise
    """

    def __init__(self, noise: NormalActionNoise) -> None:
        self.noise = noise

    def __call__(self) -> NDArray[np.floating]:
        """Draw once.

        :return: (*shape of an action)
        """
        mean, sigma = self.noise._mu, self.noise._sigma
        if (
            type(mean) is type(sigma) is np.ndarray
            and mean.dtype == sigma.dtype == _FLOAT64
            and mean.shape == sigma.shape
            and getattr(np.random.normal, "__self__", None) is np.random.mtrand._rand
        ):
            means, sigmas = mean.ravel().tolist(), sigma.ravel().tolist()
            if not any(means) and all(one >= 0 for one in sigmas):
                return (sigma * np.random.standard_normal(mean.shape)).astype(self.noise._dtype)
        return self.noise()


def at_once(noise: ActionNoise | None) -> ActionNoise | None:
    """Give a noise of several envs, or normal noise of one, the quick way to draw; any other is handed back.

    :param noise: any SB3 action noise, or None
    """
    if isinstance(noise, VectorizedActionNoise):
        return NoiseAtOnce(noise)
    if isinstance(noise, NormalActionNoise) and type(noise).__call__ is _NORMAL_AS_WRITTEN:
        return QuickNormalNoise(noise)
    return noise


def _is_called_as(noise: ActionNoise, kind: Any) -> bool:
    """Say whether a noise draws as a class of SB3's or ours does, and that as it was written."""
    return type(noise).__call__ is kind.__call__ and is_as_written(kind, "__call__")


def _draw(noises: Sequence[Any]) -> NDArray[np.floating] | None:
    """Draw from all noises, (len(noises), *shape of an action); None, and nothing drawn, where that is not known."""
    first = noises[0]
    if len({type(one).__call__ for one in noises}) > 1:
        return None
    if _is_called_as(first, NormalActionNoise):
        return _draw_normal(noises)
    if _is_called_as(first, OrnsteinUhlenbeckActionNoise):
        return _draw_ornstein_uhlenbeck(noises)
    if _is_called_as(first, ScaledActionNoise) and (scale := _common([one.scale for one in noises])) is not None:
        rows = _draw([one.noise for one in noises])
        return None if rows is None else np.asarray(scale * rows, dtype=rows.dtype)
    return None


def _draw_normal(noises: Sequence[Any]) -> NDArray[np.floating] | None:
    mean, sigma = _rows([one._mu for one in noises]), _rows([one._sigma for one in noises])
    dtype = _common([one._dtype for one in noises])
    if mean is None or sigma is None or dtype is None or mean.shape != sigma.shape:
        return None
    return np.random.normal(mean, sigma).astype(dtype)


def _draw_ornstein_uhlenbeck(noises: Sequence[Any]) -> NDArray[np.floating] | None:
    arrays = [[one._mu for one in noises], [one._sigma for one in noises], [one.noise_prev for one in noises]]
    # Other types would be rounded at other places, and a noise that several envs share moves on with each of them.
    if not all(getattr(array, "dtype", None) == np.float64 for column in arrays for array in column):
        return None
    if len({id(one) for one in noises}) < len(noises):
        return None
    mean, sigma, before = map(_rows, arrays)
    theta, dt = _common([one._theta for one in noises]), _common([one._dt for one in noises])
    dtype = _common([one._dtype for one in noises])
    if mean is None or sigma is None or before is None or theta is None or dt is None or dtype is None:
        return None
    if not mean.shape == sigma.shape == before.shape:
        return None
    # The order of SB3's operations, for the last bit.
    rows: NDArray[np.floating] = (
        before + theta * (mean - before) * dt + sigma * np.sqrt(dt) * np.random.normal(size=mean.shape)
    )
    for one, row in zip(noises, rows, strict=True):
        one.noise_prev = row
    return rows.astype(dtype)


def _rows(arrays: Sequence[Any]) -> NDArray[Any] | None:
    """Put arrays of one shape on top of each other, (len(arrays), *shape); None if they are none."""
    try:
        together = np.concatenate(arrays)
    except ValueError:  # single numbers, or shapes that differ
        return None
    rows = len(arrays[0])
    return together.reshape(-1, rows, *together.shape[1:]) if len(together) == len(arrays) * rows else None


def _common(values: Sequence[Any]) -> Any:
    """Give the number or type that all have, None if they differ."""
    first = values[0]
    if len({*map(id, values)}) == 1:
        return first
    # Arrays have no one answer to whether they are equal.
    return first if all(isinstance(value, int | float) and value == first for value in values) else None
