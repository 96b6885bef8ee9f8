"""What several test modules make: a small model, policy or batch, always the same."""

import subprocess
from collections.abc import Callable
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import ConstantSchedule
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom import DDPG

#: the ``ddpg`` fixture: calls the command in this process
Ddpg = Callable[..., subprocess.CompletedProcess[str]]

#: keywords of a model that trains in a moment
SMALL: dict[str, Any] = {
    "policy_kwargs": {"net_arch": [16, 12]},
    "learning_starts": 20,
    "batch_size": 16,
    "buffer_size": 500,
    "seed": 0,
    "device": "cpu",
}


def make_model(env: Any = "Pendulum-v1", policy: Any = "MlpPolicy", **kwargs: Any) -> Any:
    """Make a model of :data:`SMALL` settings; ``policy_kwargs`` come on top of its networks."""
    networks = {**SMALL["policy_kwargs"], **kwargs.pop("policy_kwargs", {})}
    return DDPG(policy, env, **{**SMALL, **kwargs, "policy_kwargs": networks})


def make_policy(*, action_dim: int = 2, dtype: th.dtype = th.float32, device: str = "cpu", **kwargs: Any) -> TD3Policy:
    """Make a policy of three observations and one critic, the same weights each time."""
    th.manual_seed(0)
    observations, actions = spaces.Box(-1, 1, (3,), np.float32), spaces.Box(-1, 1, (action_dim,), np.float32)
    options = {"net_arch": [8, 6], "n_critics": 1, **kwargs}
    return TD3Policy(observations, actions, ConstantSchedule(1e-2), **options).to(device=device, dtype=dtype)


def make_batch(
    size: int = 16, *, action_dim: int = 2, seed: int = 1, dtype: th.dtype = th.float32
) -> ReplayBufferSamples:
    """Make a batch for :func:`make_policy`, a third of whose transitions end an episode."""
    generator = th.Generator().manual_seed(seed)

    def normal(width: int) -> th.Tensor:
        return th.randn(size, width, generator=generator).to(dtype)

    done = (th.rand(size, 1, generator=generator) < 0.3).to(dtype)
    return ReplayBufferSamples(normal(3), normal(action_dim).tanh(), normal(3), done, normal(1))
