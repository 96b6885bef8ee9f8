"""Training is SB3's, bit by bit: the same arguments and seed give the same weights, optimisers and predictions.

It runs against the SB3 that is installed, so a release that changes something turns this red.
"""

from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium import spaces
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecMonitor, VecNormalize
from stable_baselines3.td3.policies import MlpPolicy

from sb3_ddpg_custom import DDPG

OURS = partial(DDPG, update="autograd")


class Reacher(gym.Env[Any, Any]):
    """Move a point towards 0; episodes end by termination, by a time limit, or both at once.

    :param kind: what an observation is: "dict", "image", "box" …
    :param action_space: of any shape and bounds
    """

    def __init__(self, kind: str = "box", action_space: spaces.Box | None = None) -> None:
        parts: dict[str, spaces.Space[Any]] = {
            "box": spaces.Box(-5, 5, (2,), np.float64),
            "image": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "discrete": spaces.Discrete(11),
            "multi-discrete": spaces.MultiDiscrete([11, 3]),
            "multi-binary": spaces.MultiBinary(4),
        }
        self.kind = kind
        self.observation_space = spaces.Dict(parts) if kind == "dict" else parts[kind]
        self.action_space = action_space or spaces.Box(-1, 1, (2,), np.float32)
        self.position = np.zeros(2)

    def observe(self) -> Any:
        cell = int(np.clip(self.position[0] + 5, 0, 10))
        parts = {
            "box": self.position.copy(),
            "image": np.full((36, 36, 1), 20 * cell, np.uint8),
            "discrete": np.int64(cell),
            "multi-discrete": np.array([cell, int(self.position[1] > 0)]),
            "multi-binary": np.array([cell >> bit & 1 for bit in range(4)], dtype=np.int8),
        }
        return parts if self.kind == "dict" else parts[self.kind]

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.position = self.np_random.uniform(-3, 3, 2)
        self.steps = 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.position = np.clip(self.position + 0.5 * np.ravel(action)[:2], -5, 5)
        self.steps += 1
        distance = float(np.abs(self.position).sum())
        return self.observe(), -distance, distance < 0.5, self.steps >= 9, {}


