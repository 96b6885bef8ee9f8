"""The quick way to act is the policy's way, on the policy's own weights."""

import copy
import pickle
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from helpers import make_model
from stable_baselines3.common.callbacks import BaseCallback
from torch import nn

from sb3_ddpg_custom.acting.numpy_actor import NumpyActor
from sb3_ddpg_custom.updates import CompiledUpdate


@pytest.mark.parametrize("activation", [nn.ReLU, nn.Tanh, nn.SiLU])
@pytest.mark.parametrize("net_arch", [[], [5], [12, 8]])
def test_it_computes_what_predict_computes(activation: type[nn.Module], net_arch: list[int]) -> None:
    m = make_model(policy_kwargs={"activation_fn": activation, "net_arch": net_arch})
    act = NumpyActor.of(m._update)
    assert act is not None
    observations = np.random.default_rng(0).normal(size=(6, 3))
    for rows in (observations, observations[:1]):
        predicted, _ = m.predict(rows.astype(np.float32))
        np.testing.assert_allclose(m.policy.unscale_action(act(rows)), predicted, atol=1e-5)


@pytest.mark.parametrize("update", ["auto", "analytic"])
def test_many_envs_act_through_torch_whose_threads_are_torchs(update: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy's threads, once woken, look for work at full speed: sixteen envs doubled the time of each update."""
    m = make_model(update=update, policy_kwargs={"net_arch": [128, 64]})
    act = NumpyActor.of(m._update)
    assert act is not None
    observations = np.random.default_rng(0).normal(size=(64, 3)).astype(np.float32)  # 64 · 128 · 64 = 2 · 64³
    quick = act(observations[:63])
    monkeypatch.setattr(np, "dot", None)
    monkeypatch.setattr(CompiledUpdate, "act", None)
    np.testing.assert_allclose(act(observations)[:63], quick, atol=1e-6)


def test_it_follows_the_weights_wherever_they_go() -> None:
    m: Any = make_model()
    observation = np.ones((1, 3), np.float32)

    def check() -> None:
        act = m._actor
        np.testing.assert_allclose(m.policy.unscale_action(act(observation)), m.predict(observation)[0], atol=1e-5)

    with th.no_grad():
        m.actor.mu[0].weight.fill_(0.3)  # in place
    check()
    for parameter in m.policy.parameters():
        parameter.data = parameter.data * 0.5  # another memory
    check()
    m.learn(60)
    check()
    m.set_parameters(m.get_parameters())
    check()


@pytest.mark.parametrize("kwargs", [{"activation_fn": nn.GELU}, {"optimizer_class": th.optim.RMSprop}])
def test_what_it_does_not_know_goes_through_the_policy(kwargs: dict[str, Any]) -> None:
    m = make_model(policy_kwargs=kwargs)
    assert m._actor is None
    m.learn(30)


def test_actions_of_two_dimensions_go_through_the_policy() -> None:
    class Matrix(gym.Wrapper[Any, Any, Any, Any]):
        def __init__(self) -> None:
            super().__init__(gym.make("Pendulum-v1"))
            self.action_space = gym.spaces.Box(-2, 2, (1, 1))

        def step(self, action: Any) -> Any:
            assert action.shape == (1, 1)
            return self.env.step(action[0])

    m = make_model(Matrix())
    assert m._actor is None
    m.learn(30)


class Look(BaseCallback):
    def _on_step(self) -> bool:
        model: Any = self.model
        pickle.dumps(model.policy)
        self.copied = copy.deepcopy(model.policy)
        return True


def test_a_copy_taken_in_the_middle_of_training_has_modes_of_its_own() -> None:
    m, look = make_model(), Look()
    m.learn(30, callback=look)
    for policy in (m.policy, look.copied):
        assert "set_training_mode" not in policy.__dict__
        policy.set_training_mode(True)
        assert policy.actor.mu[0].training
        policy.set_training_mode(False)
        assert not policy.actor.mu[0].training


class Modes(BaseCallback):
    def _on_step(self) -> bool:
        policy: Any = self.model.policy
        self.seen.append((policy.training, policy.actor.training, policy.critic.training))
        return True

    def _on_training_start(self) -> None:
        self.seen: list[Any] = []


def test_modes_are_as_sb3_sets_them() -> None:
    m, modes = make_model(), Modes()
    m.learn(30, callback=modes)
    assert modes.seen == [(False, False, False)] * 30
    for networks, training in (((m.actor, m.critic), True), ((m.actor_target, m.critic_target), False)):
        assert {module.training for network in networks for module in network.modules()} == {training}
