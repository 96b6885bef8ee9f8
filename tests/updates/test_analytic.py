"""The update by hand equals autograd's, number by number, and the networks remain everybody's."""

import copy
import pickle
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common import policies
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import ConstantSchedule
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.replay.priorities import PrioritizedSamples
from sb3_ddpg_custom.updates import (
    AnalyticUpdate,
    AutogradUpdate,
    CompiledUpdate,
    FlatUpdate,
    Update,
    UpdateStatistics,
    flat,
    make_update,
    why_not_analytic,
    why_not_compiled,
)
from sb3_ddpg_custom.updates.flat import FlatAdam, FlatParameters
from sb3_ddpg_custom.updates.layers import find_activation

needs_numba = pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")
ACTIVATIONS = [nn.ReLU, nn.Tanh, nn.ELU, nn.SiLU, nn.GELU, nn.LeakyReLU]


def make_policy(net_arch: Any, activation: type[nn.Module] = nn.ReLU, action_dim: int = 2, **kwargs: Any) -> TD3Policy:
    """Make a float64 policy; see ``float64_observations``."""
    th.manual_seed(0)
    observations, actions = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (action_dim,), np.float32)
    options: dict[str, Any] = {"n_critics": 1, **kwargs}
    return TD3Policy(
        observations, actions, ConstantSchedule(1e-2), net_arch=net_arch, activation_fn=activation, **options
    ).double()


@pytest.fixture(autouse=True)
def float64_observations(monkeypatch: pytest.MonkeyPatch) -> None:
    """SB3 casts observations to float32, which networks in float64 do not take."""
    as_sb3 = preprocess_obs

    def preprocess(observations: Any, *args: Any, **kwargs: Any) -> Any:
        return observations if observations.dtype == th.float64 else as_sb3(observations, *args, **kwargs)

    monkeypatch.setattr(policies, "preprocess_obs", preprocess)


def make_batch(size: int, action_dim: int = 2, seed: int = 1) -> ReplayBufferSamples:
    generator = th.Generator().manual_seed(seed)

    def normal(width: int) -> th.Tensor:
        return th.randn(size, width, generator=generator).double()

    done = (th.rand(size, 1, generator=generator) < 0.3).double()
    return ReplayBufferSamples(normal(3), normal(action_dim).tanh(), normal(3), done, normal(1))


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
    n_step: bool,
    weighted: bool,
    seed: int,
) -> None:
    seen = []
    for update_class in (AutogradUpdate, AnalyticUpdate, CompiledUpdate):
        policy = make_policy({"pi": actor, "qf": critic}, activation, action_dim, n_critics=n_critics)
        policy.critic.optimizer.param_groups[0]["weight_decay"] = weight_decay
        if update_class is CompiledUpdate and why_not_compiled(policy) is not None:
            continue
        update = update_class(policy, tau=0.1, max_grad_norm=max_grad_norm)
        results = []
        for step in range(3):
            batch: Any = make_batch(batch_size, action_dim, seed + step)
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
        policy = make_policy([32, 24])
        update: Update = way(policy, tau=0.02)
        for seed in range(300):
            update(make_batch(64, seed=seed), gamma=0.9)
        policies.append(policy)
    ours, reference = policies
    assert_agree(ours, reference)


@pytest.mark.parametrize("update_class", [AnalyticUpdate, pytest.param(CompiledUpdate, marks=needs_numba)])
def test_one_step_by_hand(update_class: type[FlatUpdate]) -> None:
    # One linear actor tanh(w s + b) and one linear critic u s + v a + c, with a single transition and no bootstrap.
    policy: Any = make_policy([], action_dim=1)
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


SMALL: dict[str, Any] = {
    "policy_kwargs": {"net_arch": [16, 12]},
    "learning_starts": 20,
    "batch_size": 16,
    "buffer_size": 500,
    "seed": 0,
    "device": "cpu",
}


BY_HAND = pytest.mark.parametrize("update", ["analytic", pytest.param("compiled", marks=needs_numba)])


def model(**kwargs: Any) -> DDPG:
    return DDPG("MlpPolicy", "Pendulum-v1", **{**SMALL, **kwargs})


def test_auto_takes_it_for_plain_policies_and_autograd_for_others() -> None:
    assert isinstance(model()._update, FlatUpdate)
    assert type(model(update="analytic")._update) is AnalyticUpdate
    assert isinstance(model(update="autograd")._update, AutogradUpdate)
    other = {"net_arch": [8], "optimizer_class": th.optim.RMSprop}
    assert isinstance(model(policy_kwargs=other)._update, AutogradUpdate)
    with pytest.raises(ValueError, match="update='analytic' does not cover this policy: its optimiser is RMSprop"):
        model(policy_kwargs=other, update="analytic")


def test_an_activation_that_nobody_derived_goes_through_autograd() -> None:
    policy = make_policy([8], nn.Softplus)
    assert why_not_analytic(policy) == "its networks are more than linear layers with known activations"
    assert isinstance(make_update("auto", policy, tau=0.1, max_grad_norm=None), AutogradUpdate)


@BY_HAND
def test_learning_is_the_same_within_rounding(update: str) -> None:
    ours, reference = model(update=update).learn(120), model(update="autograd").learn(120)
    for a, b in zip(ours.policy.state_dict().values(), reference.policy.state_dict().values(), strict=True):
        th.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@BY_HAND
def test_zips_and_optimiser_states_are_sb3s(update: str, tmp_path: Any) -> None:
    import stable_baselines3

    ours = model(update=update).learn(60)
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
    touched, left = model(update=update).learn(50), model(update=update).learn(50)
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
    m: Any = model(update=update).learn(50)
    with th.no_grad():
        m.actor.mu[0].weight.fill_(0.25)
    m.train(gradient_steps=1, batch_size=16)
    assert (m.actor.mu[0].weight - 0.25).abs().max() < 2e-3


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda policy: pickle.loads(pickle.dumps(policy))])
@BY_HAND
def test_copies_are_independent(copier: Any, update: str) -> None:
    m = model(update=update).learn(50)
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
        policy = make_policy([16, 16]).float()
        result = AnalyticUpdate(policy, tau=0.1, precision=precision)(make_batch(64), gamma=0.9)
        policies.append(result.statistics)
    th.testing.assert_close(*policies, rtol=0.05, atol=0.02)


@BY_HAND
def test_batch_sizes_may_change(update: str) -> None:
    m = model(update=update).learn(50)
    for batch_size in (16, 5, 16, 1):
        m.train(gradient_steps=1, batch_size=batch_size)
    assert m._n_updates == 34


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


def flat_adam(parameters: list[nn.Parameter], **options: Any) -> FlatAdam:
    return FlatAdam(th.optim.Adam(parameters, **options), parameters, FlatParameters(parameters).flat)


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
