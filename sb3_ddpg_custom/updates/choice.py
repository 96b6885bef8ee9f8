"""Which way to update fits a policy, and who goes to another one when the policy changes."""

import logging
from typing import Any, NamedTuple, get_args

from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.option_values import Precision, UpdateName
from sb3_ddpg_custom.updates.autograd import AutogradUpdate
from sb3_ddpg_custom.updates.by_hand.analytic import AnalyticUpdate
from sb3_ddpg_custom.updates.compiled.update import CompiledUpdate, why_not_compiled
from sb3_ddpg_custom.updates.flat_update import FlatUpdate
from sb3_ddpg_custom.updates.interface import Update
from sb3_ddpg_custom.updates.plain_policy import why_not_analytic

_WORDS = {"compiled": "compiled", "analytic": "by hand", "autograd": "through autograd"}

_log = logging.getLogger(__name__)


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
    _check_names(name, precision)
    way = _first_that_fits(policy, precision)[0] if name == "auto" else name
    if way == "compiled":
        return CompiledUpdate(policy, tau=tau, max_grad_norm=max_grad_norm)
    kind = AnalyticUpdate if way == "analytic" else AutogradUpdate
    return kind(policy, tau=tau, max_grad_norm=max_grad_norm, precision=precision)


def _check_names(name: str, precision: str) -> None:
    if name not in get_args(UpdateName):
        raise ValueError(f"update={name!r} does not exist: choose 'auto', 'compiled', 'analytic' or 'autograd'")
    if precision not in get_args(Precision):
        raise ValueError(f"precision={precision!r} does not exist: choose 'float32' or 'bfloat16'")
    if name == "compiled" and precision != "float32":
        raise ValueError(f"update='compiled' computes in float32, not in precision={precision!r}: use 'analytic'")


def _first_that_fits(
    policy: TD3Policy, precision: Precision, name: UpdateName = "auto"
) -> tuple[UpdateName, str | None]:
    """Go from the quickest way to the one that fits every policy; say what was against the one before, if anything."""
    reason = None
    if name in ("auto", "compiled") and precision == "float32":
        reason = why_not_compiled(policy)
        if reason is None:
            return "compiled", None
    if name != "autograd":
        why_not = why_not_analytic(policy)
        if why_not is None:
            return "analytic", reason
        reason = why_not
    return "autograd", reason


class _Options(NamedTuple):
    policy: TD3Policy
    tau: float
    max_grad_norm: float | None


class FittingUpdate:
    """Goes to another way to update, and back, when a script changes the policy or what it asks for.

    The optimisers' states are the policy's own in every way, so nothing has to be carried over.

    :param name: see :func:`make_update`
    :param policy: see :func:`make_update`
    :param precision: see :func:`make_update`
    :param tau: see :func:`make_update`
    :param max_grad_norm: see :func:`make_update`
    :raises ValueError: as :func:`make_update`
    """

    def __init__(
        self, name: UpdateName, policy: TD3Policy, precision: Precision, tau: float, max_grad_norm: float | None
    ) -> None:
        self.current = make_update(name, policy, tau=tau, max_grad_norm=max_grad_norm, precision=precision)
        self._asked = name, precision
        self._said: set[tuple[str, str | None]] = set()

    @property
    def current(self) -> Update:
        """The present way."""
        return self._current

    @current.setter
    def current(self, update: Update) -> None:
        self._current = update
        #: the present way where it works on the policy's parameters in flat memory, else None; asked for at every step
        self.by_hand = update if isinstance(update, FlatUpdate) else None

    def fit(self, name: UpdateName, policy: TD3Policy, precision: Precision, *, anew: bool = False) -> Update:
        """Give the way to update that fits now.

        :param name: what is asked for; where it does not fit any more, the next way that does is taken
        :param policy: as it is now
        :param precision: of the products
        :param anew: look at everything, not only at what is cheap to see
        :raises ValueError: if there is no update or precision of that name
        """
        update, asked = self.current, (name, precision)
        if not anew and isinstance(update, FlatUpdate) and self._is_as_asked(update, policy, asked):
            return update
        if type(update) not in (CompiledUpdate, AnalyticUpdate, AutogradUpdate):
            return update  # somebody's own
        assert isinstance(update, FlatUpdate | AutogradUpdate)  # noqa: S101 (for mypy)
        same = update.policy is policy and asked == self._asked
        if same and name == "autograd":
            if anew and isinstance(update, AutogradUpdate):
                update.look()
            return update
        by_hand = self.by_hand
        _check_names(name, precision)
        way, reason = _first_that_fits(policy, precision, name)
        if not same or way != update.name:
            if by_hand is not None:
                by_hand.flat.release()
            tau, bound = update.tau, update.max_grad_norm
            self.current = make_update(way, policy, tau=tau, max_grad_norm=bound, precision=precision)
            if way != update.name and asked == self._asked:
                self._say(way, reason)
            self._asked = asked
        elif by_hand is not None and by_hand.flat.is_known():
            by_hand.flat.remember()
        elif by_hand is not None:
            by_hand.renew()
        return self.current

    def __getstate__(self) -> dict[str, Any]:
        update: Any = self.current
        if type(update) in (CompiledUpdate, AnalyticUpdate, AutogradUpdate):
            update = _Options(update.policy, update.tau, update.max_grad_norm)
        name, precision = self._asked
        return {"name": name, "precision": precision, "update": update, "said": self._said}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # A copy, or a process without Numba, takes what fits there.
        name, precision, update = state["name"], state["precision"], state["update"]
        self._asked, self._said = (name, precision), state["said"]
        self.current = update
        if isinstance(update, _Options):
            way, _ = _first_that_fits(update.policy, precision, name)
            tau, bound = update.tau, update.max_grad_norm
            self.current = make_update(way, update.policy, tau=tau, max_grad_norm=bound, precision=precision)

    def _is_as_asked(self, update: FlatUpdate, policy: TD3Policy, asked: tuple[str, str]) -> bool:
        return update.policy is policy and asked == self._asked and update.flat.is_known()

    def _say(self, way: UpdateName, reason: str | None) -> None:
        # Once: a script may freeze and thaw a layer a thousand times.
        if (way, reason) not in self._said:
            self._said.add((way, reason))
            _log.warning("updates go on %s: %s", _WORDS[way], reason or "what stood against it is gone")
