"""What :mod:`kernels` computes in, allocated once per batch size: for the whole batch, or for each thread's part."""

from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import get_action_dim
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.observation_normalizer import RunningNormalizer
from sb3_ddpg_custom.replay.draw import Draw
from sb3_ddpg_custom.updates.compiled.helpers import Helpers, OneThread
from sb3_ddpg_custom.updates.compiled.machine_code import announce, check_shape, kernels, layout_of, readable
from sb3_ddpg_custom.updates.flat import FlatAdam
from sb3_ddpg_custom.updates.interface import Batch, UpdateResult, UpdateStatistics, importance_weights

_ONE_THREAD = OneThread()

# Multiply-adds of a product from which OpenBLAS, SciPy's and NumPy's, wakes its threads, which then look out for more
# work at full speed for some milliseconds.
WAKES_THREADS = 2 * 64**3
# Of a thread's part of a batch, at least: below, handing it over takes longer than it saves.
_LEAST_ROWS, _LEAST_WORK = 64, 2_500_000
# Of the statistics: those that add up over the parts of a batch, and the one of which the largest counts.
_SUMS = [UpdateStatistics._fields.index(name) for name in ("critic_loss", "actor_loss", "q_mean", "td_error")]
_LARGEST = UpdateStatistics._fields.index("q_max")


class _Part(NamedTuple):
    """Some transitions of a batch, and what is computed of them.

    :param rows: which
    :param networks: actor and critic, with values, deltas and gradients of this part
    :param next_values: of the targets
    :param values: of the actor, of the critic, and of their targets
    :param numbers: see :func:`kernels.update`
    :param statistics: see :func:`kernels.update`
    :param normalized: room for normalised observations and next observations
    """

    rows: slice
    networks: tuple[Any, Any]
    next_values: tuple[NDArray[Any], NDArray[Any]]
    values: tuple[NDArray[Any], ...]
    numbers: NDArray[Any]
    statistics: NDArray[Any]
    normalized: NDArray[np.float32]


