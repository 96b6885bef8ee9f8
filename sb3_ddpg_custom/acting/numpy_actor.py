"""Acting: a small actor as three NumPy products, without a round trip through torch.

That saves most of the time with one env. With many envs the products dominate, and torch's take as long as NumPy's:
then torch computes them, with the number of threads that it is set to. NumPy's would take as many as there are.
"""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray
from torch import nn

from sb3_ddpg_custom.updates import WAKES_THREADS, CompiledUpdate, FlatUpdate

Function = Callable[[NDArray[np.floating]], NDArray[np.floating]]

_ZERO = np.zeros((), np.float32)
_FUNCTIONS: dict[type[nn.Module], Function] = {
    nn.ReLU: lambda z: np.maximum(z, _ZERO, out=z),
    nn.Tanh: lambda z: np.tanh(z, out=z),
    nn.SiLU: lambda z: z / (1 + np.exp(-z)),
}


class _Layer(NamedTuple):
    weight_t: NDArray[np.floating]
    bias: NDArray[np.floating]
    output: NDArray[np.floating]
    function: Function


class NumpyActor:
    """The actor's forward pass on the very memory of its weights, on the CPU.

    :param update: the update that keeps the weights in one flat tensor; this is for its actor as it is now
    """

    def __init__(self, update: FlatUpdate) -> None:
        self.update = update
        self.flat = update.flat
        self._layers: list[_Layer] = []
        self._n_envs = 0
        layers = list(update.policy.actor.mu)
        functions = [_FUNCTIONS.get(type(layer)) for layer in layers]
        self._functions = [function for function in functions if function is not None]
        behind = [*layers[1:], None]
        self._norms = [
            norm if isinstance(norm, nn.LayerNorm) else None
            for layer, norm in zip(layers, behind, strict=True)
            if isinstance(layer, nn.Linear)
        ]
        self._largest = max(layer.weight.numel() for layer in layers if isinstance(layer, nn.Linear))
        self._dtype = update.flat.online.flat.dtype
        self._by_numpy = self._dtype in (th.float32, th.float64)

    @classmethod
    def of(cls, update: object) -> "NumpyActor | None":
        """Make one for an update, or None where its actor cannot be computed here."""
        if not isinstance(update, FlatUpdate) or not update.observations_are_features or not update.flat.may_act:
            return None
        # Norms are those that the update knows: right behind a linear layer.
        layers = [layer for layer in update.policy.actor.mu if type(layer) is not nn.LayerNorm]
        known = all(isinstance(layer, nn.Linear) or type(layer) in _FUNCTIONS for layer in layers)
        alternate = all(isinstance(layer, nn.Linear) == (place % 2 == 0) for place, layer in enumerate(layers))
        flat_actions = len(update.policy.action_space.shape or ()) == 1
        return cls(update) if known and alternate and flat_actions and update.policy.device.type == "cpu" else None

    def __call__(self, observations: NDArray[Any]) -> NDArray[np.floating]:
        """Compute μ(s); only where ``flat.acts_as_known()``.

        :param observations: (n_envs, *shape) of any type
        :return: (n_envs, action_dim) in [-1, 1]
        """
        if self.update.normalizer is not None:
            observations = self.update.normalizer.normalize(observations.reshape(len(observations), -1))
        if not self._by_numpy or len(observations) * self._largest >= WAKES_THREADS:
            return self._by_torch(observations)
        if isinstance(self.update, CompiledUpdate):
            return self.update.act(observations.reshape(len(observations), -1))
        if len(observations) != self._n_envs:
            self._view(len(observations))
        x = observations.reshape(self._n_envs, -1).astype(self._layers[0].weight_t.dtype)
        # BLAS computes on what lies beside narrow matrices, too, and says so where that is NaN.
        with np.errstate(invalid="ignore"):
            for weight_t, bias, output, function in self._layers:
                np.dot(x, weight_t, out=output)
                output += bias
                x = function(output)
        return x.copy()

    @th.no_grad()
    def _by_torch(self, observations: NDArray[Any]) -> NDArray[np.floating]:
        x = th.from_numpy(observations.reshape(len(observations), -1).astype(np.float32))
        actions = self.update.policy.actor.mu(x.to(self._dtype))
        rows: NDArray[np.floating] = (actions if self._by_numpy else actions.float()).numpy()
        return rows

    def _view(self, n_envs: int) -> None:
        self._n_envs = n_envs
        arrays = [parameter.numpy() for parameter in self.flat.actor_parameters]
        self._layers = []
        for norm, function in zip(self._norms, self._functions, strict=True):
            weight, bias, *affine = arrays[: 2 if norm is None else 4]
            arrays = arrays[2 + len(affine) :]
            behind = function if norm is None else partial(_normalise, affine, norm.eps, function)
            self._layers.append(_Layer(weight.T, bias, np.empty((n_envs, len(weight)), weight.dtype), behind))


def _normalise(
    affine: Sequence[NDArray[np.floating]], epsilon: float, function: Function, z: NDArray[np.floating]
) -> NDArray[np.floating]:
    """Compute f((z - mean z) / √(var z + ε) · g + h), with mean and variance over each row, and write over z."""
    scale, shift = affine
    z -= z.mean(axis=1, keepdims=True)
    z *= scale / np.sqrt(np.square(z).mean(axis=1, keepdims=True) + z.dtype.type(epsilon))
    z += shift
    return function(z)
