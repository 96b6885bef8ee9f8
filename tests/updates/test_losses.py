"""Every equation of losses.py against numbers worked out by hand, and the policy gradient against autograd."""

import itertools

import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from sb3_ddpg_custom.losses import (
    action_gradients,
    actor_loss,
    critic_loss,
    deterministic_policy_gradient,
    pre_tanh_penalty,
    td_target,
)


def column(*values: float) -> th.Tensor:
    return th.tensor(values).reshape(-1, 1)


def test_td_target_bootstraps_unless_the_task_terminated() -> None:
    targets = td_target(
        rewards=column(1.0, 1.0, -2.0),
        terminated=column(0.0, 1.0, 0.0),
        next_q_values=column(10.0, 10.0, -4.0),
        discounts=0.5,
    )
    assert targets.tolist() == [[6.0], [1.0], [-4.0]]


def test_td_target_takes_a_discount_per_sample() -> None:
    # n-step returns: gamma to the power of the steps that were really summed
    targets = td_target(column(1.0, 1.0), column(0.0, 0.0), column(8.0, 8.0), column(0.5, 0.25))
    assert targets.tolist() == [[5.0], [3.0]]


def test_critic_loss_is_the_mean_squared_error() -> None:
    assert critic_loss(column(1.0, 4.0), column(3.0, 5.0)).item() == 2.5


def test_critic_loss_weighs_each_squared_error() -> None:
    # (1 * 2^2 + 0.5 * 1^2) / 2
    assert critic_loss(column(1.0, 4.0), column(3.0, 5.0), column(1.0, 0.5)).item() == 2.25
    with pytest.raises(ValueError, match=r"weights \(2,\)"):
        critic_loss(column(1.0, 4.0), column(3.0, 5.0), th.ones(2))


def test_actor_loss_is_minus_the_mean_and_not_the_sum() -> None:
    assert actor_loss(column(1.0, 5.0)).item() == -3.0


def test_the_pre_tanh_penalty_is_a_mean_over_batch_and_dimensions() -> None:
    z = th.tensor([[1.0, -2.0], [0.0, 3.0]], requires_grad=True)
    penalty = pre_tanh_penalty(z, 2.0)
    assert penalty.item() == 7.0  # 2 · (1 + 4 + 0 + 9) / 4
    (slope,) = th.autograd.grad(penalty, z)
    assert slope.tolist() == [[1.0, -2.0], [0.0, 3.0]]  # 2 · 2 z / 4


@pytest.mark.parametrize(
    "function", [critic_loss, lambda q, y: td_target(q, y, q, 0.9), lambda q, y: td_target(q, q, q, y)]
)
def test_a_row_for_a_column_is_refused_instead_of_broadcast(function) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=r"\(3, 1\).*\(3,\)"):
        function(th.zeros(3, 1), th.zeros(3))


def test_policy_gradient_of_a_linear_actor_by_hand() -> None:
    # mu(s) = w s and Q(s, a) = -(a - 3)^2: at s = 1, 2 and w = 1, dQ/da = 4, 2 and dmu/dw = s = 1, 2.
    weight = th.tensor([[1.0]], requires_grad=True)
    states = column(1.0, 2.0)
    actions = states @ weight
    slopes = action_gradients(-((actions - 3) ** 2), actions)
    assert slopes.tolist() == [[2.0], [1.0]]  # divided by the batch of 2
    (gradient,) = deterministic_policy_gradient(actions, slopes, [weight])
    assert gradient is not None
    assert gradient.tolist() == [[4.0]]  # 1 * 2 + 2 * 1


def test_policy_gradient_names_the_shapes_that_differ() -> None:
    actions = th.zeros(2, 3, requires_grad=True) * 1
    with pytest.raises(ValueError, match=r"actions \(2, 3\), dj_da \(3, 2\)"):
        deterministic_policy_gradient(actions, th.zeros(3, 2), [])


def test_policy_gradient_of_an_unused_parameter_is_none() -> None:
    used, unused = th.ones(1, 1, requires_grad=True), th.ones(1, requires_grad=True)
    actions = th.ones(2, 1) @ used
    assert deterministic_policy_gradient(actions, th.ones(2, 1), [used, unused])[1] is None


@settings(max_examples=40, deadline=None)
@given(
    widths=st.lists(st.integers(1, 7), min_size=0, max_size=3),
    batch=st.integers(1, 9),
    action_dim=st.integers(1, 4),
    activation=st.sampled_from([nn.ReLU, nn.Tanh, nn.ELU, nn.SiLU]),
    seed=st.integers(0, 2**16),
)
def test_policy_gradient_equals_autograds_gradient_of_the_objective(
    widths: list[int], batch: int, action_dim: int, activation: type[nn.Module], seed: int
) -> None:
    th.manual_seed(seed)

    def network(inputs: int, outputs: int, last: nn.Module) -> nn.Sequential:
        sizes = [inputs, *widths, outputs]
        layers: list[nn.Module] = []
        for before, after in itertools.pairwise(sizes):
            layers += [nn.Linear(before, after), activation()]
        return nn.Sequential(*layers[:-1], last).double()

    actor = network(5, action_dim, nn.Tanh())
    critic = network(5 + action_dim, 1, nn.Identity())
    states = th.randn(batch, 5, dtype=th.float64)
    actions = actor(states)
    q_values = critic(th.cat([states, actions], dim=1))
    expected = th.autograd.grad(q_values.mean(), list(actor.parameters()), retain_graph=True)
    by_hand = deterministic_policy_gradient(actions, action_gradients(q_values, actions), list(actor.parameters()))
    for one, other in zip(by_hand, expected, strict=True):
        assert one is not None
        th.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


def test_policy_gradient_is_the_jacobian_of_the_actor_times_the_slope_of_the_critic() -> None:
    # The explicit product of the notes, with the whole Jacobian written out: (batch, action, parameter).
    th.manual_seed(0)
    actor = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2), nn.Tanh()).double()
    states = th.randn(6, 3, dtype=th.float64)
    slopes = th.randn(6, 2, dtype=th.float64)
    weight = actor[0].weight

    def act(first_weight: th.Tensor) -> th.Tensor:
        actions = th.func.functional_call(actor, {"0.weight": first_weight}, (states,))
        assert isinstance(actions, th.Tensor)
        return actions

    assert isinstance(weight, th.Tensor)
    jacobian = th.autograd.functional.jacobian(act, weight)  # type: ignore[no-untyped-call]
    product = th.einsum("bawx,ba->wx", jacobian, slopes)
    (gradient, *_) = deterministic_policy_gradient(actor(states), slopes, [weight])
    assert gradient is not None
    th.testing.assert_close(gradient, product, rtol=1e-10, atol=1e-10)
