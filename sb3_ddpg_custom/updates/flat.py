"""Networks whose parameters lie in one flat tensor, and Adam on it.

The parameters stay the policy's own ``nn.Parameter`` objects, and the optimiser keeps its state dict: only their memory
moves, so that one call can read, step or average all of them.
"""

from collections.abc import Sequence
from functools import partial
from itertools import accumulate, pairwise
from operator import itemgetter
from typing import Any, NamedTuple

import torch as th
from torch.optim.adam import adam

from sb3_ddpg_custom.policies import QUICK_OPTIMIZERS


def _public_adam(
    parameters: Any, gradients: Any, first: Any, second: Any, none: Any, steps: Any, **options: Any
) -> None:
    # It counts the step itself.
    adam(parameters, gradients, first, second, none, [step - 1 for step in steps], fused=True, **options)


# What torch's Adam calls in the end. On small networks all that it does before takes longer than the step.
_step_adam = getattr(th, "_fused_adam_", _public_adam)
_step_adamw = getattr(th, "_fused_adamw_", partial(_public_adam, decoupled_weight_decay=True))

# Steps between two looks for moments that vanish: 0.9 ** 128 is 1e-6, so what is negligible is not denormal yet.
_STEPS_BETWEEN_SWEEPS = 128


class Negligible(NamedTuple):
    """Sizes below which Adam's moments are set to 0, see :func:`negligible_moments`."""

    first: float
    second: float


def negligible_moments(epsilon: float, dtype: th.dtype) -> Negligible:
    """Tell which moments are too small to matter in a step α m / (√v + ε).

    Moments of a unit that never fires shrink by β a step. Below 1e-38 a float32 is denormal, which a CPU multiplies up
    to a hundred times slower, and rounding never lets it reach 0. How small is too small depends on ε: a √v below a
    rounding error of ε changes nothing in √v + ε, and an m of 1e-16 ε moves a parameter by 1e-16 α at most.

    :param epsilon: ε
    :param dtype: of the moments
    """
    return Negligible(first=1e-16 * epsilon, second=(epsilon * th.finfo(dtype).eps / 8) ** 2)


# Options of torch's Adam that change its formula in ways that no step here follows.
ADAM_VARIANTS = ("amsgrad", "maximize", "differentiable")

# All but the learning rate, and that first.
_CONSTANTS = ("betas", "eps", "weight_decay", "decoupled_weight_decay")
_get_constants = itemgetter("lr", *_CONSTANTS)
_get_variant = itemgetter(*ADAM_VARIANTS)
_PLAIN = (False,) * len(ADAM_VARIANTS)


class FlatParameters:
    """The parameters of some networks as views of one flat tensor.

    :param parameters: moved into the flat tensor, in this order; they stay where they are if they lie so already
    """

    def __init__(self, parameters: Sequence[th.nn.Parameter]) -> None:
        self.parameters = list(parameters)
        flat = _row_of(self.parameters)
        self.flat = th.cat([one.detach().reshape(-1) for one in self.parameters]) if flat is None else flat
        self.views = split_like(self.flat, self.parameters)
        for parameter, view in zip(self.parameters, self.views, strict=True):
            parameter.data = view


