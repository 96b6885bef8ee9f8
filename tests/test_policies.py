"""Every kind of network that SB3's DDPG trains, ours trains too, and all of its parts move."""

from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import SMALL
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor, FlattenExtractor
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom import DDPG


class Fields(gym.Env[Any, Any]):
    """Random observations of a given space; rewards tell nothing."""

    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def __init__(self, space: spaces.Space[Any]) -> None:
        self.observation_space = space

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.observation_space.seed(seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), float(action[0]), bool(self.np_random.random() < 0.1), False, {}


VECTOR = spaces.Box(-1, 1, (3,), np.float32)
IMAGE = spaces.Box(0, 255, (1, 36, 36), np.uint8)
DICT = spaces.Dict({"image": IMAGE, "vector": VECTOR, "level": spaces.Discrete(3)})


class LayerNormed(BaseFeaturesExtractor):
    def __init__(self, observation_space: spaces.Box, width: int = 6) -> None:
        super().__init__(observation_space, width)
        self.net = nn.Sequential(nn.Linear(3, width), nn.LayerNorm(width), nn.Tanh())

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.net(observations)  # type: ignore[no-any-return]


class BatchNormed(FlattenExtractor):
    def __init__(self, observation_space: spaces.Box) -> None:
        super().__init__(observation_space)
        self.norm = nn.BatchNorm1d(self.features_dim)

    def forward(self, observations: th.Tensor) -> th.Tensor:
        return self.norm(super().forward(observations))  # type: ignore[no-any-return]


class OwnPolicy(TD3Policy):
    """A policy class of a user's own."""


KINDS: dict[str, tuple[Any, spaces.Space[Any], dict[str, Any]]] = {
    "mlp": ("MlpPolicy", VECTOR, {"net_arch": [8]}),
    "mlp without hidden layers": ("MlpPolicy", VECTOR, {"net_arch": []}),
    "mlp of two shapes": ("MlpPolicy", VECTOR, {"net_arch": {"pi": [5], "qf": [7, 6]}, "activation_fn": nn.SiLU}),
    "mlp on an image": ("MlpPolicy", IMAGE, {"net_arch": [4]}),
    "cnn": ("CnnPolicy", IMAGE, {"net_arch": [8]}),
    "cnn, shared": ("CnnPolicy", IMAGE, {"net_arch": [8], "share_features_extractor": True}),
    "dict": ("MultiInputPolicy", DICT, {"net_arch": [8]}),
    "dict, shared": ("MultiInputPolicy", DICT, {"net_arch": [8], "share_features_extractor": True}),
    "layer norm": ("MlpPolicy", VECTOR, {"net_arch": [8], "features_extractor_class": LayerNormed}),
    "layer norm of a width": (
        "MlpPolicy",
        VECTOR,
        {"features_extractor_class": LayerNormed, "features_extractor_kwargs": {"width": 4}, "net_arch": [8]},
    ),
    "batch norm": ("MlpPolicy", VECTOR, {"net_arch": [8], "features_extractor_class": BatchNormed}),
    "own class": (OwnPolicy, VECTOR, {"net_arch": [8]}),
    "three critics": ("MlpPolicy", VECTOR, {"net_arch": [8], "n_critics": 3}),
    "another optimiser": ("MlpPolicy", VECTOR, {"net_arch": [8], "optimizer_class": th.optim.AdamW}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_network_trains_whole(kind: str) -> None:
    policy, space, kwargs = KINDS[kind]
    model = DDPG(policy, Fields(space), tau=0.5, **SMALL | {"policy_kwargs": dict(kwargs)})
    before = {name: value.clone() for name, value in model.policy.named_parameters()}
    model.learn(60)
    for name, value in model.policy.named_parameters():
        assert value.isfinite().all(), name
        # a shared extractor learns from the actor alone, and a critic's copy of it is the actor's own
        assert not th.equal(before[name], value), name


def test_running_statistics_reach_the_targets() -> None:
    model = DDPG("MlpPolicy", Fields(VECTOR), **SMALL | {"policy_kwargs": KINDS["batch norm"][2]}).learn(60)
    buffers = dict(model.policy.named_buffers())
    copied = [name for name in buffers if "target" in name and "running_" in name]
    assert len(copied) == 4
    for name in copied:
        online = buffers[name.replace("_target", "")]
        assert th.equal(buffers[name], online)
        assert not th.equal(online, th.zeros_like(online))


def test_predictions_are_made_with_the_statistics_and_not_with_the_batch() -> None:
    model = DDPG("MlpPolicy", Fields(VECTOR), **SMALL | {"policy_kwargs": KINDS["batch norm"][2]}).learn(60)
    observations = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    together, _ = model.predict(observations)
    alone = [model.predict(one)[0] for one in observations]
    np.testing.assert_allclose(together, alone, atol=1e-6)


def test_the_wrong_policy_for_a_dict_is_refused_in_sb3s_words() -> None:
    with pytest.raises(ValueError, match="MultiInputPolicy"):
        DDPG("MlpPolicy", Fields(DICT), **SMALL)