class Memory:
    """A batch of transitions and the networks' numbers; parameters and moments are torch's own memory.

    Several threads share an update out by transitions: OpenBLAS would do it by parts of each product, which on such
    small ones takes as long as one thread alone. Each part has gradients of its own, which are added up in order, so
    that the same number of threads gives the same result.

    :param policy: actor and critic
    :param adams: of the actor and of the critic
    :param targets: parameters of both targets in one row
    :param batch_size: transitions per update
    :param threads: most threads to use
    """

    def __init__(
        self,
        policy: TD3Policy,
        adams: tuple[FlatAdam, FlatAdam],
        targets: th.Tensor,
        batch_size: int,
        threads: int = 1,
    ) -> None:
        self.batch_size, self.threads = batch_size, threads
        self._policy, self._adams, self._targets = policy, adams, targets
        self._dtype = targets.numpy().dtype
        self._features, self._actions = policy.actor.features_dim, get_action_dim(policy.action_space)
        layers = [layout_of(network, inputs, batch_size) for network, inputs in self._shapes_of_networks()]
        largest = batch_size * max(int((one[:, 0] * one[:, 1]).max()) for one in layers)
        self._may_wake_threads = largest >= WAKES_THREADS
        parts = max(1, min(threads, batch_size // _LEAST_ROWS, largest // _LEAST_WORK))
        cuts = [batch_size * part // parts for part in range(parts + 1)]
        self._parts = [self._part(start, end) for start, end in pairwise(cuts)]
        self._helpers = Helpers(parts - 1, kernels().watch)
        if parts > 1:
            announce(kernels().critic_gradient)
        self._batch: Batch | None = None
        self._shapes = (batch_size, self._features), (batch_size, self._actions), (batch_size, 1)
        self._ones = np.ones((batch_size, 1), self._dtype)
        self._gammas, self._gamma = self._ones.copy(), 1.0
        self._constants: list[Any] = []
        self._powers_of: tuple[float, int] | None = None
        self._errors = self._parts[0].numbers[3] if parts == 1 else np.empty(batch_size, self._dtype)
        self._td_errors = th.from_numpy(self._errors)[:, None]

    def _shapes_of_networks(self) -> list[tuple[Any, int]]:
        actor, critic = self._policy.actor.mu, self._policy.critic.q_networks[0]
        return [(actor, self._features), (critic, self._features + self._actions)]

    def _part(self, start: int, end: int) -> _Part:
        """Allocate what is computed of some transitions; the first ones' gradients are those that the steps take."""
        size, targets = end - start, self._targets.numpy()
        networks, next_values, first_parameter = [], [], 0
        for adam, (network, inputs) in zip(self._adams, self._shapes_of_networks(), strict=True):
            layers = layout_of(network, inputs, size)
            values = np.zeros((3, kernels().room(layers, size)), self._dtype)
            flat, gradient, *others = (
                tensor.numpy() for tensor in (adam.flat, adam.gradient, *adam.moments, adam.steps)
            )
            gradient = gradient if start == 0 else np.zeros_like(gradient)
            target = targets[first_parameter : first_parameter + len(flat)]
            networks.append(kernels().Network(layers, flat, values[0], values[1], gradient, target, *others))
            next_values.append(values[2])
            first_parameter += len(flat)
        return _Part(
            rows=slice(start, end),
            networks=(networks[0], networks[1]),
            next_values=(next_values[0], next_values[1]),
            values=(*(network.values for network in networks), *next_values),
            numbers=np.ones((5, size), self._dtype),
            statistics=np.zeros(len(UpdateStatistics._fields), self._dtype),
            normalized=np.empty((2, size, self._features), np.float32),
        )

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
        # A buffer may fill the same tensors again and again.
        if not (batch is self._batch and observations is batch.observations):
            self._look_at(batch, observations, next_observations)
        constants = None if normalizer is None else (*normalizer.constants(), float(normalizer.clip))
        for part, (arrays, columns) in zip(self._parts, self._sources, strict=True):
            own = [readable(array) for array in arrays]
            if constants is not None:
                for place, normalized in zip((0, 2), part.normalized, strict=True):
                    kernels().normalize(own[place], *constants, normalized)
                    own[place] = normalized
            kernels().load(*own, columns, part.values, part.numbers, self.batch_size)

    def gather(self, draw: Draw, gamma: float) -> None:
        """Take over transitions that were drawn, from where they lie.

        :param draw: of records whose observations are features
        :param gamma: discount factor of one-step returns
        :raises ValueError: if a part of the records has another shape
        :raises IndexError: if a number is not one of theirs
        """
        fields = draw.fields()
        features, actions, following, *_ = fields
        for name, array, columns in (
            ("observations", features, self._features),
            ("next_observations", following, self._features),
            ("actions", actions, self._actions),
        ):
            check_shape(name, array, (len(draw.records), columns))  # machine code reads wherever it is told to
        asked = (draw.gamma, draw.n_steps) if draw.n_steps > 1 else (gamma, 1)
        if asked != self._powers_of:
            self._powers_of, self._powers = asked, _powers(*asked, self._dtype)
        ring = draw.n_envs, draw.newest
        for part in self._parts:
            own = draw.indices[part.rows], fields, ring, self._powers, part.values, part.numbers
            if not kernels().gather(*own, self.batch_size):
                raise IndexError(f"a transition that was drawn is none of the buffer's {len(draw.records)}")

    def _look_at(self, batch: Batch, observations: th.Tensor, next_observations: th.Tensor) -> None:
        """Find the arrays of a batch, and check them: machine code reads and writes wherever it is told to."""
        per_state, per_action, per_transition = self._shapes
        weights = importance_weights(batch)
        columns = (
            batch.rewards.detach().numpy(),
            batch.dones.detach().numpy(),
            self._gammas if batch.discounts is None else batch.discounts.detach().numpy(),
            self._ones if weights is None else weights.detach().numpy(),
        )
        for name, array in zip(("rewards", "dones", "discounts", "weights"), columns, strict=True):
            check_shape(name, array, per_transition)
        arrays = [tensor.detach().numpy() for tensor in (observations, batch.actions, next_observations)]
        check_shape("observations", arrays[0], per_state)
        check_shape("actions", arrays[1], per_action)
        check_shape("next_observations", arrays[2], per_state)
        self._sources = [
            ([array[part.rows] for array in arrays], tuple(column[part.rows] for column in columns))
            for part in self._parts
        ]
        self._batch = batch

    def update(self, max_grad_norm: float | None, tau: float, *, guards: bool, penalty: float = 0.0) -> None:
        """Change both networks and their targets once.

        :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
        :param tau: fraction of the online networks that enters the targets
        :param guards: do not step along a gradient that is not finite
        :param penalty: c of :func:`sb3_ddpg_custom.losses.pre_tanh_penalty`, 0 for none
        """
        constants = [adam.constants_of_step for adam in self._adams]
        if constants != self._constants:
            self._constants, self._options = constants, np.array(constants)
        bound = np.inf if max_grad_norm is None else float(max_grad_norm)
        if not self._may_wake_threads:
            self._compute(bound, float(tau), guards, float(penalty))
            return
        with _ONE_THREAD:
            self._compute(bound, float(tau), guards, float(penalty))

    def _compute(self, bound: float, tau: float, guards: bool, penalty: float) -> None:
        whole = self._parts[0]
        if len(self._parts) == 1:
            room = *whole.next_values, whole.numbers, whole.statistics
            kernels().update(*whole.networks, *room, self._options, bound, tau, guards, penalty)
            return
        own, count, (actor, critic) = kernels(), self.batch_size, whole.networks
        parts = [(*part.networks, *part.next_values, part.numbers, part.statistics, count) for part in self._parts]
        self._helpers.compute(own.critic_gradient, parts)
        self._add_up(1)
        if own.step(critic, self._options[1], whole.statistics, own.CRITIC_NORM, bound, tau, guards):
            acting = [(*part.networks, part.numbers[4], part.statistics, penalty, count) for part in self._parts]
            self._helpers.compute(own.actor_gradient, acting)
            self._add_up(0)
            own.step(actor, self._options[0], whole.statistics, own.ACTOR_NORM, bound, tau, guards)

    def _add_up(self, network: int) -> None:
        """Add the parts' gradients to the first one's."""
        total = self._parts[0].networks[network].gradient
        for part in self._parts[1:]:
            total += part.networks[network].gradient

    def result(self) -> UpdateResult:
        """Give what the update saw; the TD errors are valid until the next one."""
        whole, *others = self._parts
        statistics = whole.statistics.copy()
        for part in others:
            statistics[_SUMS] += part.statistics[_SUMS]
            statistics[_LARGEST] = np.maximum(statistics[_LARGEST], part.statistics[_LARGEST])  # NaN comes through
        if others:
            np.concatenate([part.numbers[3] for part in self._parts], out=self._errors)
        return UpdateResult(th.from_numpy(statistics), self._td_errors)


def _powers(gamma: float, n_steps: int, dtype: Any) -> NDArray[Any]:
    """Give γ⁰ to γⁿ as a batch's discounts have them: n-step returns are computed in float32."""
    powers: NDArray[Any] = gamma ** np.arange(n_steps + 1, dtype=np.float32) if n_steps > 1 else np.array([1, gamma])
    return powers.astype(np.float32 if n_steps > 1 else dtype)
