"""The update by hand as one function of machine code: for plain MLP policies on the CPU, where Numba is installed."""

import logging
import os
from functools import lru_cache
from importlib import import_module
from typing import Any, ClassVar

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.observation_normalizer import RunningNormalizer
from sb3_ddpg_custom.updates.by_hand.mlp import layers_of
from sb3_ddpg_custom.updates.flat import FlatAdam
from sb3_ddpg_custom.updates.flat_policy import FlatPolicy
from sb3_ddpg_custom.updates.flat_update import FlatUpdate
from sb3_ddpg_custom.updates.interface import Batch, UpdateResult, UpdateStatistics, importance_weights
from sb3_ddpg_custom.updates.plain_policy import why_not_analytic

_log = logging.getLogger(__name__)

# Multiply-adds of a product from which OpenBLAS, SciPy's and NumPy's, wakes its threads, which then look out for more
# work at full speed for some milliseconds.
WAKES_THREADS = 2 * 64**3


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

    def _lay_out(self) -> FlatPolicy:
        self._memory: _Memory | None = None
        self._acting: tuple[Any, ...] | None = None
        return FlatPolicy(self.policy)

    def step(self, batch: Batch, gamma: float) -> UpdateResult:
        """Change the networks once; see :meth:`FlatUpdate.step`."""
        memory, batch_size = self._memory, len(batch.actions)
        if memory is None or memory.batch_size != batch_size:
            adams = self.flat.actor_adam, self.flat.critic_adam
            memory = self._memory = _Memory(self.policy, adams, self.flat.targets.flat, batch_size)
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
        _check_shape("observations", observations, (n, self.policy.actor.features_dim))
        if self._acting is None or self._acting[0] != n:
            kernels = _kernels()
            layers = _layout(self.policy.actor.mu, observations.shape[1], n)
            flat = self.flat.actor_adam.flat.numpy()
            self._acting = n, kernels.act, layers, flat, np.zeros(kernels.room(layers, n), flat.dtype)
        _, act, *own = self._acting
        actions: NDArray[np.floating] = act(*own, _readable(observations))
        return actions


def _layout(network: Any, inputs: int, batch_size: int) -> NDArray[np.int64]:
    layers = layers_of(network)
    widths = [inputs, *(layer.linear.out_features for layer in layers)]
    where: NDArray[np.int64] = _kernels().layout(widths, batch_size, [layer.norm is not None for layer in layers])
    return where


@lru_cache(maxsize=1)
def _kernels() -> Any:
    """Import what Numba compiles, and say so if that is still to be done."""
    from sb3_ddpg_custom.updates.compiled import kernels

    if not kernels.is_compiled():
        _log.warning("compiling the update with Numba, which takes some seconds and is kept for the next run")
    return kernels


