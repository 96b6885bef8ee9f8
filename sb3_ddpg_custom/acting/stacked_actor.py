"""An actor with weights of its own for each env: one product per layer for all of them."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.td3.policies import Actor
from torch import nn
from torch.func import functional_call

from sb3_ddpg_custom.overrides import overridden
from sb3_ddpg_custom.updates.hooks import has_hooks

Predict = Callable[..., tuple[Any, Any]]


class StackedActor:
    """A set of an actor's weights per env, one on top of the other, beside the actor itself.

    With zᵢ = Wᵢ xᵢ + bᵢ for env i, a layer of all envs is a product of stacks. That costs reading every env's weights
    once, and little else; calling one small network after the other costs ten times as much. Actors that
    are more than linear layers and functions between them are still called one after the other.

    :param actor: gives the layers, and what is no weight, such as running statistics
    :param n_envs: envs side by side
    :param predicting: whose ``predict`` is called with each env's weights instead of the actor; None for nobody's
    """

    def __init__(self, actor: Actor, n_envs: int, predicting: "Predicting | None" = None) -> None:
        self.actor = actor
        self.n_envs = n_envs
        self.predicting = predicting
        self.weights = {
            name: parameter.detach().new_empty(n_envs, *parameter.shape) for name, parameter in actor.named_parameters()
        }
        self._goes_by_layers = _is_linear_layers_with_functions(actor)

    def set(self, index: int, weights: dict[str, th.Tensor]) -> None:
        """Give an env other weights.

        :param index: the env's number
        :param weights: one tensor per parameter of the actor, by its name
        """
        for name, weight in weights.items():
            self.weights[name][index] = weight

    def __call__(self, observations: PyTorchObs) -> th.Tensor:
        """Act, each env with its own weights.

        :param observations: (n_envs, *shape), or a dict of them
        :return: (n_envs, action_dim) actions in [-1, 1]
        """
        with th.no_grad():
            return self._by_layers(observations) if self._goes_by_layers else self._one_by_one(observations)

    def predict(self, observations: Any) -> NDArray[Any]:
        """Act by way of ``predict``, each env with its own weights.

        :param observations: (n_envs, *shape), or a dict of them
        :return: (n_envs, *shape of an action) actions in the env's units
        """
        rows = []
        for index in range(self.n_envs):
            weights = {f"policy.actor.{name}": weight[index] for name, weight in self.weights.items()}
            rows.append(functional_call(self.predicting, weights, (_row(observations, index),)))  # type: ignore[arg-type]
        return np.concatenate(rows)

    def _by_layers(self, observations: PyTorchObs) -> th.Tensor:
        x = self.actor.extract_features(observations, self.actor.features_extractor)
        for place, layer in enumerate(self.actor.mu):
            if isinstance(layer, nn.Linear):
                x = _products(self.weights[f"mu.{place}.weight"], x).add_(self.weights[f"mu.{place}.bias"])
            elif isinstance(layer, nn.LayerNorm):
                normed = nn.functional.layer_norm(x, layer.normalized_shape, eps=layer.eps)
                x = normed.mul_(self.weights[f"mu.{place}.weight"]).add_(self.weights[f"mu.{place}.bias"])
            else:
                x = layer(x)
        return x

    def _one_by_one(self, observations: PyTorchObs) -> th.Tensor:
        rows = []
        for index in range(self.n_envs):
            weights = {name: weight[index] for name, weight in self.weights.items()}
            rows.append(functional_call(self.actor, weights, (_row(observations, index),)))
        return th.cat(rows)


class Predicting(nn.Module):
    """A policy whose actions a script's own ``predict`` chooses.

    :param policy: whose weights can be replaced for a call
    :param predict: gives (n, …) actions in the env's units and a state
    """

    def __init__(self, policy: nn.Module, predict: Predict) -> None:
        super().__init__()
        self.policy = policy
        self._predict = predict

    def forward(self, observations: Any) -> NDArray[Any]:
        """Give actions in the env's units."""
        actions: NDArray[Any] = self._predict(observations, deterministic=False)[0]
        return actions


def _is_linear_layers_with_functions(actor: Actor) -> bool:
    as_sb3s = overridden(actor, Actor) is None and not has_hooks([actor], [])
    layers = list(enumerate(actor.mu)) if as_sb3s and type(actor.mu) is nn.Sequential else []
    known = {f"mu.{place}" for place, layer in layers if type(layer) is nn.Linear or _is_norm(layer)}
    # Also tells apart layers without a bias, and those whose weights are computed from other parameters.
    parameters = {name for name, _ in actor.named_parameters()}
    return bool(known) and parameters == {f"{layer}.{part}" for layer in known for part in ("weight", "bias")}


def _is_norm(layer: nn.Module) -> bool:
    return type(layer) is nn.LayerNorm and len(layer.normalized_shape) == 1 and "forward" not in layer.__dict__


def _products(weights: th.Tensor, x: th.Tensor) -> th.Tensor:
    """Multiply each matrix of a stack with its own row.

    :param weights: (n_envs, outputs, inputs)
    :param x: (n_envs, inputs)
    :return: (n_envs, outputs)
    """
    if weights.is_cpu:
        # Twice as fast as torch's batched products here, whose matrices would be columns.
        return th.from_numpy(np.matmul(weights.numpy(), x.numpy()[:, :, None])[:, :, 0])
    return th.bmm(weights, x.unsqueeze(2)).squeeze(2)


def _row(observations: Any, index: int) -> PyTorchObs:
    if isinstance(observations, dict):
        return {key: value[index : index + 1] for key, value in observations.items()}
    return observations[index : index + 1]  # type: ignore[no-any-return]
