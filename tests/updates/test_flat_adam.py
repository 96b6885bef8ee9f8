"""Adam on one flat row is torch's."""

from functools import partial
from typing import Any

import pytest
import torch as th
from torch import nn

from sb3_ddpg_custom.policies import AdamW
from sb3_ddpg_custom.updates import (
    flat,
)
from sb3_ddpg_custom.updates.flat import FlatAdam, FlatParameters


def test_moments_of_silent_units_become_zero_and_never_denormal() -> None:
    parameter = nn.Parameter(th.ones(2))
    flat_parameters = FlatParameters([parameter])
    adam = FlatAdam(th.optim.Adam([parameter], lr=1e-3, betas=(0.9, 0.95)), [parameter], flat_parameters.flat)
    adam.gradient.copy_(th.tensor([1e-3, 1e-3]))
    adam.step()
    adam.gradient.copy_(th.tensor([0.0, 1e-3]))
    smallest_normal = th.finfo(th.float32).tiny
    for _ in range(2000):
        adam.step()
        for moment in (adam._first, adam._second):
            assert ((moment == 0) | (moment >= smallest_normal)).all()
    assert adam._first[0] == adam._second[0] == 0
    assert adam._first[1] > 1e-4


@pytest.mark.parametrize("step", [flat._step_adam, flat._public_adam])
def test_flat_adam_is_torchs_adam(step: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(flat, "_step_adam", step)
    th.manual_seed(0)
    ours, reference = nn.Linear(4, 3), nn.Linear(4, 3)
    reference.load_state_dict(ours.state_dict())
    parameters = list(ours.parameters())
    options = {"lr": 3e-3, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.1}
    flat_parameters = FlatParameters(parameters)
    adam = FlatAdam(th.optim.Adam(parameters, **options), parameters, flat_parameters.flat)  # type: ignore[arg-type]
    theirs = th.optim.Adam(reference.parameters(), **options)  # type: ignore[arg-type]
    for _ in range(20):
        for gradient, parameter in zip(adam.gradients, reference.parameters(), strict=True):
            gradient.copy_(th.randn_like(gradient))
            parameter.grad = gradient.clone()
        adam.step()
        theirs.step()
    for a, b in zip(ours.parameters(), reference.parameters(), strict=True):
        th.testing.assert_close(a, b)
        assert adam.optimizer.state[a]["step"] == 20


def flat_adam(parameters: list[nn.Parameter], kind: type[th.optim.Adam] = th.optim.Adam, **options: Any) -> FlatAdam:
    return FlatAdam(kind(parameters, **options), parameters, FlatParameters(parameters).flat)


@pytest.mark.parametrize(("decoupled", "expected"), [(False, [1.9, 1.9]), (True, [1.8, 1.9])])
def test_a_step_with_weight_decay_by_hand(decoupled: bool, expected: list[float]) -> None:
    """α = 0.1, λ = 0.5: the first step of Adam goes α along the gradient's sign.

    L2's gradients are 1 + 0.5 · 2 and 0 + 0.5 · 2; AdamW goes from 2 to 2 - 0.1 · 0.5 · 2 before, and no further where
    the gradient is 0.
    """
    parameter = nn.Parameter(th.full((2,), 2.0, dtype=th.float64))
    adam = flat_adam([parameter], lr=0.1, weight_decay=0.5, decoupled_weight_decay=decoupled)
    adam.gradient.copy_(th.tensor([1.0, 0.0]))
    adam.step()
    assert parameter.tolist() == pytest.approx(expected, abs=1e-8)


@pytest.mark.parametrize("step", [flat._step_adamw, partial(flat._public_adam, decoupled_weight_decay=True)])
@pytest.mark.parametrize("rate_on_device", [False, True])
@pytest.mark.parametrize("kind", [th.optim.AdamW, AdamW, partial(th.optim.Adam, decoupled_weight_decay=True)])
def test_two_hundred_steps_of_adamw_are_torchs(
    step: Any, rate_on_device: bool, kind: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flat, "_step_adamw", step)
    th.manual_seed(0)
    ours, reference = nn.Linear(4, 3).double(), nn.Linear(4, 3).double()
    reference.load_state_dict(ours.state_dict())
    parameters, options = list(ours.parameters()), {"lr": 2**-6, "betas": (0.8, 0.99), "eps": 1e-6, "weight_decay": 0.3}
    row = FlatParameters(parameters).flat
    adam = FlatAdam(kind(parameters, **options), parameters, row, rate_on_device=rate_on_device)
    theirs = th.optim.AdamW(reference.parameters(), **options)  # type: ignore[arg-type]
    for _ in range(200):
        for gradient, parameter in zip(adam.gradients, reference.parameters(), strict=True):
            gradient.copy_(th.randn_like(gradient))
            parameter.grad = gradient.clone()
        adam.step()
        theirs.step()
    for a, b in zip(ours.parameters(), reference.parameters(), strict=True):
        th.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
        for name in ("exp_avg", "exp_avg_sq", "step"):
            th.testing.assert_close(adam.optimizer.state[a][name], theirs.state[b][name], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("scale", [1.0, 1e-12])
@pytest.mark.parametrize("epsilon", [1e-8, 1e-12])
@pytest.mark.parametrize("dtype", [th.float32, th.float64])
def test_small_gradients_step_as_far_as_with_torchs_adam(scale: float, epsilon: float, dtype: th.dtype) -> None:
    """With gradients and an ε of 1e-12 it went to -0.361 where torch's went to -0.300."""
    ours, reference = nn.Parameter(th.zeros(2, dtype=dtype)), nn.Parameter(th.zeros(2, dtype=dtype))
    adam, theirs = flat_adam([ours], lr=1e-3, eps=epsilon), th.optim.Adam([reference], lr=1e-3, eps=epsilon)
    for _ in range(600):
        adam.gradient.fill_(scale)
        reference.grad = th.full_like(reference, scale)
        adam.step()
        theirs.step()
    th.testing.assert_close(ours, reference, rtol=1e-4, atol=0)


def test_a_parameter_that_joins_later_is_corrected_by_its_own_count() -> None:
    ours, reference = [[nn.Parameter(th.zeros(2)) for _ in range(3)] for _ in range(2)]
    optimizers = [th.optim.Adam(parameters, lr=1e-3) for parameters in (ours, reference)]
    for step in range(5):  # the second one is frozen meanwhile
        for parameters, optimizer in zip((ours, reference), optimizers, strict=True):
            for number, parameter in enumerate(parameters):
                parameter.grad = None if number == 1 else th.full((2,), 1.0 + step)
            optimizer.step()
    adam = FlatAdam(optimizers[0], ours, FlatParameters(ours).flat)
    assert len(adam._step) == 3  # runs of parameters with as many steps
    for step in range(5):
        for gradient, parameter in zip(adam.gradients, reference, strict=True):
            gradient.fill_(2.0 - step)
            parameter.grad = gradient.clone()
        adam.step()
        optimizers[1].step()
    for a, b in zip(ours, reference, strict=True):
        th.testing.assert_close(a, b)
    assert [float(adam.optimizer.state[parameter]["step"]) for parameter in ours] == [10, 5, 10]