class _Memory:
    """What :mod:`kernels` computes in, allocated once per batch size; parameters and moments are torch's own memory.

    :param policy: actor and critic
    :param adams: of the actor and of the critic
    :param targets: parameters of both targets in one row
    :param batch_size: transitions per update
    """

    def __init__(
        self, policy: TD3Policy, adams: tuple[FlatAdam, FlatAdam], targets: th.Tensor, batch_size: int
    ) -> None:
        kernels = _kernels()
        self.batch_size = batch_size
        self._adams = adams
        features, actions = policy.actor.features_dim, get_action_dim(policy.action_space)
        shapes = (policy.actor.mu, features, 0), (policy.critic.q_networks[0], features + actions, len(adams[0].flat))
        numbers = targets.numpy()
        self._networks, self._next_values, largest = [], [], 0
        for adam, (network, inputs, start) in zip(adams, shapes, strict=True):
            layers = _layout(network, inputs, batch_size)
            values = np.zeros((3, kernels.room(layers, batch_size)), numbers.dtype)
            own = [tensor.numpy() for tensor in (adam.flat, adam.gradient, *adam.moments, adam.steps)]
            target = numbers[start : start + len(own[0])]
            self._networks.append(kernels.Network(layers, own[0], values[0], values[1], own[1], target, *own[2:]))
            self._next_values.append(values[2])
            largest = max(largest, batch_size * int((layers[:, 0] * layers[:, 1]).max()))
        self._values = *(network.values for network in self._networks), *self._next_values
        self._batch: Batch | None = None
        self._shapes = (batch_size, features), (batch_size, actions), (batch_size, 1)
        self._normalized = np.empty((2, batch_size, features), np.float32)
        self._numbers = np.ones((5, batch_size), numbers.dtype)
        self._ones = np.ones((batch_size, 1), numbers.dtype)
        self._gammas, self._gamma = self._ones.copy(), 1.0
        self._statistics = np.zeros(len(UpdateStatistics._fields), numbers.dtype)
        self._td_errors = th.from_numpy(self._numbers[3])[:, None]
        self._is_shared = largest >= WAKES_THREADS
        self._constants: list[Any] = []

    def load(
        self,
        batch: Batch,
        observations: th.Tensor,
        next_observations: th.Tensor,
        gamma: float,
        normalizer: RunningNormalizer | None,
    ) -> None:
        """Take a batch over; numbers of any type are cast.

        :param batch: see :meth:`sb3_ddpg_custom.updates.Update.__call__`
        :param observations: (batch, features)
        :param next_observations: (batch, features)
        :param gamma: discount factor where the batch has none
        :param normalizer: of observations, None where they are taken as they are
        :raises ValueError: if a part of the batch has another shape
        """
        if gamma != self._gamma:
            self._gammas.fill(gamma)
            self._gamma = gamma
        # Machine code reads and writes wherever it is told to: what it gets is checked before anything is kept.
        per_state, per_action, per_transition = self._shapes
        # A buffer may fill the same tensors again and again.
        known = batch is self._batch and observations is batch.observations
        if not known:
            weights = importance_weights(batch)
            columns = (
                batch.rewards.detach().numpy(),
                batch.dones.detach().numpy(),
                self._gammas if batch.discounts is None else batch.discounts.detach().numpy(),
                self._ones if weights is None else weights.detach().numpy(),
            )
            for name, array in zip(("rewards", "dones", "discounts", "weights"), columns, strict=True):
                _check_shape(name, array, per_transition)
            arrays = [tensor.detach().numpy() for tensor in (observations, batch.actions, next_observations)]
            _check_shape("observations", arrays[0], per_state)
            _check_shape("actions", arrays[1], per_action)
            _check_shape("next_observations", arrays[2], per_state)
            self._batch, self._columns, self._arrays = batch, columns, arrays
        own = [_readable(array) for array in self._arrays]
        if normalizer is not None:
            constants = *normalizer.constants(), float(normalizer.clip)
            for place, normalized in zip((0, 2), self._normalized, strict=True):
                _kernels().normalize(own[place], *constants, normalized)
                own[place] = normalized
        _kernels().load(*own, self._columns, self._values, self._numbers)

    def update(self, max_grad_norm: float | None, tau: float, *, guards: bool, penalty: float = 0.0) -> None:
        """Change both networks and their targets once.

        :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
        :param tau: fraction of the online networks that enters the targets
        :param guards: do not step along a gradient that is not finite
        :param penalty: c of :func:`sb3_ddpg_custom.losses.pre_tanh_penalty`, 0 for none
        """
        kernels = _kernels()
        constants = [adam.constants_of_step for adam in self._adams]
        if constants != self._constants:
            self._constants, self._options = constants, np.array(constants)
        bound = np.inf if max_grad_norm is None else float(max_grad_norm)
        numbers = *self._next_values, self._numbers, self._statistics
        arguments = *self._networks, *numbers, self._options, bound, float(tau), guards, float(penalty)
        if not self._is_shared:
            kernels.update(*arguments)
            return
        with _blas().limit(limits=th.get_num_threads(), user_api="blas"):
            kernels.update(*arguments)

    def result(self) -> UpdateResult:
        """Give what the update saw; the TD errors are valid until the next one."""
        return UpdateResult(th.from_numpy(self._statistics.copy()), self._td_errors)


def _check_shape(name: str, array: NDArray[Any], shape: tuple[int, int]) -> None:
    if array.shape != shape:
        raise ValueError(f"{name} must have shape {shape}, got {array.shape}")


def _readable(array: NDArray[Any]) -> NDArray[Any]:
    # Numba knows no float16 on the CPU.
    return array.astype(np.float32) if array.dtype == np.float16 else array


@lru_cache(maxsize=1)
def _blas() -> Any:
    """Find the libraries that multiply matrices; Numba calls SciPy's."""
    import scipy.linalg.cython_blas  # noqa: F401  # what is not loaded is not found
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()
