"""How one gradient update is computed: an interface, and the ways to implement it."""

from typing import Literal

from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.updates.analytic import AnalyticUpdate, why_not_analytic
from sb3_ddpg_custom.updates.autograd import AutogradUpdate
from sb3_ddpg_custom.updates.interface import Batch, Update, UpdateResult, UpdateStatistics, importance_weights
from sb3_ddpg_custom.updates.products import Precision, has_fast_bfloat16

__all__ = [
    "AnalyticUpdate",
    "AutogradUpdate",
    "Batch",
    "Precision",
    "Update",
    "UpdateName",
    "UpdateResult",
    "UpdateStatistics",
    "has_fast_bfloat16",
    "importance_weights",
    "make_update",
    "why_not_analytic",
]

UpdateName = Literal["auto", "analytic", "autograd"]


def make_update(
    name: UpdateName,
    policy: TD3Policy,
    *,
    tau: float,
    max_grad_norm: float | None,
    precision: Precision = "float32",
) -> Update:
    """Choose how the gradients are computed.

    :param name: ``"analytic"`` takes plain MLP policies, ``"autograd"`` any policy, ``"auto"`` the first that fits
    :param policy: actor, critic, their targets and optimisers
    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :param precision: ``"bfloat16"`` computes matrix products in it; parameters, targets and optimisers stay float32
    :raises ValueError: if there is no update or precision of that name, or the update does not cover the policy
    """
    if name not in ("auto", "analytic", "autograd"):
        raise ValueError(f"update={name!r} does not exist: choose 'auto', 'analytic' or 'autograd'")
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision={precision!r} does not exist: choose 'float32' or 'bfloat16'")
    if name == "analytic" or (name == "auto" and why_not_analytic(policy) is None):
        return AnalyticUpdate(policy, tau=tau, max_grad_norm=max_grad_norm, precision=precision)
    return AutogradUpdate(policy, tau=tau, max_grad_norm=max_grad_norm, precision=precision)
