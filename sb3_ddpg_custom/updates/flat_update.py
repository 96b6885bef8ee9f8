"""What the updates by hand share: a plain MLP policy whose parameters lie in flat tensors."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.observation_normalizer import normalizer_of
from sb3_ddpg_custom.updates.flat_policy import FlatPolicy
from sb3_ddpg_custom.updates.interface import Batch, UpdateResult


class FlatUpdate(ABC):
    """An :class:`sb3_ddpg_custom.updates.Update` on a :class:`FlatPolicy`, which it makes anew when the policy changes.

    :param policy: one that :meth:`why_not` has nothing against
    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :raises ValueError: if the update does not cover the policy
    """

    name: ClassVar[str]
    #: attributes that a copy takes over; memory, and operations on it, are each copy's own
    _options: ClassVar[tuple[str, ...]] = ("policy", "tau", "max_grad_norm", "pre_tanh_penalty")
    flat: FlatPolicy
    guards = False
    #: whether :meth:`step` takes a :class:`sb3_ddpg_custom.replay.draw.Draw`, too
    takes_draws = False
    #: draws so many numbers below another from NumPy's global generator; of updates that take draws
    random_integers: Callable[[int, int], NDArray[np.integer]]

    def __init__(self, policy: TD3Policy, *, tau: float, max_grad_norm: float | None = None) -> None:
        self.policy = policy
        self.tau = tau
        self.max_grad_norm = max_grad_norm
        self.pre_tanh_penalty: float | None = None
        self.renew()

    @staticmethod
    @abstractmethod
    def why_not(policy: TD3Policy) -> str | None:
        """Say what about a policy this update does not cover; None if nothing."""

    @abstractmethod
    def _lay_out(self) -> FlatPolicy:
        """Move the policy's parameters into flat tensors, and forget what was made of their old memory."""

    @abstractmethod
    def step(self, batch: Any, gamma: float) -> UpdateResult:
        """Change the networks once, where ``flat.is_known()`` was just asked.

        :param batch: as for :meth:`__call__`; where the update ``takes_draws`` also one that is not gathered yet
        :param gamma: as for :meth:`__call__`
        """

    def __call__(self, batch: Batch, gamma: float) -> UpdateResult:
        """Change the networks once; see :meth:`sb3_ddpg_custom.updates.Update.__call__`."""
        if not self.flat.is_known():
            self.renew()
        return self.step(batch, gamma)

    def renew(self) -> None:
        """Take over a policy in which something was replaced.

        :raises ValueError: if this update does not cover it any more
        """
        reason = self.why_not(self.policy)
        if reason is not None:
            raise ValueError(
                f"update={self.name!r} does not cover this policy: {reason}; use 'auto', 'analytic' or 'autograd'"
            )
        space = self.policy.observation_space
        self.observations_are_features = isinstance(space, spaces.Box) and not is_image_space(space)
        normalizer = normalizer_of(self.policy.actor)
        #: what normalises observations that are features; others are preprocessed as SB3 does it
        self.normalizer = None if normalizer is None or not self.observations_are_features else normalizer.alone
        self.flat = self._lay_out()

    def acts_for(self, policy: TD3Policy) -> bool:
        """Say whether the actor on this memory still is a policy's.

        :param policy: the one that has to act
        """
        return self.policy is policy and self.flat.acts_as_known()

    @property
    def optimizers(self) -> tuple[th.optim.Optimizer, th.optim.Optimizer]:
        """The actor's and the critic's."""
        return self.flat.actor_adam.optimizer, self.flat.critic_adam.optimizer

    def __getstate__(self) -> dict[str, Any]:
        return {name: self.__dict__[name] for name in self._options}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self.renew()

    def _features(self, observations: Any) -> th.Tensor:
        return self._raw_features(observations if self.normalizer is None else self.normalizer(observations))

    def _raw_features(self, observations: Any) -> th.Tensor:
        """Give features, before normalisation where that is done here."""
        if self.observations_are_features:
            flat: th.Tensor = observations if observations.dim() == 2 else observations.flatten(1)
            return flat
        extractor = self.policy.actor.features_extractor
        features: th.Tensor = self.policy.actor.extract_features(observations, extractor)
        return features