class NormedExtractor(FlattenExtractor):
    """Flatten, then batch norm: running statistics inside the network."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space)
        self.norm = th.nn.BatchNorm1d(self.features_dim)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.norm(super().forward(observations))  # type: ignore[no-any-return]


class ExtractorWithDropout(FlattenExtractor):
    """Draws from torch's generator, which SB3's DDPG moves on with a target noise that it multiplies by 0."""

    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space)
        self.dropout = th.nn.Dropout(0.3)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.dropout(super().forward(observations))  # type: ignore[no-any-return]


class Unsquashed(MlpPolicy):
    """Its actor's output may leave [-1, 1], to which SB3 clips the target's actions."""

    def make_actor(self, features_extractor: Any = None) -> Any:
        actor = super().make_actor(features_extractor)
        actor.mu[-1] = th.nn.Softplus()
        return actor


def pendulum(n_envs: int = 1, **kwargs: Any) -> Any:
    return make_vec_env("Pendulum-v1", n_envs=n_envs, seed=1, **kwargs)


def reacher(*args: Any) -> Any:
    return DummyVecEnv([lambda: stable_baselines3.common.monitor.Monitor(Reacher(*args))] * 2)


def normal(size: int = 1) -> NormalActionNoise:
    return NormalActionNoise(np.zeros(size), 0.2 * np.ones(size))


def ornstein_uhlenbeck() -> OrnsteinUhlenbeckActionNoise:
    return OrnsteinUhlenbeckActionNoise(np.zeros(1), 0.3 * np.ones(1))


def halving(progress: float) -> float:
    return 1e-3 * 2 ** (-4 * (1 - progress))


# name: (policy, env, arguments, steps); every value is made anew for each of the two
CASES: dict[str, Any] = {
    "thousands of updates": lambda: ("MlpPolicy", pendulum(), {"action_noise": normal(), "batch_size": 100}, 2200),
    "several envs": lambda: ("MlpPolicy", pendulum(3), {"action_noise": normal(), "gradient_steps": 2}, 300),
    "as many updates as steps": lambda: ("MlpPolicy", pendulum(3), {"gradient_steps": -1, "train_freq": 5}, 250),
    "episodes": lambda: ("MlpPolicy", pendulum(), {"train_freq": (1, "episode"), "gradient_steps": -1}, 300),
    "OU noise": lambda: ("MlpPolicy", pendulum(), {"action_noise": ornstein_uhlenbeck()}, 250),
    "OU noise, several envs": lambda: ("MlpPolicy", pendulum(2), {"action_noise": ornstein_uhlenbeck()}, 250),
    "VecNormalize": lambda: ("MlpPolicy", VecNormalize(pendulum(2)), {"action_noise": normal()}, 250),
    "n-step returns": lambda: ("MlpPolicy", reacher(), {"n_steps": 3, "buffer_size": 200}, 300),
    "n-step returns, VecNormalize": lambda: ("MlpPolicy", VecNormalize(reacher()), {"n_steps": 4}, 250),
    "Dict observations": lambda: ("MultiInputPolicy", reacher("dict"), {"batch_size": 8}, 90),
    "images": lambda: ("CnnPolicy", reacher("image"), {"batch_size": 8, "buffer_size": 60}, 90),
    "stacked frames": lambda: ("MlpPolicy", VecFrameStack(reacher(), 3), {}, 180),
    "VecMonitor": lambda: ("MlpPolicy", VecMonitor(DummyVecEnv([Reacher])), {}, 180),
    "Discrete observations": lambda: ("MlpPolicy", reacher("discrete"), {}, 180),
    "MultiDiscrete observations": lambda: ("MlpPolicy", reacher("multi-discrete"), {}, 180),
    "MultiBinary observations": lambda: ("MlpPolicy", reacher("multi-binary"), {}, 180),
    "asymmetric float64 actions": lambda: (
        "MlpPolicy",
        reacher("box", spaces.Box(np.array([-3.0, 0.5]), np.array([1.0, 2.0]), dtype=np.float64)),
        {"action_noise": normal(2)},
        180,
    ),
    "actions of two dimensions": lambda: ("MlpPolicy", reacher("box", spaces.Box(-1, 1, (2, 2))), {}, 180),
    "time limits as ends": lambda: (
        "MlpPolicy",
        reacher(),
        {"replay_buffer_kwargs": {"handle_timeout_termination": False}},
        180,
    ),
    "schedule": lambda: ("MlpPolicy", pendulum(), {"learning_rate": halving}, 250),
    "two critics": lambda: ("MlpPolicy", pendulum(), {"policy_kwargs": {"n_critics": 2, "net_arch": [16]}}, 180),
    "networks of their own": lambda: (
        "MlpPolicy",
        pendulum(),
        {"policy_kwargs": {"net_arch": {"pi": [16, 8], "qf": [24]}, "activation_fn": th.nn.ELU}},
        180,
    ),
    "another optimiser": lambda: (
        "MlpPolicy",
        pendulum(),
        {
            "policy_kwargs": {
                "net_arch": [16],
                "optimizer_class": th.optim.RMSprop,
                "optimizer_kwargs": {"alpha": 0.9, "momentum": 0.1},
            }
        },
        180,
    ),
    "shared features": lambda: (
        "CnnPolicy",
        reacher("image"),
        {"batch_size": 8, "policy_kwargs": {"share_features_extractor": True, "net_arch": [8]}},
        80,
    ),
    "dropout": lambda: (
        "MlpPolicy",
        pendulum(),
        {"policy_kwargs": {"features_extractor_class": ExtractorWithDropout, "net_arch": [16]}},
        180,
    ),
    "an actor without tanh": lambda: (Unsquashed, pendulum(), {"policy_kwargs": {"net_arch": [16]}}, 180),
    "batch norm": lambda: (
        "MlpPolicy",
        pendulum(),
        {"policy_kwargs": {"features_extractor_class": NormedExtractor, "net_arch": [16]}},
        180,
    ),
}


def train(algorithm: Any, case: str) -> Any:
    policy, env, arguments, steps = CASES[case]()
    kwargs = {"net_arch": [16, 12], **arguments.pop("policy_kwargs", {})}
    defaults = {"learning_starts": 50, "batch_size": 64, "buffer_size": 2000, "seed": 11, "device": "cpu"}
    model = algorithm(policy, env, policy_kwargs=kwargs, **{**defaults, **arguments})
    model.learn(steps)
    return model


def assert_same(one: Any, other: Any, where: str = "") -> None:
    """Compare nested state dicts bit by bit."""
    assert type(one) is type(other), where
    if isinstance(one, th.Tensor):
        assert th.equal(one, other), where
    elif isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one:
            assert_same(one[key], other[key], f"{where}/{key}")
    elif isinstance(one, list):
        assert len(one) == len(other), where
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}/{index}")
    else:
        assert one == other, where


@pytest.mark.parametrize("case", CASES)
def test_training_is_sb3s_bit_by_bit(case: str) -> None:
    ours, theirs = train(OURS, case), train(stable_baselines3.DDPG, case)
    assert ours._n_updates == theirs._n_updates > 0
    assert_same(ours.get_parameters(), theirs.get_parameters())
    observations = ours.env.reset()
    np.testing.assert_array_equal(ours.predict(observations)[0], theirs.predict(observations)[0])
    assert ours.logger.name_to_value.keys() >= theirs.logger.name_to_value.keys()
    for model in (ours, theirs):
        model.env.close()


def test_training_in_subprocesses_is_sb3s_bit_by_bit() -> None:
    models = []
    for algorithm in (OURS, stable_baselines3.DDPG):
        env = pendulum(2, vec_env_cls=SubprocVecEnv, vec_env_kwargs={"start_method": "fork"})
        models.append(
            algorithm("MlpPolicy", env, seed=2, learning_starts=20, policy_kwargs={"net_arch": [8]}).learn(200)
        )
        env.close()
    assert_same(models[0].get_parameters(), models[1].get_parameters())


def test_two_trainings_in_a_row_are_sb3s_bit_by_bit() -> None:
    models = []
    for algorithm in (OURS, stable_baselines3.DDPG):
        model = algorithm("MlpPolicy", pendulum(), seed=2, learning_starts=20, policy_kwargs={"net_arch": [8]})
        model.learn(150).learn(150, reset_num_timesteps=False).learn(100)
        models.append(model)
    assert_same(models[0].get_parameters(), models[1].get_parameters())
