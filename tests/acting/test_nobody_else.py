"""A look at the whole policy before each update is spared only where nobody's code ran that could have changed it."""

from collections.abc import Callable
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from helpers import make_model
from stable_baselines3.common.callbacks import BaseCallback, CallbackList, ConvertCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.utils import LinearSchedule
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ddpg_custom import DDPG, ReplayBuffer
from sb3_ddpg_custom.updates.flat_policy import FlatPolicy
from sb3_ddpg_custom.wrappers import StatsMonitor


def pendulum(**options: Any) -> gym.Env[Any, Any]:
    return gym.make("Pendulum-v1", **options)


def normal() -> NormalActionNoise:
    return NormalActionNoise(np.zeros(1), np.full(1, 0.1))


class Promises(BaseCallback):
    leaves_the_model_alone = True

    def _on_step(self) -> bool:
        return True


class Acts(BaseCallback):
    def _on_step(self) -> bool:
        return True


class OwnWrapper(gym.Wrapper[Any, Any, Any, Any]):
    pass


class OwnNoise(NormalActionNoise):
    pass


class OwnBuffer(ReplayBuffer):
    pass


class OwnVecEnv(DummyVecEnv):
    pass


class OwnDDPG(DDPG):
    pass


def calls_of(monkeypatch: pytest.MonkeyPatch, name: str) -> list[int]:
    """Note each call of a method that looks through the policy."""
    counted: list[int] = []
    look = getattr(FlatPolicy, name)

    def count(self: FlatPolicy) -> bool:
        counted.append(1)
        return bool(look(self))

    monkeypatch.setattr(FlatPolicy, name, count)
    return counted


def looks(monkeypatch: pytest.MonkeyPatch, train: Callable[[], object]) -> int:
    counted = calls_of(monkeypatch, "is_known")
    train()
    return len(counted)


@pytest.mark.parametrize(
    "make",
    [
        lambda: (make_model(), None),
        lambda: (make_model(action_noise=normal()), Promises()),
        lambda: (make_model(action_noise=OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1))), CallbackList([])),
        lambda: (make_model(make_vec_env("Pendulum-v1", 2), action_noise=normal()), None),
        lambda: (make_model(VecNormalize(make_vec_env("Pendulum-v1"))), None),
        lambda: (make_model(learning_rate=LinearSchedule(1e-3, 1e-4, 0.5)), None),
    ],
)
def test_known_code_is_trusted(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, callback = make()
    assert looks(monkeypatch, lambda: model.learn(60, callback)) <= 1  # when the training begins


def test_a_long_training_with_logs_and_episodes_is_trusted_to_its_end(monkeypatch: pytest.MonkeyPatch) -> None:
    model = make_model(action_noise=normal())
    acted = calls_of(monkeypatch, "acts_as_known")
    assert looks(monkeypatch, lambda: model.learn(1700)) <= 1
    assert len(acted) <= 1


def test_so_are_our_wrappers(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    model = make_model(StatsMonitor(pendulum(), tmp_path / "stats.npz"))
    assert looks(monkeypatch, lambda: model.learn(60)) <= 1


def _with_attribute(env: Any) -> Any:
    env.step = lambda action: type(env).step(env, action)
    return env


@pytest.mark.parametrize(
    "make",
    [
        lambda: (make_model(), Acts()),
        lambda: (make_model(), [Promises(), Acts()]),
        lambda: (make_model(), ConvertCallback(lambda *_: True)),
        lambda: (make_model(OwnWrapper(pendulum())), None),
        lambda: (make_model(gym.wrappers.TransformReward(pendulum(), lambda reward: reward)), None),
        lambda: (make_model(gym.wrappers.TimeLimit(OwnWrapper(pendulum()), 50)), None),
        lambda: (make_model(_with_attribute(pendulum())), None),
        lambda: (make_model(OwnVecEnv([pendulum])), None),
        lambda: (make_model(action_noise=OwnNoise(np.zeros(1), np.ones(1))), None),
        lambda: (make_model(replay_buffer_class=OwnBuffer), None),
        lambda: (make_model(learning_rate=lambda _: 1e-3), None),
        lambda: (make_model(critic_learning_rate=lambda _: 1e-3), None),
        lambda: (OwnDDPG("MlpPolicy", "Pendulum-v1", learning_starts=20, batch_size=16), None),
    ],
)
def test_other_peoples_code_is_not(make: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    model, callback = make()
    assert looks(monkeypatch, lambda: model.learn(60, callback)) >= 35


def test_what_an_environment_does_to_the_model_is_trained() -> None:
    class Freezes(gym.Wrapper[Any, Any, Any, Any]):
        model: Any = None
        steps = 0

        def step(self, action: Any) -> Any:
            self.steps += 1
            if self.steps == 40:
                for parameter in self.model.critic.parameters():
                    parameter.requires_grad_(False)
                kept.extend(parameter.clone() for parameter in self.model.critic.parameters())
            return super().step(action)

    kept: list[th.Tensor] = []
    env = Freezes(pendulum())
    env.model = make_model(env)
    env.model.learn(60)
    assert all(map(th.equal, kept, env.model.critic.parameters()))


class Freezes(CallbackList):
    """Does something when everything is set up, and nothing afterwards."""

    def _on_training_start(self) -> None:
        policy: Any = self.model.policy
        for parameter in policy.critic.parameters():
            parameter.requires_grad_(False)


def test_what_a_callback_does_before_the_first_step_is_trained() -> None:
    model: Any = make_model()
    kept = [parameter.clone() for parameter in model.critic.parameters()]
    model.learn(60, Freezes([]))
    assert all(map(th.equal, kept, model.critic.parameters()))
