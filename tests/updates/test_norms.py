"""Layer norms by hand: every number is autograd's, in each update and each way to act."""

from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import make_batch, make_model
from helpers.ways_to_update import BY_HAND, needs_numba
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common import policies
from stable_baselines3.common.preprocessing import preprocess_obs
from stable_baselines3.common.utils import ConstantSchedule
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom import ParameterNoise
from sb3_ddpg_custom.layer_norm import LayerNormPolicy
from sb3_ddpg_custom.updates import (
    AnalyticUpdate,
    AutogradUpdate,
    CompiledUpdate,
    why_not_analytic,
    why_not_compiled,
)
from sb3_ddpg_custom.updates.by_hand.mlp import layers_of
from sb3_ddpg_custom.updates.by_hand.norm import Norm

pytestmark = pytest.mark.usefixtures("float64_networks")


def make_normed(where: Any = "both", *, action_dim: int = 2, **kwargs: Any) -> TD3Policy:
    """Make a policy in float64, whose norms have scales and shifts of all sizes, and a silent unit's too."""
    th.manual_seed(0)
    observations, actions = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (action_dim,), np.float32)
    options = {"net_arch": [8, 6], "n_critics": 1, "layer_norm": where, **kwargs}
    policy = LayerNormPolicy(observations, actions, ConstantSchedule(1e-2), **options).double()
    for network in (policy.actor, policy.critic, policy.actor_target, policy.critic_target):
        for module in network.modules():
            if isinstance(module, nn.LayerNorm):
                nn.init.normal_(module.weight)
                nn.init.normal_(module.bias)
    return policy


def assert_agree(one: Any, other: Any, tolerance: float = 1e-9) -> None:
    for a, b in zip(states(one), states(other), strict=True):
        th.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)


def states(policy: Any) -> list[th.Tensor]:
    optimizers = [policy.actor.optimizer.state_dict(), policy.critic.optimizer.state_dict()]
    moments = [state[name] for o in optimizers for state in o["state"].values() for name in ("exp_avg", "exp_avg_sq")]
    gradients = [parameter.grad for network in (policy.actor, policy.critic) for parameter in network.parameters()]
    return [*policy.state_dict().values(), *moments, *gradients]


@settings(max_examples=40, deadline=None)
@given(
    where=st.sampled_from(["critic", "actor", "both"]),
    actor=st.lists(st.integers(1, 19), max_size=3),
    critic=st.lists(st.integers(1, 19), max_size=3),
    activation=st.sampled_from([nn.ReLU, nn.ReLU, nn.Tanh, nn.ELU, nn.SiLU, nn.GELU]),
    batch_size=st.sampled_from([1, 2, 5, 7, 16, 33]),
    action_dim=st.integers(1, 3),
    n_critics=st.sampled_from([1, 1, 2]),
    max_grad_norm=st.sampled_from([None, 0.05]),
    weight_decay=st.sampled_from([0.0, 0.3]),
)
def test_every_number_is_autograds(
    where: str,
    actor: list[int],
    critic: list[int],
    activation: type[nn.Module],
    batch_size: int,
    action_dim: int,
    n_critics: int,
    max_grad_norm: float | None,
    weight_decay: float,
) -> None:
    seen = []
    for update_class in (AutogradUpdate, AnalyticUpdate, CompiledUpdate):
        policy = make_normed(
            where,
            net_arch={"pi": actor, "qf": critic},
            activation_fn=activation,
            action_dim=action_dim,
            n_critics=n_critics,
        )
        policy.critic.optimizer.param_groups[0]["weight_decay"] = weight_decay
        if update_class is CompiledUpdate and why_not_compiled(policy) is not None:
            continue
        update = update_class(policy, tau=0.1, max_grad_norm=max_grad_norm)
        results: list[th.Tensor] = []
        for step in range(2):
            result = update(make_batch(batch_size, action_dim=action_dim, seed=step, dtype=th.float64), gamma=0.9)
            results += [*result.statistics, result.td_errors.clone()]
        seen.append((policy, results))
    (reference, expected), *others = seen
    for ours, ours_seen in others:
        for a, b in zip(ours_seen, expected, strict=True):
            th.testing.assert_close(a, b, rtol=1e-7, atol=1e-8)
        # Adam divides by the size of a gradient: where one is a rounding error, so is its sign.
        assert_agree_where_gradients_are(ours, reference)


def assert_agree_where_gradients_are(one: Any, other: Any) -> None:
    for name in ("actor", "critic"):
        for a, b in zip(getattr(one, name).parameters(), getattr(other, name).parameters(), strict=True):
            th.testing.assert_close(a.grad, b.grad, rtol=1e-6, atol=1e-8)
            there = b.grad.abs() > 1e-6
            th.testing.assert_close(a[there], b[there], rtol=1e-6, atol=1e-7)


