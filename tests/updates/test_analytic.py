"""The update by hand equals autograd's, number by number, and the networks remain everybody's."""

import copy
import pickle
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import make_batch, make_model, make_policy
from helpers.ways_to_update import BY_HAND, needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common import policies
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.policies import set_weight_decay
from sb3_ddpg_custom.replay.priorities import PrioritizedSamples
from sb3_ddpg_custom.updates import (
    AnalyticUpdate,
    AutogradUpdate,
    CompiledUpdate,
    FlatUpdate,
    Update,
    UpdateStatistics,
    make_update,
    why_not_analytic,
    why_not_compiled,
)
from sb3_ddpg_custom.updates.layers import find_activation

ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.ELU, nn.SiLU, nn.GELU, nn.LeakyReLU]


@pytest.fixture(autouse=True)
def float64_observations(monkeypatch: pytest.MonkeyPatch) -> None:
    """SB3 casts observations to float32, which networks in float64 do not take."""
    as_sb3 = preprocess_obs

    def preprocess(observations: Any, *args: Any, **kwargs: Any) -> Any:
        return observations if observations.dtype == th.float64 else as_sb3(observations, *args, **kwargs)

    monkeypatch.setattr(policies, "preprocess_obs", preprocess)


def states(policy: TD3Policy) -> list[th.Tensor]:
    optimizers = [policy.actor.optimizer.state_dict(), policy.critic.optimizer.state_dict()]
    moments = [state[name] for o in optimizers for state in o["state"].values() for name in ("exp_avg", "exp_avg_sq")]
    return [*policy.state_dict().values(), *moments]


def assert_agree(one: TD3Policy, other: TD3Policy, tolerance: float = 1e-10) -> None:
    for a, b in zip(states(one), states(other), strict=True):
        th.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