class FlatAdam:
    """torch's Adam or AdamW, stepping a flat tensor; the optimiser's state lies in flat tensors too.

    :param optimizer: plain Adam, see :func:`is_plain_adam`
    :param parameters: what it optimises, views of ``flat`` in order
    :param flat: what to step
    :param rate_on_device: keep the learning rate in a tensor beside ``flat``, in float32 (as torch's CUDA kernel wants
        it): then a captured :meth:`descend` follows a schedule
    """

    def __init__(
        self,
        optimizer: th.optim.Optimizer,
        parameters: Sequence[th.nn.Parameter],
        flat: th.Tensor,
        *,
        rate_on_device: bool = False,
    ) -> None:
        self.optimizer = optimizer
        self.parameters = list(parameters)
        self.flat = flat
        self.gradient = th.zeros_like(flat)
        self.gradients = split_like(self.gradient, self.parameters)
        self.moments = self._first, self._second = th.zeros_like(flat), th.zeros_like(flat)
        # One count per parameter, as the optimiser's state has it, in one tensor.
        self.steps = th.zeros(len(self.parameters), dtype=th.float32, device=flat.device)
        self._rate = th.zeros((), dtype=th.float32, device=flat.device) if rate_on_device else None
        self._rate_there = 0.0
        self._others: list[Any] = []
        self._numbers: tuple[float, ...] = ()
        self._kinds_step = type(optimizer).step
        self._kind, self._attributes = type(optimizer), len(optimizer.__dict__)
        self._adopt_state()
        self.find_runs()

    def _adopt_state(self) -> None:
        """Move the optimiser's state, if it has one, into the flat tensors."""
        moments = (split_like(self._first, self.parameters), split_like(self._second, self.parameters))
        for parameter, step, first, second in zip(self.parameters, self.steps, *moments, strict=True):
            state = self.optimizer.state[parameter]
            if state:
                first.copy_(state["exp_avg"])
                second.copy_(state["exp_avg_sq"])
                step.copy_(state["step"])
            state["step"], state["exp_avg"], state["exp_avg_sq"] = step, first, second
        self._state = self.optimizer.state
        self._states = [self._state[parameter] for parameter in self.parameters]
        # Views move with their storage when it is shared with other processes. Of the states the last one stands for
        # all: who replaces counts or moments, or gives them other memory, does it in a loop.
        self._last = self._states[-1]
        self._last_then = self._last.copy()
        self._last_step = self._last["step"]
        self._rows = self.gradient, self._second, self.steps, self._last["exp_avg"]
        self._addresses = [row.data_ptr() for row in self._rows]
        self._steps_version = self.steps._version

    def find_runs(self) -> None:
        """Group parameters that have made as many steps: a parameter that joined later is corrected by its own count.

        Reads the counts, and so waits for the device.
        """
        counts = self.steps.tolist()
        starts = [0, *(k for k in range(1, len(counts)) if counts[k] != counts[k - 1])]
        ends = [0, *accumulate(parameter.numel() for parameter in self.parameters)]
        cuts = [ends[k] for k in starts] + [ends[-1]]
        rows = self.flat, self.gradient, self._first, self._second
        # At every 128th step of the optimiser, whoever made the steps before: a resumed training sweeps as this one.
        self._sweep_in = _STEPS_BETWEEN_SWEEPS - int(max(counts)) % _STEPS_BETWEEN_SWEEPS
        self._runs = [[row[start:end] for start, end in pairwise(cuts)] for row in rows]
        self._step = [self.steps[k] for k in starts]

    def is_current(self) -> bool:
        """Say whether the optimiser still is the Adam that was taken over, on the same parameters, and its state here.

        :raises RuntimeError: where a tensor took the place of another thing: it does not compare
        """
        optimizer, last = self.optimizer, self._last
        groups, state = optimizer.param_groups, optimizer.state
        return (
            state is self._state
            and list(state.values()) == self._states
            and last == self._last_then
            and last["step"] is self._last_step
            and last["exp_avg"].data_ptr() == self._addresses[-1]
            and [row.data_ptr() for row in self._rows] == self._addresses
            # Whoever steps some of the parameters counts them: in place, and so in torch's sight.
            and self.steps._version == self._steps_version
            and len(groups) == 1
            and groups[0]["params"] == self.parameters
            and _get_variant(groups[0]) == _PLAIN
            and len(optimizer.__dict__) == self._attributes
            and type(optimizer) is self._kind
            and self._kind.step is self._kinds_step
        )

    def release(self) -> None:
        """Take back states of parameters without a step: torch makes them anew, as the options then want it."""
        unused = [parameter for parameter, step in zip(self.parameters, self.steps.tolist(), strict=True) if step == 0]
        for parameter in unused:
            self._state.pop(parameter, None)

    def note(self) -> None:
        """Take notice of a step: it was counted here."""
        self._steps_version = self.steps._version

    def step(self) -> None:
        """Descend ``gradient``, with the optimiser's present learning rate and options."""
        self.prepare()
        self.descend()
        self.note()

    def prepare(self) -> None:
        """Do before a step what is Python's: a captured step repeats only what the device does."""
        if self._rate is not None and self.options["lr"] != self._rate_there:
            self._rate_there = self.options["lr"]
            self._rate.fill_(self._rate_there)
        if self.flat.device.type == "cpu":  # others are no slower on denormals
            self._sweep_in -= 1
            if self._sweep_in == 0:
                negligible = negligible_moments(self.options["eps"], self.flat.dtype)
                for moment, size in zip(self.moments, negligible, strict=True):
                    moment.masked_fill_(moment.abs() < size, 0.0)
                self._sweep_in = _STEPS_BETWEEN_SWEEPS

    def descend(self) -> None:
        """Descend ``gradient``, once it is prepared."""
        options = self.options
        parameters, gradients, firsts, seconds = self._runs
        self.steps += 1
        step = _step_adamw if options["decoupled_weight_decay"] else _step_adam
        step(
            parameters,
            gradients,
            firsts,
            seconds,
            [],
            self._step,
            amsgrad=False,
            beta1=options["betas"][0],
            beta2=options["betas"][1],
            lr=options["lr"] if self._rate is None else self._rate,
            weight_decay=options["weight_decay"],
            eps=options["eps"],
            maximize=False,
        )

    @property
    def options(self) -> dict[str, Any]:
        """The optimiser's options as they are now."""
        group: dict[str, Any]
        (group,) = self.optimizer.param_groups
        return group

    @property
    def constants(self) -> tuple[object, ...]:
        """Numbers that a captured :meth:`descend` would keep: all but the learning rate."""
        return tuple(self.options[name] for name in _CONSTANTS)

    @property
    def constants_of_step(self) -> tuple[float, ...]:
        """All numbers that a step depends on: α, β₁, β₂, ε, λ, what is negligible, and 1 where λ is decoupled."""
        rate, *others = _get_constants(self.options)
        if others != self._others:
            (beta1, beta2), epsilon, decay, decoupled = others
            negligible = negligible_moments(float(epsilon), self.flat.dtype)
            self._others = others
            own = float(beta1), float(beta2), float(epsilon), float(decay)
            self._numbers = *own, *negligible, float(bool(decoupled))
        return float(rate), *self._numbers


