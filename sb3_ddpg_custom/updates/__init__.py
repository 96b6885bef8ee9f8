"""How one gradient update is computed: an interface, and the ways to implement it."""

from typing import Literal, get_args

from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.updates.analytic import AnalyticUpdate, why_not_analytic
from sb3_ddpg_custom.updates.autograd import AutogradUpdate
from sb3_ddpg_custom.updates.compiled import WAKES_THREADS, CompiledUpdate, why_no_numba, why_not_compiled
from sb3_ddpg_custom.updates.interface import Batch, Update, UpdateResult, UpdateStatistics, importance_weights
from sb3_ddpg_custom.updates.products import Precision, has_fast_bfloat16

__all__ = [
    "WAKES_THREADS",
    "AnalyticUpdate",
    "AutogradUpdate",
    "Batch",
    "CompiledUpdate",
    "Precision",
    "Update",
    "UpdateName",
    "UpdateResult",
    "UpdateStatistics",
    "has_fast_bfloat16",
    "importance_weights",
    "make_update",
    "why_no_numba",
    "why_not_analytic",
    "why_not_compiled",
]

UpdateName = Literal["auto", "compiled", "analytic", "autograd"]


def make_update(
    name: UpdateName,
    policy: TD3Policy,
    *,
    tau: float,
    max_grad_norm: float | None,
    precision: Precision = "float32",
) -> Update:
    """Choose how the gradients are computed.

    :param name: ``"compiled"`` and ``"analytic"`` take plain MLP policies, ``"autograd"`` any policy, ``"auto"`` the
        first of these that fits; ``"compiled"`` needs Numba
    :param policy: actor, critic, their targets and optimisers
    :param tau: fraction of the online networks that enters the targets after each update
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :param precision: ``"bfloat16"`` computes matrix products in it; parameters, targets and optimisers stay float32
    :raises ValueError: if there is no update or precision of that name, or the update does not cover the policy
    """
    if name not in get_args(UpdateName):
        raise ValueError(f"update={name!r} does not exist: choose 'auto', 'compiled', 'analytic' or 'autograd'")
    if precision not in ("float32", "bfloat16"):
        raise ValueError(f"precision={precision!r} does not exist: choose 'float32' or 'bfloat16'")
    if name == "compiled" and precision != "float32":
        raise ValueError(f"update='compiled' computes in float32, not in precision={precision!r}: use 'analytic'")
    if name == "compiled" or (name == "auto" and precision == "float32" and why_not_compiled(policy) is None):
        return CompiledUpdate(policy, tau=tau, max_grad_norm=max_grad_norm)
    if name == "analytic" or (name == "auto" and why_not_analytic(policy) is None):
        return AnalyticUpdate(policy, tau=tau, max_grad_norm=max_grad_norm, precision=precision)
    return AutogradUpdate(policy, tau=tau, max_grad_norm=max_grad_norm, precision=precision)
