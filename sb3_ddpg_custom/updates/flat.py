"""Networks whose parameters lie in one flat tensor, and Adam on it.

The parameters stay the policy's own ``nn.Parameter`` objects, and the optimiser keeps its state dict: only their memory
moves, so that one call can read, step or average all of them.
"""

from collections.abc import Sequence
from operator import is_
from typing import Any

import torch as th
from torch.optim.adam import adam

from sb3_ddpg_custom.optimizer import Adam


def _public_adam(
    parameters: Any, gradients: Any, first: Any, second: Any, none: Any, steps: Any, **options: Any
) -> None:
    # It counts the step itself.
    adam(parameters, gradients, first, second, none, [step - 1 for step in steps], fused=True, **options)


# What torch's Adam calls in the end. On small networks all that it does before takes longer than the step.
_step_adam = getattr(th, "_fused_adam_", _public_adam)

# A moment of a unit that never fires shrinks by β a step. Below 1e-38 a float is denormal, which a CPU multiplies up to
# a hundred times slower, and rounding never lets it reach 0. So what has fallen below _TINY is set to 0 often enough
# that nothing gets from there to 1e-38 in between: 0.9 ** 256 is 2e-12, and _TINY · 2e-12 is normal. It makes no
# difference to a step α m / (√v + ε) with ε = 1e-8: √v is 1e-12 there, and an m of 1e-24 moves by 1e-16 α at most.
_TINY = 1e-24
_STEPS_BETWEEN_SWEEPS = 256


class FlatParameters:
    """The parameters of some networks as views of one flat tensor.

    :param parameters: moved into the flat tensor, in this order
    """

    def __init__(self, parameters: Sequence[th.nn.Parameter]) -> None:
        self.parameters = list(parameters)
        self.flat = th.cat([parameter.detach().reshape(-1) for parameter in self.parameters])
        self.views = split_like(self.flat, self.parameters)
        for parameter, view in zip(self.parameters, self.views, strict=True):
            parameter.data = view
        self._addresses = [view.data_ptr() for view in self.views]

    def is_current(self) -> bool:
        """Say whether the parameters still lie here; ``policy.to`` and ``parameter.data = …`` move them away."""
        return list(map(th.Tensor.data_ptr, self.parameters)) == self._addresses


class FlatAdam:
    """torch's Adam, stepping a flat tensor; the optimiser's state lies in flat tensors too.

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
        self._step = [self.steps[0]]
        self._sweep_in = _STEPS_BETWEEN_SWEEPS
        self._rate = th.zeros((), dtype=th.float32, device=flat.device) if rate_on_device else None
        self._rate_there = 0.0
        self._adopt_state()

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
        self._tensors = [state["exp_avg"] for state in self._states]

    def is_current(self) -> bool:
        """Say whether the optimiser's state still lies here; ``load_state_dict`` puts another in its place."""
        return (
            self.optimizer.state is self._state
            and len(self._state) == len(self._states)
            and all(map(is_, [state.get("exp_avg") for state in self._states], self._tensors))
        )

    def step(self) -> None:
        """Descend ``gradient``, with the optimiser's present learning rate and options."""
        self.prepare()
        self.descend()

    def prepare(self) -> None:
        """Do before a step what is Python's: a captured step repeats only what the device does."""
        if self._rate is not None and self.options["lr"] != self._rate_there:
            self._rate_there = self.options["lr"]
            self._rate.fill_(self._rate_there)
        if self.flat.device.type == "cpu":  # others are no slower on denormals
            self._sweep_in -= 1
            if self._sweep_in == 0:
                for moment in (self._first, self._second):
                    moment.masked_fill_(moment.abs() < _TINY, 0.0)
                self._sweep_in = _STEPS_BETWEEN_SWEEPS

    def descend(self) -> None:
        """Descend ``gradient``, once it is prepared."""
        options = self.options
        self.steps += 1
        _step_adam(
            [self.flat],
            [self.gradient],
            [self._first],
            [self._second],
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
        return tuple(self.options[name] for name in ("betas", "weight_decay", "eps"))

    @property
    def constants_of_step(self) -> tuple[float, ...]:
        """All numbers that a step depends on: α, β₁, β₂, ε and the weight decay."""
        options = self.options
        return options["lr"], *options["betas"], options["eps"], options["weight_decay"]


def is_plain_adam(optimizer: th.optim.Optimizer) -> bool:
    """Say whether :class:`FlatAdam` does what an optimiser does."""
    if type(optimizer) not in (th.optim.Adam, Adam) or len(optimizer.param_groups) != 1:
        return False
    group = optimizer.param_groups[0]
    return not any(group.get(option) for option in ("amsgrad", "maximize", "differentiable", "decoupled_weight_decay"))


def split_like(flat: th.Tensor, parameters: Sequence[th.Tensor]) -> list[th.Tensor]:
    """Cut a flat tensor into views of the parameters' shapes."""
    pieces = th.split(flat, [parameter.numel() for parameter in parameters])
    return [piece.view(parameter.shape) for piece, parameter in zip(pieces, parameters, strict=True)]
