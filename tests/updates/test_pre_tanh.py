"""The penalty on what goes into the actor's last tanh: its slope, which policies have it, and what it does."""

import copy
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import make_batch, make_model, make_policy
from stable_baselines3.common.envs import FakeImageEnv
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.losses import actor_loss
from sb3_ddpg_custom.updates import AnalyticUpdate, AutogradUpdate, CompiledUpdate, UpdateStatistics
from sb3_ddpg_custom.updates.pre_tanh import act_and_look, final_tanh

UPDATES = [
    AutogradUpdate,
    AnalyticUpdate,
    pytest.param(CompiledUpdate, marks=pytest.mark.skipif(find_spec("numba") is None, reason="Numba is not installed")),
]
WAYS = ["auto", "analytic", "autograd"]


def weights(model: Any) -> list[th.Tensor]:
    return [tensor.clone() for tensor in model.policy.state_dict().values()]


@pytest.mark.parametrize("update_class", UPDATES)
def test_its_slope_by_hand(update_class: Any) -> None:
    """Two linear actions, z = (s₁, 2 s₂), a critic that is 0 everywhere and has nothing to learn, and c = 2.

    At s = (1, 0, 0) and (0, 1, 0) z is (1, 0) and (0, 2), and 2 c z / (batch · action_dim) = 4 z / 4 = z.
    """
    policy: Any = make_policy(net_arch=[])
    with th.no_grad():
        for parameter in policy.parameters():
            parameter.zero_()
        policy.actor.mu[0].weight.copy_(th.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]))
    update = update_class(policy, tau=1.0)
    update.pre_tanh_penalty = 2.0
    zeros, ones = th.zeros(2, 1), th.ones(2, 1)
    result = update(ReplayBufferSamples(th.eye(3)[:2], th.zeros(2, 2), th.zeros(2, 3), ones, zeros), gamma=0.9)
    assert policy.actor.mu[0].weight.grad.tolist() == [[1.0, 0.0, 0.0], [0.0, 2.0, 0.0]]
    assert policy.actor.mu[0].bias.grad.tolist() == [1.0, 2.0]
    statistics = UpdateStatistics(*result.statistics)
    assert statistics.actor_loss == 0.0  # the penalty is 2 · 5 / 4
    assert statistics.grad_norm_actor == pytest.approx(np.sqrt(10))


@pytest.mark.parametrize("update_class", UPDATES)
def test_the_loss_that_is_seen_is_minus_the_mean_of_q(update_class: Any) -> None:
    seen = []
    for penalty in (None, 10.0):
        policy, batch = make_policy(), make_batch()
        update = update_class(policy, tau=0.5)
        update.pre_tanh_penalty = penalty
        actor = copy.deepcopy(policy.actor)
        statistics = UpdateStatistics(*update(batch, gamma=0.9).statistics)
        with th.no_grad():
            expected = actor_loss(policy.critic.q1_forward(batch.observations, actor(batch.observations)))
        th.testing.assert_close(statistics.actor_loss, expected)
        seen.append(statistics)
    assert seen[0].actor_loss == seen[1].actor_loss
    assert seen[0].grad_norm_actor < seen[1].grad_norm_actor


@pytest.mark.parametrize("update", WAYS)
def test_off_and_zero_are_the_same_bits_and_a_penalty_is_not(update: Any) -> None:
    plain, zero, penalised = (
        weights(make_model(update=update, pre_tanh_penalty=penalty).learn(60)) for penalty in (None, 0.0, 1.0)
    )
    assert all(map(th.equal, plain, zero))
    assert not any(map(th.equal, plain, penalised))


@pytest.mark.parametrize("update", WAYS)
def test_it_keeps_actions_away_from_their_bounds(update: Any) -> None:
    def largest(penalty: float | None) -> float:
        model = make_model(update=update, learning_rate=1e-2, pre_tanh_penalty=penalty).learn(300)
        observations = th.as_tensor(model.replay_buffer.observations[:200, 0])
        return float(act_and_look(model.actor, observations)[1].detach().abs().mean())

    assert largest(30.0) < 0.5 * largest(None)


