"""What plays is not what explores: an average of the actor over its last updates, which forgets less than any of them.

Polyak & Juditsky 1992 average the parameters of a stochastic approximation; Nikishin et al. 2018, "Improving Stability
in Deep Reinforcement Learning with Weight Averaging", do so in reinforcement learning. DDPG's actor jumps between
policies of very different returns, and one in their middle returns what the better ones do. While a training is young,
its older actors are bad ones: Shamir & Zhang 2013, arXiv 1212.1824, let the average grow with the number of updates.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import torch as th
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.updates.flat import FlatParameters
from sb3_ddpg_custom.updates.flat_policy import FlatPolicy

AVERAGE = "actor_average"
_PREFIX, _ACTORS = f"{AVERAGE}.", "actor."
_ETA = 4  # η of polynomial-decay averaging: the average spans about 1/(η + 1) of all updates


class AveragingAlgorithm(OffPolicyAlgorithm):
    """Keeps an average of the actor beside it, in the policy; ``ExploringAlgorithm`` predicts with it.

    θ̄ ← (1 - s) θ̄ + s θ after update t, s = max(τ̄, (η + 1) / (t + η)), τ̄ = ``actor_average_tau``, η = 4: it spans the
    last fifth of the updates, and no more than 1/τ̄ of them. Exploration and updates know nothing of it, so that a
    training is the same with and without.
    """

    policy: TD3Policy
    actor_average_tau: float | None
    _is_exploring = False
    #: the average's parameters in one row, and beside which of the actor's they were laid out
    _average_row: tuple[FlatPolicy | None, Any] = (None, None)

    def _make_average(self) -> None:
        """Give the policy an average of its actor, which begins as the actor, or take it away, as the option says."""
        policy: Any = self.policy
        if self.actor_average_tau is None:
            policy._modules.pop(AVERAGE, None)
        if self.actor_average_tau is None or AVERAGE in policy._modules:
            return
        cards = [policy.device] if policy.device.type == "cuda" else []
        with th.random.fork_rng(cards):  # its own first weights are drawn for nothing
            average = policy.make_actor(features_extractor=None)
        average.load_state_dict(policy.actor.state_dict())
        average.requires_grad_(False).set_training_mode(False)
        setattr(policy, AVERAGE, average)

    def _follow_actor(self, updates: int, flat: FlatPolicy | None) -> None:
        """Take the actor as it is now into the average.

        :param updates: that it has made since
        :param flat: what holds its parameters in one row, None where nothing does
        """
        average, actor = average_of(self.policy), self.policy.actor
        if average is None or self.actor_average_tau is None:
            return
        first = max(self._n_updates - updates, 0) + 1  # of these updates
        share = 1 - (1 - max(self.actor_average_tau, (_ETA + 1) / (first + _ETA))) ** updates
        if flat is not None:  # which has no buffers but the normalisation's, and those are shared
            if self._average_row[0] is not flat:
                self._average_row = flat, FlatParameters(list(average.parameters())).flat
            self._average_row[1].lerp_(flat.actor_adam.flat, share)
            return
        with th.no_grad():
            th._foreach_lerp_(list(average.parameters()), list(actor.parameters()), share)
            for own, its in zip(average.buffers(), actor.buffers(), strict=True):  # such as a batch norm's
                own.copy_(its)

    @contextmanager
    def _exploring(self) -> Iterator[None]:
        """Let ``predict`` give the actor's own actions inside of a ``with``."""
        self._is_exploring = True
        try:
            yield
        finally:
            self._is_exploring = False

    def _who_plays(self) -> AbstractContextManager[None]:
        """Let the averaged actor, where there is one and nobody explores, be the actor inside of a ``with``."""
        if self._is_exploring or self.actor_average_tau is None:
            return nullcontext()
        return playing(self.policy)


def average_of(policy: Any) -> Any:
    """Give a policy's averaged actor, None where there is none.

    :param policy: any
    """
    return policy._modules.get(AVERAGE)


@contextmanager
def playing(policy: Any) -> Iterator[None]:
    """Let a policy's averaged actor, where there is one, be its actor inside of a ``with``.

    :param policy: for DDPG
    """
    modules, actor = policy._modules, policy._modules["actor"]
    modules["actor"] = average_of(policy) or actor
    try:
        yield
    finally:
        modules["actor"] = actor


def fitted(state: dict[str, Any], policy: Any) -> dict[str, Any]:
    """Add to a state dict an average that begins at the actor, or take it out, as a policy asks for it.

    :param state: of any policy for DDPG
    :param policy: that takes it over
    """
    if average_of(policy) is None:
        return {name: value for name, value in state.items() if not name.startswith(_PREFIX)}
    if any(name.startswith(_PREFIX) for name in state):
        return state
    actors = {name: value for name, value in state.items() if name.startswith(_ACTORS)}
    return {**state, **{_PREFIX + name.removeprefix(_ACTORS): value for name, value in actors.items()}}


def played_weights(state: dict[str, th.Tensor]) -> dict[str, th.Tensor]:
    """Give the weights of the actor that plays, the averaged one where there is one, by their names in an actor.

    :param state: of a policy
    """
    prefix = _PREFIX if any(name.startswith(_PREFIX) for name in state) else _ACTORS
    return {name.removeprefix(prefix): value for name, value in state.items() if name.startswith(prefix)}
