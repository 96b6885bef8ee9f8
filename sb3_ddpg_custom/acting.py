"""Acting at batch size 1: a small actor as three NumPy products, without a round trip through torch."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.updates.analytic import AnalyticUpdate

_FUNCTIONS: dict[type[nn.Module], Callable[[NDArray[np.float32]], NDArray[np.float32]]] = {
    nn.ReLU: lambda z: np.maximum(z, 0, out=z),
    nn.Tanh: lambda z: np.tanh(z, out=z),
    nn.SiLU: lambda z: z / (1 + np.exp(-z)),
}


class NumpyActor:
    """The actor's forward pass on the very memory of its weights, on the CPU.

    :param update: the update that keeps the weights in one flat tensor
    """

    def __init__(self, update: AnalyticUpdate) -> None:
        self.update = update
        self._weights: list[NDArray[np.float32]] = []
        self._address = 0
        functions = [
            _FUNCTIONS.get(type(layer)) for layer in update.policy.actor.mu if not isinstance(layer, nn.Linear)
        ]
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
        parameters = self.update.actor_parameters()
        if parameters[0].data_ptr() != self._address:
            self._weights = [parameter.numpy() for parameter in parameters]
            self._address = parameters[0].data_ptr()
        x = observations.reshape(len(observations), -1).astype(np.float32)
        for place, function in enumerate(self._functions):
            z = x @ self._weights[2 * place].T
            z += self._weights[2 * place + 1]
            x = function(z)
        return x


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
