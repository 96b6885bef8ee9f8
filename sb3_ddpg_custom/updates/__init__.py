"""How one gradient update is computed: an interface, and the ways to implement it."""

from sb3_ddpg_custom.option_values import Precision, UpdateName
from sb3_ddpg_custom.updates.autograd import AutogradUpdate
from sb3_ddpg_custom.updates.by_hand.analytic import AnalyticUpdate
from sb3_ddpg_custom.updates.by_hand.products import has_fast_bfloat16
from sb3_ddpg_custom.updates.choice import FittingUpdate, make_update
from sb3_ddpg_custom.updates.compiled.memory import WAKES_THREADS
from sb3_ddpg_custom.updates.compiled.update import CompiledUpdate, why_no_numba, why_not_compiled
from sb3_ddpg_custom.updates.flat_update import FlatUpdate
from sb3_ddpg_custom.updates.interface import Batch, Update, UpdateResult, UpdateStatistics, importance_weights
from sb3_ddpg_custom.updates.plain_policy import why_not_analytic

__all__ = [
    "WAKES_THREADS",
    "AnalyticUpdate",
    "AutogradUpdate",
    "Batch",
    "CompiledUpdate",
    "FittingUpdate",
    "FlatUpdate",
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