def _step_of(kind: Any) -> Any:
    # torch puts one wrapper of its own around the step of a class when the first optimiser of it is made.
    return kind.step.__wrapped__ if getattr(kind.step, "hooked", False) else kind.step


_ADAMS_STEP = _step_of(th.optim.Adam)
_KINDS = (*QUICK_OPTIMIZERS, *QUICK_OPTIMIZERS.values())


def _is_adams_step(kind: type) -> bool:
    return _step_of(kind) is _ADAMS_STEP


def is_plain_adam(optimizer: object) -> bool:
    """Say whether :class:`FlatAdam` does what an optimiser does."""
    if not isinstance(optimizer, th.optim.Adam) or type(optimizer) not in _KINDS:
        return False
    if not _is_adams_step(type(optimizer)):
        return False
    if len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    return not any(group.get(option) for option in ADAM_VARIANTS)


def _row_of(parameters: Sequence[th.Tensor]) -> th.Tensor | None:
    """View tensors that lie behind each other in one storage as one flat tensor; None if they do not."""
    first = parameters[0].detach()
    storage, address = first.untyped_storage().data_ptr(), first.data_ptr()
    for one in parameters:
        if one.data_ptr() != address or one.untyped_storage().data_ptr() != storage or not one.is_contiguous():
            return None
        address += one.numel() * one.element_size()
    return first.as_strided((sum(one.numel() for one in parameters),), (1,))


def split_like(flat: th.Tensor, parameters: Sequence[th.Tensor]) -> list[th.Tensor]:
    """Cut a flat tensor into views of the parameters' shapes."""
    pieces = th.split(flat, [parameter.numel() for parameter in parameters])
    return [piece.view(parameter.shape) for piece, parameter in zip(pieces, parameters, strict=True)]