def test_a_callback_may_change_it_and_copies_of_the_update_keep_it() -> None:
    model = make_model(update="analytic", pre_tanh_penalty=0.5).learn(30)
    assert copy.deepcopy(model._update).pre_tanh_penalty == 0.5
    model.pre_tanh_penalty = 0.25
    model.train(1, 16)
    assert model._update._space.pre_tanh_penalty == 0.25
    model.pre_tanh_penalty = None
    model.train(1, 16)
    assert model._update._space.pre_tanh_penalty is None


def test_it_is_seen_in_bfloat16_too() -> None:
    gradients = []
    for precision in ("float32", "bfloat16"):
        policy = make_policy()
        update = AutogradUpdate(policy, tau=0.5, precision=precision)
        update.pre_tanh_penalty = 50.0
        update(make_batch(), gamma=0.9)
        gradients.append([parameter.grad for parameter in policy.actor.parameters()])
    for a, b in zip(*gradients, strict=True):
        th.testing.assert_close(a, b, rtol=0.1, atol=0.1)


class Scaled(TD3Policy):
    """Its actor has a forward of its own."""

    def make_actor(self, *args: Any, **kwargs: Any) -> Any:
        actor: Any = super().make_actor(*args, **kwargs)
        forward = actor.forward
        actor.forward = lambda observations: 0.5 * forward(observations)
        return actor


class Unsquashed(TD3Policy):
    """Its actor ends in another activation."""

    def make_actor(self, *args: Any, **kwargs: Any) -> Any:
        actor = super().make_actor(*args, **kwargs)
        actor.mu[-1] = nn.Hardtanh()
        return actor


@pytest.mark.parametrize(
    ("policy", "env"),
    [
        (Scaled, "Pendulum-v1"),
        ("CnnPolicy", FakeImageEnv(screen_height=40, screen_width=40, n_channels=1, discrete=False)),
    ],
)
def test_any_policy_whose_actor_ends_in_tanh_has_it(policy: Any, env: Any) -> None:
    plain, penalised = (make_model(env, policy, pre_tanh_penalty=penalty).learn(30) for penalty in (None, 1.0))
    assert isinstance(penalised._update, AutogradUpdate)
    assert not th.equal(plain.actor.mu[0].weight, penalised.actor.mu[0].weight)


def test_other_policies_are_told_so_in_a_sentence() -> None:
    message = r"^pre_tanh_penalty needs an actor that ends in nn\.Tanh, got one whose end is Hardtanh\(.*\)$"
    with pytest.raises(ValueError, match=message):
        make_model(policy=Unsquashed, pre_tanh_penalty=1e-5)
    make_model(policy=Unsquashed, pre_tanh_penalty=0.0).learn(30)
    model = make_model(pre_tanh_penalty=1e-5).learn(30)
    model.actor.mu[-1] = nn.ReLU()
    with pytest.raises(ValueError, match=r"got one whose end is ReLU\(\)"):
        model.train(1, 16)


class Idle(nn.Module):
    """Has a tanh at its end that it does not call."""

    def __init__(self) -> None:
        super().__init__()
        self.tanh = nn.Tanh()

    def forward(self, x: th.Tensor) -> th.Tensor:
        return x


def test_looking_sees_what_goes_into_the_last_tanh_and_leaves_nothing_behind() -> None:
    shared = nn.Tanh()
    actor = nn.Sequential(nn.Flatten(), shared, nn.Linear(2, 2), shared)
    assert final_tanh(actor) is shared
    actions, z = act_and_look(actor, th.ones(3, 2))
    assert z.shape == (3, 2)
    assert th.equal(th.tanh(z), actions)
    assert not shared._forward_pre_hooks
    with pytest.raises(ValueError, match="an actor that calls the tanh it ends in, got Idle"):
        act_and_look(Idle(), th.ones(3, 2))