@settings(max_examples=60, deadline=None)
@given(
    actor=st.lists(st.integers(1, 9), max_size=3),
    critic=st.lists(st.integers(1, 9), max_size=3),
    activation=st.sampled_from(ACTIVATIONS),
    batch_size=st.integers(1, 12),
    action_dim=st.integers(1, 3),
    n_critics=st.integers(1, 2),
    max_grad_norm=st.sampled_from([None, 0.05, 100.0]),
    weight_decay=st.sampled_from([0.0, 0.3]),
    decoupled=st.booleans(),
    penalty=st.sampled_from([None, 0.0, 0.2, 30.0]),
    n_step=st.booleans(),
    weighted=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_every_number_is_autograds(
    actor: list[int],
    critic: list[int],
    activation: type[nn.Module],
    batch_size: int,
    action_dim: int,
    n_critics: int,
    max_grad_norm: float | None,
    weight_decay: float,
    decoupled: bool,
    penalty: float | None,
    n_step: bool,
    weighted: bool,
    seed: int,
) -> None:
    seen = []
    for update_class in (AutogradUpdate, AnalyticUpdate, CompiledUpdate):
        policy = make_policy(
            net_arch={"pi": actor, "qf": critic},
            activation_fn=activation,
            action_dim=action_dim,
            n_critics=n_critics,
            dtype=th.float64,
        )
        set_weight_decay(policy.critic.optimizer, weight_decay, decoupled=decoupled)
        set_weight_decay(policy.actor.optimizer, weight_decay / 2, decoupled=not decoupled)
        if update_class is CompiledUpdate and why_not_compiled(policy) is not None:
            continue
        update = update_class(policy, tau=0.1, max_grad_norm=max_grad_norm)
        update.pre_tanh_penalty = penalty
        results = []
        for step in range(3):
            batch: Any = make_batch(batch_size, action_dim=action_dim, seed=seed + step, dtype=th.float64)
            column = th.rand(batch_size, 1, generator=th.Generator().manual_seed(seed)).double()
            if n_step:
                batch = batch._replace(discounts=column)
            if weighted:
                batch = PrioritizedSamples(**batch._asdict(), weights=column, indices=np.zeros(batch_size, np.int64))
            result = update(batch, gamma=0.9)
            results += [*result.statistics, result.td_errors.clone()]
        seen.append((policy, results))
    (reference, expected), *others = seen
    for ours, ours_seen in others:
        for a, b in zip(ours_seen, expected, strict=True):
            th.testing.assert_close(a, b, rtol=1e-8, atol=1e-9)
        assert_agree(ours, reference, 1e-8)


@pytest.mark.parametrize("update_class", [AnalyticUpdate, pytest.param(CompiledUpdate, marks=needs_numba)])
def test_nothing_adds_up_over_many_updates(update_class: type[FlatUpdate]) -> None:
    policies = []
    for way in (update_class, AutogradUpdate):
        policy = make_policy(net_arch=[32, 24], dtype=th.float64)
        update: Update = way(policy, tau=0.02)
        for seed in range(300):
            update(make_batch(64, seed=seed, dtype=th.float64), gamma=0.9)
        policies.append(policy)
    ours, reference = policies
    assert_agree(ours, reference)


@pytest.mark.parametrize("update_class", [AnalyticUpdate, pytest.param(CompiledUpdate, marks=needs_numba)])
def test_one_step_by_hand(update_class: type[FlatUpdate]) -> None:
    # One linear actor tanh(w s + b) and one linear critic u s + v a + c, with a single transition and no bootstrap.
    policy: Any = make_policy(net_arch=[], action_dim=1, dtype=th.float64)
    update = update_class(policy, tau=1.0)
    with th.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
        policy.critic.qf0[0].weight[0, 3] = 2.0  # v
        policy.critic_target.qf0[0].weight[0, 3] = 2.0
    one = th.ones(1, 1).double()
    batch = ReplayBufferSamples(th.tensor([[1.0, 0.0, 0.0]]).double(), 0.5 * one, th.zeros(1, 3).double(), one, 3 * one)
    statistics = UpdateStatistics(*update(batch, gamma=0.9).statistics)
    # Q = v a = 1, y = r = 3: loss 4, ∂L/∂Q = -4, so the critic's gradient is -4 (s, a, 1) = -4 (1, 0, 0, 0.5, 1)
    assert statistics.critic_loss == 4.0
    assert statistics.q_mean == 1.0
    gradient_w, gradient_b = update.flat.critic_adam.gradients
    assert gradient_w.tolist() == [[-4.0, 0.0, 0.0, -2.0]]
    assert gradient_b.tolist() == [-4.0]
    # Adam's first step is its step size: v = 2.01; then ∂(-J)/∂w = -v tanh'(0) s = -2.01 (1, 0, 0)
    weight, bias = update.flat.actor_adam.gradients
    np.testing.assert_allclose(weight, [[-2.01, 0.0, 0.0]], atol=1e-9)
    np.testing.assert_allclose(bias, [-2.01], atol=1e-9)


@pytest.mark.parametrize("module", [*(kind() for kind in ACTIVATIONS), nn.ELU(0.5), nn.LeakyReLU(0.3)])
def test_slopes_are_derivatives(module: nn.Module) -> None:
    z = th.linspace(-3, 3, 61, dtype=th.float64).requires_grad_()
    (expected,) = th.autograd.grad(module(z).sum(), z)
    activation = find_activation(module)
    assert activation is not None
    with th.no_grad():
        x, slope = z.detach().clone(), th.ones_like(z)
        activation.apply(x)
        th.testing.assert_close(x, module(z).detach())
        activation.backward(slope, z.detach() if activation.needs_z else x)
    away_from_zero = z.detach().abs() > 1e-9  # where ReLU has no derivative, any of its slopes will do
    th.testing.assert_close(slope[away_from_zero], expected[away_from_zero])


def test_auto_takes_it_for_plain_policies_and_autograd_for_others() -> None:
    assert isinstance(make_model()._update, FlatUpdate)
    assert type(make_model(update="analytic")._update) is AnalyticUpdate
    assert isinstance(make_model(update="autograd")._update, AutogradUpdate)
    other = {"net_arch": [8], "optimizer_class": th.optim.RMSprop}
    assert isinstance(make_model(policy_kwargs=other)._update, AutogradUpdate)
    with pytest.raises(ValueError, match="update='analytic' does not cover this policy: its optimiser is RMSprop"):
        make_model(policy_kwargs=other, update="analytic")


def test_an_activation_that_nobody_derived_goes_through_autograd() -> None:
    policy = make_policy(activation_fn=nn.Softplus)
    assert why_not_analytic(policy) == "its networks are more than linear layers with known activations"
    assert isinstance(make_update("auto", policy, tau=0.1, max_grad_norm=None), AutogradUpdate)


@BY_HAND
def test_learning_is_the_same_within_rounding(update: str) -> None:
    ours, reference = make_model(update=update).learn(120), make_model(update="autograd").learn(120)
    for a, b in zip(ours.policy.state_dict().values(), reference.policy.state_dict().values(), strict=True):
        th.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@BY_HAND
def test_zips_and_optimiser_states_are_sb3s(update: str, tmp_path: Any) -> None:
    import stable_baselines3

    ours = make_model(update=update).learn(60)
    ours.save(tmp_path / "model")
    for reader in (DDPG, stable_baselines3.DDPG):
        loaded = reader.load(tmp_path / "model", env=ours.env)
        for name in ("actor.optimizer", "critic.optimizer"):
            for a, b in zip(
                ours.get_parameters()[name]["state"].values(),
                loaded.get_parameters()[name]["state"].values(),
                strict=True,
            ):
                assert a["step"] == b["step"] == 40
                assert th.equal(a["exp_avg"], b["exp_avg"])
        loaded.learn(30, reset_num_timesteps=False)
    # a saved view must not drag the whole flat tensor along for each parameter
    assert (tmp_path / "model.zip").stat().st_size < 120_000


def put_back(m: DDPG) -> None:
    parameters: Any = copy.deepcopy(m.get_parameters())
    m.set_parameters(parameters)


def load_states(m: DDPG) -> None:
    m.actor.optimizer.load_state_dict(copy.deepcopy(m.actor.optimizer.state_dict()))


def move(m: DDPG) -> None:
    m.policy.to(th.float64).to(th.float32)


def replace_data(m: DDPG) -> None:
    for parameter in m.policy.parameters():
        parameter.data = parameter.data.clone()


def write_in_place(m: DDPG) -> None:
    with th.no_grad():
        for parameter in m.policy.parameters():
            parameter.copy_(parameter.clone())


@BY_HAND
@pytest.mark.parametrize("touch", [put_back, load_states, move, replace_data, write_in_place])
def test_training_goes_on_when_somebody_touches_the_networks(touch: Any, update: str) -> None:
    touched, left = make_model(update=update).learn(50), make_model(update=update).learn(50)
    touch(touched)
    for m in (touched, left):
        np.random.seed(1)
        m.train(gradient_steps=5, batch_size=16)
    for a, b in zip(touched.policy.state_dict().values(), left.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)
    for a in touched.get_parameters()["actor.optimizer"]["state"].values():
        assert a["step"] == 35


@BY_HAND
def test_a_new_weight_is_trained_from_where_it_was_put(update: str) -> None:
    m: Any = make_model(update=update).learn(50)
    with th.no_grad():
        m.actor.mu[0].weight.fill_(0.25)
    m.train(gradient_steps=1, batch_size=16)
    assert (m.actor.mu[0].weight - 0.25).abs().max() < 2e-3


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
@BY_HAND
def test_copies_are_independent(copier: Any, update: str) -> None:
    m = make_model(update=update).learn(50)
    copied = copier(m.policy.actor.mu)
    before = [parameter.clone() for parameter in copied.parameters()]
    m.train(gradient_steps=2, batch_size=16)
    assert all(th.equal(a, b) for a, b in zip(before, copied.parameters(), strict=True))


def test_the_gradient_by_the_action_is_finite_in_bfloat16_whatever_memory_held_before(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # A product with more than four million multiply-adds, 17 actions say, was taken from tensors never written to.
    monkeypatch.setattr("sb3_ddpg_custom.updates.by_hand.products._ENOUGH_FOR_BFLOAT16", 0)
    empty_like = th.empty_like
    monkeypatch.setattr(th, "empty_like", lambda *args, **kwargs: empty_like(*args, **kwargs).fill_(th.nan))
    policies = []
    for precision in ("bfloat16", "float32"):
        policy = make_policy(net_arch=[16, 16])
        result = AnalyticUpdate(policy, tau=0.1, precision=precision)(make_batch(64), gamma=0.9)
        policies.append(result.statistics)
    th.testing.assert_close(*policies, rtol=0.05, atol=0.02)


@BY_HAND
def test_batch_sizes_may_change(update: str) -> None:
    m = make_model(update=update).learn(50)
    for batch_size in (16, 5, 16, 1):
        m.train(gradient_steps=1, batch_size=batch_size)
    assert m._n_updates == 34
