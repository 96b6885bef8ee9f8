"""One update of the whole algorithm: what moves, what stays, and by how much."""

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import make_batch, make_policy
from torch import nn

from sb3_ddpg_custom.replay.priorities import PrioritizedSamples
from sb3_ddpg_custom.updates import AutogradUpdate, UpdateStatistics, make_update

OBSERVATIONS = spaces.Box(-1, 1, (3,), np.float32)
ACTIONS = spaces.Box(-1, 1, (2,), np.float32)


def snapshot(module: nn.Module) -> list[th.Tensor]:
    return [parameter.detach().clone() for parameter in module.parameters()]


def test_update_names_what_exists_when_it_does_not() -> None:
    with pytest.raises(ValueError, match="'auto', 'compiled', 'analytic' or 'autograd'"):
        make_update("analitic", make_policy(), tau=0.5, max_grad_norm=None)  # type: ignore[arg-type]


def test_targets_move_by_tau_towards_the_online_networks_after_the_step() -> None:
    policy = make_policy()
    before = snapshot(policy.actor_target) + snapshot(policy.critic_target)
    AutogradUpdate(policy, tau=0.25)(make_batch(), gamma=0.9)
    online = snapshot(policy.actor) + snapshot(policy.critic)
    after = snapshot(policy.actor_target) + snapshot(policy.critic_target)
    for old, new, target in zip(before, online, after, strict=True):
        assert not th.equal(old, new)
        th.testing.assert_close(target, 0.75 * old + 0.25 * new)


def test_statistics_are_those_of_the_batch_before_the_step() -> None:
    policy, batch = make_policy(), make_batch()
    with th.no_grad():
        q_values = policy.critic(batch.observations, batch.actions)[0]
        next_q = policy.critic_target(batch.next_observations, policy.actor_target(batch.next_observations))[0]
        targets = batch.rewards + (1 - batch.dones) * 0.9 * next_q
    statistics = UpdateStatistics(*AutogradUpdate(policy, tau=0.5)(batch, gamma=0.9).statistics)
    th.testing.assert_close(statistics.q_mean, q_values.mean())
    th.testing.assert_close(statistics.q_max, q_values.max())
    th.testing.assert_close(statistics.td_error, (q_values - targets).abs().mean())
    th.testing.assert_close(statistics.critic_loss, ((q_values - targets) ** 2).mean())
    assert not any(value.requires_grad for value in statistics)


def test_td_errors_of_each_transition_come_back_and_their_weights_go_in() -> None:
    policy, batch = make_policy(), make_batch()
    plain = AutogradUpdate(policy, tau=0.5)(batch, gamma=0.9)
    assert plain.td_errors.shape == (16, 1)
    th.testing.assert_close((plain.td_errors**2).mean(), UpdateStatistics(*plain.statistics).critic_loss)
    weights = th.rand(16, 1)
    weighted = PrioritizedSamples(*batch, weights=weights, indices=np.arange(16))
    result = AutogradUpdate(make_policy(), tau=0.5)(weighted, gamma=0.9)
    assert th.equal(result.td_errors, plain.td_errors)
    seen = UpdateStatistics(*result.statistics)
    th.testing.assert_close(seen.critic_loss, (weights * plain.td_errors**2).mean())
    assert seen.grad_norm_critic < UpdateStatistics(*plain.statistics).grad_norm_critic


def test_a_discount_of_the_batch_replaces_gamma() -> None:
    batch = make_batch()
    with_gamma = AutogradUpdate(make_policy(), tau=0.5)(batch, gamma=0.5)
    with_column = AutogradUpdate(make_policy(), tau=0.5)(batch._replace(discounts=th.full((16, 1), 0.5)), gamma=0.99)
    assert th.equal(with_gamma.statistics, with_column.statistics)


def test_the_actor_step_leaves_the_critic_and_its_gradients_alone() -> None:
    policy, batch = make_policy(), make_batch()
    update = AutogradUpdate(policy, tau=0.5)
    update._critic_step(batch, 0.9)
    weights = snapshot(policy.critic)
    gradients = [parameter.grad.clone() for parameter in policy.critic.parameters() if parameter.grad is not None]
    before = snapshot(policy.actor)
    update._actor_step(batch)
    assert all(th.equal(a, b) for a, b in zip(weights, snapshot(policy.critic), strict=True))
    for parameter, gradient in zip(policy.critic.parameters(), gradients, strict=True):
        assert parameter.grad is not None
        assert th.equal(parameter.grad, gradient)
    assert not any(th.equal(a, b) for a, b in zip(before, snapshot(policy.actor), strict=True))


def test_the_actor_climbs_the_critic() -> None:
    policy, batch = make_policy(), make_batch(256)
    update = AutogradUpdate(policy, tau=0.5)

    def objective() -> float:
        with th.no_grad():
            return policy.critic.q1_forward(batch.observations, policy.actor(batch.observations)).mean().item()

    before = objective()
    for _ in range(20):
        update._actor_step(batch)
    assert objective() > before + 1e-3


def test_gradients_are_clipped_to_the_bound_and_reported_unclipped() -> None:
    batch = make_batch()
    batch = batch._replace(rewards=100 * batch.rewards)
    free, clipped = make_policy(), make_policy()
    unbounded = UpdateStatistics(*AutogradUpdate(free, tau=0.5)(batch, gamma=0.9).statistics)
    bounded = UpdateStatistics(*AutogradUpdate(clipped, tau=0.5, max_grad_norm=0.5)(batch, gamma=0.9).statistics)
    assert unbounded.grad_norm_critic > 5
    th.testing.assert_close(bounded.grad_norm_critic, unbounded.grad_norm_critic)
    norms = [
        th.cat(
            [parameter.grad.flatten() for parameter in policy.critic.parameters() if parameter.grad is not None]
        ).norm()
        for policy in (free, clipped)
    ]
    th.testing.assert_close(norms[0], unbounded.grad_norm_critic)
    th.testing.assert_close(norms[1], th.tensor(0.5), rtol=1e-4, atol=0)


def test_two_critics_take_the_smaller_target_and_add_their_losses() -> None:
    policy, batch = make_policy(n_critics=2), make_batch()
    with th.no_grad():
        next_q = policy.critic_target(batch.next_observations, policy.actor_target(batch.next_observations))
        targets = batch.rewards + (1 - batch.dones) * 0.9 * th.minimum(*next_q)
        expected = sum(((q - targets) ** 2).mean() for q in policy.critic(batch.observations, batch.actions))
    statistics = UpdateStatistics(*AutogradUpdate(policy, tau=0.5)(batch, gamma=0.9).statistics)
    th.testing.assert_close(statistics.critic_loss, expected)


def test_running_statistics_of_batch_norm_are_copied_whole() -> None:
    policy = make_policy()
    for network in (policy.actor, policy.actor_target):
        network.mu = nn.Sequential(nn.BatchNorm1d(3), *network.mu)
    policy.actor.optimizer = th.optim.Adam(policy.actor.parameters())
    policy.set_training_mode(True)
    AutogradUpdate(policy, tau=0.1)(make_batch(), gamma=0.9)
    online = dict(policy.actor.named_buffers())["mu.0.running_mean"]
    target = dict(policy.actor_target.named_buffers())["mu.0.running_mean"]
    assert online.abs().sum() > 0
    assert th.equal(online, target)


def test_a_frozen_layer_of_the_actor_stays() -> None:
    policy = make_policy()
    weight = next(policy.actor.parameters()).requires_grad_(False)
    frozen = weight.clone()
    AutogradUpdate(policy, tau=0.5)(make_batch(), gamma=0.9)
    assert th.equal(weight, frozen)
