"""How one gradient update is computed: an interface, and the ways to implement it."""

from typing import Literal

from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.updates.autograd import AutogradUpdate
from sb3_ddpg_custom.updates.interface import Batch, Update, UpdateResult, UpdateStatistics, importance_weights

__all__ = [
    "AutogradUpdate",
    "Batch",
    "Update",
    "UpdateName",
    "UpdateResult",
    "UpdateStatistics",
    "importance_weights",
    "make_update",
]

UpdateName = Literal["auto", "autograd"]


def make_update(name: UpdateName, policy: TD3Policy, *, tau: float, max_grad_norm: float | None) -> Update:
    """Choose how the gradients are computed.

    :param name: ``"auto"`` takes the fastest way that this policy allows, ``"autograd"`` takes any policy
    :param policy: actor, critic, their targets and optimisers
    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :raises ValueError: if there is no update of that name
    """
    if name in ("auto", "autograd"):
        return AutogradUpdate(policy, tau=tau, max_grad_norm=max_grad_norm)
    raise ValueError(f"update={name!r} does not exist: choose 'auto' or 'autograd'")
