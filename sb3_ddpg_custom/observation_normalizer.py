"""Observations brought to one scale by their running statistics, as SB3's ``VecNormalize`` does it, inside a network.

Statistics in the network go wherever it goes: into zips, copies, ``predict``. The replay buffer holds raw observations,
which every update sees with the statistics of its own moment.
"""

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space
from torch import nn

_ALONE = "observation"  # the one part of an observation that is no Dict


class RunningNormalizer(nn.Module):
    """x = clip((s - mean) / √(var + epsilon), ±clip), with the mean and variance of all observations so far.

    The very numbers of SB3's ``VecNormalize``: computed in float64, given in float32. Statistics are float64 and stay
    on the CPU, wherever the networks are moved and whatever type they get: observations come from there, a count in
    float32 would stand still at 2²⁴, and the mean of a long training moves by less than float32 resolves.

    >>> normalizer = RunningNormalizer((1,))
    >>> normalizer.update(np.array([[1.0], [3.0]]))
    >>> normalizer(th.tensor([[2.0], [4.0]])).round(decimals=2).tolist()
    [[0.0], [2.0]]

    :param shape: of one observation
    :param clip: largest absolute value that a network sees
    :param epsilon: added to the variance
    """

    mean: th.Tensor
    var: th.Tensor
    count: th.Tensor

    def __init__(self, shape: tuple[int, ...], *, clip: float = 10.0, epsilon: float = 1e-8) -> None:
        super().__init__()
        self.clip = clip
        self.epsilon = epsilon
        # As RunningMeanStd begins: its count is not quite 0, so that the first variance is a number.
        for name, start in (("mean", 0.0), ("var", 1.0)):
            self.register_buffer(name, th.full(shape, start, dtype=th.float64, device="cpu"))
        self.register_buffer("count", th.tensor(1e-4, dtype=th.float64, device="cpu"))

    def _apply(self, fn: Callable[..., Any], recurse: bool = True) -> "RunningNormalizer":
        del fn, recurse  # what to(), double() and their like call
        return self

    def update(self, observations: NDArray[Any]) -> None:
        """Take new observations into the statistics.

        Chan et al. 1979, the parallel algorithm, in the order in which ``RunningMeanStd.update`` computes it.

        :param observations: of all envs at one step, (n_envs, *shape)
        """
        mean, var, count = self.mean.numpy(), self.var.numpy(), self.count.item()
        n = len(observations)
        if n == 1:
            batch_mean, batch_var = observations[0], 0.0
        else:
            batch_mean, batch_var = np.mean(observations, axis=0), np.var(observations, axis=0)
        delta, total = batch_mean - mean, count + n
        squares = var * count + batch_var * n + np.square(delta) * count * n / total
        mean += delta * n / total
        np.divide(squares, total, out=var)
        self.count.fill_(total)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        """Normalise.

        :param observations: (batch, *shape) of any type, on any device
        :return: (batch, *shape) float32
        """
        device = observations.device
        mean, deviation = self.mean, (self.var + self.epsilon).sqrt()
        kind = th.float32 if device.type == "mps" else th.float64  # which has no float64
        if device.type != "cpu":
            mean, deviation = th.stack((mean, deviation)).to(kind).to(device)
        normalized: th.Tensor = ((observations.to(kind) - mean) / deviation).clamp(-self.clip, self.clip).float()
        return normalized

    def constants(self) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Give mean and √(var + epsilon) as they are now, each (features,)."""
        mean, var = self.mean.numpy().reshape(-1), self.var.numpy().reshape(-1)
        return mean, np.sqrt(var + self.epsilon)

    def normalize(self, rows: NDArray[Any]) -> NDArray[np.float32]:
        """Normalise as :meth:`forward` does, without torch.

        :param rows: (n, features) of any type
        :return: (n, features)
        """
        mean, deviation = self.constants()
        normalized = (rows - mean) / deviation
        np.minimum(np.maximum(normalized, -self.clip, out=normalized), self.clip, out=normalized)
        return normalized.astype(np.float32)

    def extra_repr(self) -> str:
        """Say what is normalised; see torch's ``Module``."""
        return f"{tuple(self.mean.shape)}, clip={self.clip}, epsilon={self.epsilon}"


class ObservationNormalizer(nn.Module):
    """A :class:`RunningNormalizer` for an observation, or for each part of a Dict.

    Images, which SB3's policies divide by 255, and what is no Box, which they turn into zeros and ones, are left alone.

    :param space: of observations
    :param normalize_images: as the policy has it: False takes every Box of three dimensions for an image, as SB3 does
    """

    def __init__(self, space: spaces.Space[Any], *, normalize_images: bool = True) -> None:
        super().__init__()
        self.parts = nn.ModuleDict()
        for key, part in space.spaces.items() if isinstance(space, spaces.Dict) else [(_ALONE, space)]:
            if isinstance(part, spaces.Box) and not is_image_space(part, normalized_image=not normalize_images):
                self.parts[key] = RunningNormalizer(part.shape)

    @property
    def alone(self) -> RunningNormalizer | None:
        """What normalises an observation that is no Dict; None if nothing does."""
        return self.parts._modules.get(_ALONE)  # type: ignore[return-value]

    def update(self, observations: NDArray[Any] | dict[str, NDArray[Any]]) -> None:
        """Take new observations into the statistics.

        :param observations: of all envs at one step, (n_envs, *shape), or a dict of them
        """
        parts: Any = self.parts.items()
        for key, part in parts:
            part.update(observations[key] if isinstance(observations, dict) else observations)

    def forward(self, observations: Any) -> Any:
        """Normalise.

        :param observations: (batch, *shape), or a dict of them
        :return: of the same shapes
        """
        if isinstance(observations, dict):
            parts: Any = self.parts
            return {key: parts[key](value) if key in parts else value for key, value in observations.items()}
        alone = self.alone
        return observations if alone is None else alone(observations)


def holds_statistics(names: Iterable[str]) -> bool:
    """Say whether a policy's state dict holds statistics of observations.

    :param names: its keys
    """
    return any(name.startswith("normalizer.") for name in names)


def normalizer_of(network: nn.Module) -> ObservationNormalizer | None:
    """Find what normalises the observations of a policy, an actor or a critic; None if nothing does.

    :param network: any; asked at every step
    """
    found = network._modules.get("normalizer")
    return found if isinstance(found, ObservationNormalizer) else None