@needs_numba
@pytest.mark.parametrize("where", ["critic", "actor", "both"])
def test_relu_networks_are_compiled(where: str) -> None:
    assert why_not_compiled(make_normed(where)) is None
    assert type(make_model(policy_kwargs={"layer_norm": where})._update) is CompiledUpdate


@pytest.mark.parametrize("update_class", [AnalyticUpdate, pytest.param(CompiledUpdate, marks=needs_numba)])
def test_nothing_adds_up_over_many_updates(update_class: Any) -> None:
    trained = []
    for way in (update_class, AutogradUpdate):
        policy = make_normed(net_arch=[32, 24])
        update = way(policy, tau=0.02)
        for seed in range(200):
            update(make_batch(64, seed=seed, dtype=th.float64), gamma=0.9)
        trained.append(policy)
    ours, reference = trained
    assert_agree(ours, reference, 1e-7)


@BY_HAND
def test_learning_is_the_same_within_rounding(update: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policies, "preprocess_obs", preprocess_obs)
    kwargs = {"policy_kwargs": {"layer_norm": "both"}, "learning_rate": 1e-4}
    ours, reference = (make_model(update=way, **kwargs).learn(120) for way in (update, "autograd"))
    assert ours._update.name == update
    for a, b in zip(ours.policy.state_dict().values(), reference.policy.state_dict().values(), strict=True):
        th.testing.assert_close(a, b, rtol=1e-3, atol=2e-4)


def test_there_and_back_by_hand() -> None:
    # Two units, z = (1, 3): mean 2, variance 1, n = (-1, 1); g = (10, 1), h = (0, 0.5): v = (-10, 1.5)
    z, out, delta = th.tensor([[1.0, 3.0]]), th.zeros(1, 2), th.tensor([[1.0, 4.0]])
    norm = Norm([th.tensor([10.0, 1.0]), th.tensor([0.0, 0.5])], 0.0, z, out, delta)
    norm.forward()
    assert out.tolist() == [[-10.0, 1.5]]
    into_scale, into_shift = th.zeros(2), th.zeros(2)
    norm.train(into_scale, into_shift)
    # ∂L/∂g = δ n = (-1, 4), ∂L/∂h = δ. d = (10, 4), mean 7, mean d n = -3: (10 - 7 - 3, 4 - 7 + 3) = (0, 0),
    # as it has to be: two numbers made mean 0 and variance 1 say nothing but which is the larger.
    assert into_scale.tolist() == [-1.0, 4.0]
    assert into_shift.tolist() == [1.0, 4.0]
    np.testing.assert_allclose(delta, [[0, 0]], atol=1e-5)


@needs_numba
def test_the_kernels_by_hand() -> None:
    from sb3_ddpg_custom.updates.compiled import kernels

    # One input, three units, one output, one row. Parameters: W 3, b 3, g 3, h 3, then W 3 and b 1.
    layers = kernels.layout([1, 3, 1], 1, [True, False])
    assert layers.tolist() == [[1, 3, 0, 3, 0, 1, 5], [3, 1, 12, 15, 1, 4, -1]]
    assert kernels.room(layers, 1) == 9
    assert [kernels.end_of(layers, part) for part in range(6)] == [3, 6, 9, 12, 15, 16]
    parameters = np.array([*(1, 1, 4), *(0, 0, 0), *(1, 2, 3), *(5, 6, 7), *(1, 1, 1), 0], np.float64)
    values, deltas = np.zeros(9), np.zeros(9)
    values[0] = 1
    # z = (1, 1, 4): mean 2, variance 2, n = (-1, -1, 2) / √2; v = n g + h = (5, 6, 7) + (-1, -2, 6) / √2
    root = np.sqrt(2)
    q = kernels.forward(layers, parameters, values, 1)
    np.testing.assert_allclose(q, [[18 + 3 / root]], rtol=1e-4)
    np.testing.assert_allclose(values[5:9], [-1 / root, -1 / root, 2 / root, 1 / root], rtol=1e-4)
    deltas[4] = 1
    kernels.backward(layers, parameters, values, deltas, 1)
    # d = g = (1, 2, 3): mean 2, mean d n = 1 / √2; (-1 + 1/2, 0 + 1/2, 1 - 1) / √2
    np.testing.assert_allclose(deltas[1:4], [-0.5 / root, 0.5 / root, 0], atol=1e-4)
    assert deltas[5:8].tolist() == [1, 1, 1]
    zeros = np.zeros(16)
    network = kernels.Network(
        layers, parameters, values, deltas, zeros.copy(), zeros, zeros, zeros, np.zeros(6, np.float32)
    )
    kernels.parameter_gradients(network, np.ones(1))
    np.testing.assert_allclose(network.gradient[6:9], [-1 / root, -1 / root, 2 / root], rtol=1e-4)
    assert network.gradient[9:12].tolist() == [1, 1, 1]


