"""Acting: a small actor as three NumPy products, without a round trip through torch.

That saves most of the time with one env. With many envs the products dominate, and torch's take as long as NumPy's:
then torch computes them, with the number of threads that it is set to. NumPy's would take as many as there are.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.updates import WAKES_THREADS, AnalyticUpdate, CompiledUpdate

Function = Callable[[NDArray[np.float32]], NDArray[np.float32]]

_ZERO = np.zeros((), np.float32)
_FUNCTIONS: dict[type[nn.Module], Function] = {
    nn.ReLU: lambda z: np.maximum(z, _ZERO, out=z),
    nn.Tanh: lambda z: np.tanh(z, out=z),
    nn.SiLU: lambda z: z / (1 + np.exp(-z)),
}


class _Layer(NamedTuple):
    weight_t: NDArray[np.float32]
    bias: NDArray[np.float32]
    output: NDArray[np.float32]
    function: Function


class NumpyActor:
    """The actor's forward pass on the very memory of its weights, on the CPU.

    :param update: the update that keeps the weights in one flat tensor
    """

    def __init__(self, update: AnalyticUpdate) -> None:
        self.update = update
        self._layers: list[_Layer] = []
        self._address, self._n_envs = 0, 0
        functions = [
            _FUNCTIONS.get(type(layer)) for layer in update.policy.actor.mu if not isinstance(layer, nn.Linear)
        ]
        self._largest = max(layer.weight.numel() for layer in update.policy.actor.mu if isinstance(layer, nn.Linear))
        self._functions = [function for function in functions if function is not None]

    @classmethod
    def of(cls, update: object) -> "NumpyActor | None":
        """Make one for an update, or None where its actor cannot be computed here."""
        if not isinstance(update, AnalyticUpdate) or not update.observations_are_features:
            return None
        layers = list(update.policy.actor.mu)
        known = all(isinstance(layer, nn.Linear) or type(layer) in _FUNCTIONS for layer in layers)
        alternate = all(isinstance(layer, nn.Linear) == (place % 2 == 0) for place, layer in enumerate(layers))
        flat_actions = len(update.policy.action_space.shape or ()) == 1
        return cls(update) if known and alternate and flat_actions and update.policy.device.type == "cpu" else None

    def __call__(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        """Compute μ(s).

        :param observations: (n_envs, *shape) of any type
        :return: (n_envs, action_dim) in [-1, 1]
        """
        if len(observations) * self._largest >= WAKES_THREADS:
            return self._by_torch(observations)
        if isinstance(self.update, CompiledUpdate) and self.update.can_act():
            return self.update.act(observations.reshape(len(observations), -1))
        parameters = self.update.actor_parameters()
        if parameters[0].data_ptr() != self._address or len(observations) != self._n_envs:
            self._view(parameters, len(observations))
        x = observations.reshape(self._n_envs, -1).astype(np.float32)
        for weight_t, bias, output, function in self._layers:
            np.dot(x, weight_t, out=output)
            output += bias
            x = function(output)
        return x.copy()

    @th.no_grad()
    def _by_torch(self, observations: NDArray[Any]) -> NDArray[np.float32]:
        policy = self.update.policy
        x = th.from_numpy(observations.reshape(len(observations), -1).astype(np.float32))
        actions: NDArray[np.float32] = policy.actor.mu(x.to(next(policy.actor.parameters()).dtype)).numpy()
        return actions

    def _view(self, parameters: Sequence[th.Tensor], n_envs: int) -> None:
        self._address, self._n_envs = parameters[0].data_ptr(), n_envs
        arrays = [parameter.numpy() for parameter in parameters]
        self._layers = [
            _Layer(weight.T, bias, np.empty((n_envs, len(weight)), np.float32), function)
            for weight, bias, function in zip(arrays[::2], arrays[1::2], self._functions, strict=True)
        ]


@contextmanager
def without_modes(policy: TD3Policy) -> Iterator[None]:
    """Spare a policy whose layers have no training mode the walk through all its modules at every env step.

    :param policy: its ``set_training_mode`` does nothing inside the block
    """
    policy.set_training_mode = _stay  # type: ignore[method-assign]
    try:
        yield
    finally:
        del policy.set_training_mode


def _stay(mode: bool) -> None:
    """Do nothing; a function of the module, so that a policy can be pickled meanwhile."""
