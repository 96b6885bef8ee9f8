"""The update by hand as one function of machine code: for plain MLP policies on the CPU, where Numba is installed."""

import os
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.replay.draw import Draw
from sb3_ddpg_custom.updates.by_hand.mlp import layers_of
from sb3_ddpg_custom.updates.compiled.machine_code import check_shape, kernels, layout_of, readable
from sb3_ddpg_custom.updates.compiled.memory import Memory
from sb3_ddpg_custom.updates.flat_policy import FlatPolicy
from sb3_ddpg_custom.updates.flat_update import FlatUpdate
from sb3_ddpg_custom.updates.interface import Batch, UpdateResult
from sb3_ddpg_custom.updates.plain_policy import why_not_analytic


def why_not_compiled(policy: TD3Policy) -> str | None:
    """Say why a policy's update cannot be compiled here; None if it can."""
    reason = why_not_analytic(policy)
    if reason is not None:
        return reason
    parameter = next(policy.actor.parameters())
    if parameter.device.type != "cpu":
        return f"the policy is on {parameter.device}, and Numba compiles for the CPU"
    if parameter.dtype not in (th.float32, th.float64):
        return f"its parameters are {parameter.dtype}, and Numba compiles for float32 and float64"
    if len(policy.critic.q_networks) > 1:
        return "it has several critics"
    for actor, critic in ((policy.actor, policy.critic), (policy.actor_target, policy.critic_target)):
        layers: Any = actor.mu
        if not _is_relu_network(layers[:-1]) or not all(map(_is_relu_network, critic.q_networks)):
            return "its activations are not ReLU with a tanh behind the actor"
        if not all(map(_has_plain_norms, [layers[:-1], *critic.q_networks])):
            return "a layer norm stands behind its last layer or has another eps than 1e-5"
    return why_no_numba()


def _is_relu_network(network: Any) -> bool:
    modules, kinds = [module for module in network if type(module) is not nn.LayerNorm], (nn.Linear, nn.ReLU)
    return len(modules) % 2 == 1 and all(type(module) is kinds[place % 2] for place, module in enumerate(modules))


def _has_plain_norms(network: Any) -> bool:
    *hidden, last = layers_of(network)
    return last.norm is None and all(layer.norm is None or layer.norm.eps == 1e-5 for layer in hidden)


def why_no_numba() -> str | None:
    """Say why nothing can be compiled here; None if something can."""
    if os.environ.get("NUMBA_DISABLE_JIT", "0") not in ("", "0"):
        return "NUMBA_DISABLE_JIT is set"
    try:
        import_module("threadpoolctl").ThreadpoolController  # noqa: B018  # old versions lack it
        import_module("sb3_ddpg_custom.updates.compiled.kernels")
    except Exception as error:  # Numba itself says where it does not fit NumPy; a damaged one says anything
        return f"{error} (pip install 'sb3-ddpg-custom[numba]')"
    return None


class CompiledUpdate(FlatUpdate):
    """Critic step, actor step, Polyak averaging; see :class:`sb3_ddpg_custom.updates.Update`.

    Updates are computed with as many threads as torch is set to. The first one on a machine takes some seconds, for the
    compiler; what that made is kept on the disk.

    :param policy: one that :func:`why_not_compiled` has nothing against
    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :raises ValueError: if the policy's update cannot be compiled here
    """

    name: ClassVar[str] = "compiled"

    @staticmethod
    def why_not(policy: TD3Policy) -> str | None:
        """Say what about a policy this update does not cover; None if nothing."""
        return why_not_compiled(policy)

    @property
    def takes_draws(self) -> bool:  # type: ignore[override]
        """Whether transitions can be read where they lie: observations are features, and taken as they are."""
        return self.observations_are_features and self.normalizer is None

    def _lay_out(self) -> FlatPolicy:
        from sb3_ddpg_custom.updates.compiled.random_integers import (
            random_integers,
        )  # needs Numba, as what is beside it

        self.random_integers = random_integers
        self._memory: Memory | None = None
        self._acting: tuple[Any, ...] | None = None
        return FlatPolicy(self.policy)

    def step(self, batch: Batch | Draw, gamma: float) -> UpdateResult:
        """Change the networks once; see :meth:`FlatUpdate.step`."""
        batch_size = len(batch.indices if isinstance(batch, Draw) else batch.actions)
        memory, threads = self._memory, th.get_num_threads()
        if memory is None or memory.batch_size != batch_size or memory.threads != threads:
            adams = self.flat.actor_adam, self.flat.critic_adam
            memory = self._memory = Memory(self.policy, adams, self.flat.targets.flat, batch_size, threads)
        if isinstance(batch, Draw):
            memory.gather(batch, gamma)
        else:
            features = self._raw_features(batch.observations), self._raw_features(batch.next_observations)
            memory.load(batch, *features, gamma, self.normalizer)
        memory.update(self.max_grad_norm, self.tau, guards=self.guards, penalty=self.pre_tanh_penalty or 0.0)
        self.flat.end_update()
        return memory.result()

    def act(self, observations: NDArray[Any]) -> NDArray[np.floating]:
        """Compute μ(s); only where ``flat.acts_as_known()``.

        :param observations: (n, features) of any type
        :return: (n, action_dim) in [-1, 1]
        :raises ValueError: if they have another number of features
        """
        n = len(observations)
        check_shape("observations", observations, (n, self.policy.actor.features_dim))
        if self._acting is None or self._acting[0] != n:
            layers = layout_of(self.policy.actor.mu, observations.shape[1], n)
            flat = self.flat.actor_adam.flat.numpy()
            self._acting = n, kernels().act, layers, flat, np.zeros(kernels().room(layers, n), flat.dtype)
        _, act, *own = self._acting
        actions: NDArray[np.floating] = act(*own, readable(observations))
        return actions
