"""Goal-conditioned envs with SB3's hindsight experience replay."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch as th
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.envs import BitFlippingEnv
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ddpg_custom import DDPG


def train(algorithm: Any, n_envs: int, strategy: str) -> Any:
    env = DummyVecEnv([lambda: BitFlippingEnv(n_bits=3, continuous=True, max_steps=5)] * n_envs)
    model = algorithm(
        "MultiInputPolicy",
        env,
        replay_buffer_class=HerReplayBuffer,
        replay_buffer_kwargs={"n_sampled_goal": 2, "goal_selection_strategy": strategy},
        action_noise=NormalActionNoise(np.zeros(3), 0.2 * np.ones(3)),
        policy_kwargs={"net_arch": [16]},
        learning_starts=30,
        buffer_size=300,
        batch_size=16,
        seed=4,
        device="cpu",
        **({"update": "autograd"} if algorithm is DDPG else {}),
    )
    return model.learn(150)


@pytest.mark.parametrize("n_envs", [1, 2])
@pytest.mark.parametrize("strategy", ["future", "final", "episode"])
def test_hindsight_is_sb3s_bit_by_bit(n_envs: int, strategy: str) -> None:
    ours, theirs = train(DDPG, n_envs, strategy), train(stable_baselines3.DDPG, n_envs, strategy)
    for one, other in zip(ours.policy.state_dict().values(), theirs.policy.state_dict().values(), strict=True):
        assert th.equal(one, other)


def test_hindsight_survives_saving(tmp_path: Path) -> None:
    model = train(DDPG, 1, "future")
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    loaded = DDPG.load(tmp_path / "model", env=model.env)
    loaded.load_replay_buffer(tmp_path / "buffer", truncate_last_traj=False)
    assert isinstance(loaded.replay_buffer, HerReplayBuffer)
    assert loaded.replay_buffer.size() == 150
    loaded.learn(20, reset_num_timesteps=False)
    assert loaded.num_timesteps == 170