@BY_HAND
@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_quick_ways_to_act_are_the_policys(update: str, n_envs: int) -> None:
    m = make_model(update=update, policy_kwargs={"layer_norm": "actor", "net_arch": [7, 5]})
    with th.no_grad():
        for parameter in m.actor.parameters():
            parameter.add_(0.3 * th.randn(parameter.shape))
    m.policy.double()
    m.train(0)
    m._fit_update(anew=True)
    observations = np.random.default_rng(1).normal(size=(n_envs, 3)).astype(np.float32)
    quick = m._actor(observations)
    assert quick.shape == (n_envs, 1)
    with th.no_grad():
        np.testing.assert_allclose(quick, m.actor(th.from_numpy(observations)).numpy(), rtol=1e-9)


def test_parameter_noise_takes_one_product_per_layer_for_all_envs() -> None:
    from stable_baselines3.common.env_util import make_vec_env

    def make() -> Any:
        noise = ParameterNoise(0.2, adapt_every_steps=10)
        env = make_vec_env("Pendulum-v1", 3)
        m = make_model(env, policy_kwargs={"layer_norm": "both"}, parameter_noise=noise)
        m.policy.double()
        return m.learn(90)

    m: Any = make()
    acting = m._perturbed_actor._acting
    assert acting._goes_by_layers
    observations = th.randn(3, 3)
    m._perturbed_actor(observations.numpy())
    th.testing.assert_close(acting(observations), acting._one_by_one(observations), rtol=1e-9, atol=1e-12)
    # Scales and shifts get no noise.
    assert th.equal(acting.weights["mu.1.weight"][0], acting.weights["mu.1.weight"][1])
    assert not th.equal(acting.weights["mu.0.weight"][0], acting.weights["mu.0.weight"][1])


def plain_norms(*shapes: Any, **options: Any) -> nn.Sequential:
    return nn.Sequential(nn.Linear(3, 8), nn.LayerNorm(*shapes, **options), nn.ReLU(), nn.Linear(8, 2))


def test_what_is_a_layer_and_what_is_none() -> None:
    assert [layer.norm is None for layer in layers_of(plain_norms(8))] == [False, True]
    assert layers_of(plain_norms(8, elementwise_affine=False)) == []
    assert layers_of(plain_norms(8, bias=False)) == []
    assert layers_of(nn.Sequential(nn.LayerNorm(3), nn.Linear(3, 2))) == []
    assert layers_of(nn.Sequential(nn.Linear(3, 2), nn.ReLU(), nn.LayerNorm(2))) == []
    assert layers_of(nn.Sequential(nn.Linear(3, 2), nn.LayerNorm(2), nn.LayerNorm(2))) == []
    assert layers_of(nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2), nn.ReLU())) == []


def test_a_forward_of_torchs_class_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = make_normed()
    assert why_not_analytic(policy) is None
    forward = nn.LayerNorm.forward
    monkeypatch.setattr(nn.LayerNorm, "forward", lambda self, x: 2 * forward(self, x))
    assert why_not_analytic(policy) == "a method of SB3's or torch's classes was replaced"


class Own(TD3Policy):
    """A policy whose user put norms into it."""

    def make_critic(self, features_extractor: Any = None) -> Any:
        critic: Any = super().make_critic(features_extractor)
        critic.qf0 = nn.Sequential(nn.Linear(4, 9), nn.LayerNorm(9), nn.ReLU(), nn.Linear(9, 1))
        critic.q_networks = [critic.qf0]
        return critic


@BY_HAND
def test_norms_that_a_user_put_there_are_served(update: str) -> None:
    trained = []
    for way in (update, "autograd"):
        m = make_model(policy=Own, update=way)
        m.policy.double()
        trained.append(m.learn(60))
        assert m._update.name == way
    for a, b in zip(*(m.policy.state_dict().values() for m in trained), strict=True):
        th.testing.assert_close(a, b, rtol=1e-7, atol=1e-8)


def test_in_bfloat16_products_are_rounded_and_norms_are_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_ddpg_custom.updates.by_hand.products._ENOUGH_FOR_BFLOAT16", 0)
    seen = []
    precisions: tuple[Any, ...] = "bfloat16", "float32"
    for precision in precisions:
        policy = make_normed(net_arch=[16, 16]).float()
        seen.append(AnalyticUpdate(policy, tau=0.1, precision=precision)(make_batch(64), gamma=0.9).statistics)
    th.testing.assert_close(*seen, rtol=0.1, atol=0.05)
