"""SBX's DDPG (JAX): a worker of `benchmarks/peers.py`."""

import os
from importlib.metadata import version

import numpy as np
from protocol import (
    BUFFER_SIZE,
    GAMMA,
    LEARNING_RATE,
    LEARNING_STARTS,
    NOISE_SIGMA,
    SEED,
    TAU,
    Case,
    jax_thread_settings,
    serve,
    threads,
)

os.environ |= jax_thread_settings()

import gymnasium as gym
import jax
import torch
from sbx import DDPG
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise


class SBX:
    """SBX's ordinary training, a piece at a time."""

    name = "SBX DDPG"
    version = f"{version('sbx-rl')}, jax {jax.__version__}"

    def __init__(self, case: Case) -> None:
        # The replay buffer, SB3's, hands its batches over as tensors.
        torch.set_num_threads(threads())
        env = gym.make(case.env_id)
        actions = env.action_space.shape or ()
        self.batch_size = case.batch_size
        self.model = DDPG(
            "MlpPolicy",
            env,
            learning_rate=LEARNING_RATE,
            qf_learning_rate=LEARNING_RATE,
            buffer_size=BUFFER_SIZE,
            learning_starts=LEARNING_STARTS,
            batch_size=case.batch_size,
            tau=TAU,
            gamma=GAMMA,
            train_freq=1,
            gradient_steps=1,
            action_noise=NormalActionNoise(np.zeros(actions), np.full(actions, NOISE_SIGMA)),
            policy_kwargs={"net_arch": list(case.net)},
            verbose=0,
            seed=SEED,
            device="cpu",
        )
        # Without a logger that makes an empty folder for each learn().
        self.model.set_logger(Logger(None, []))
        self.steps(LEARNING_STARTS)

    def steps(self, count: int) -> None:
        """Let `learn` go on for so many steps."""
        self.model.learn(count, reset_num_timesteps=False)
        self.wait()

    def updates(self, count: int) -> None:
        """Call `train` for one update at a time, as `learn` does."""
        for _ in range(count):
            self.model.train(gradient_steps=1, batch_size=self.batch_size)
        self.wait()

    def wait(self) -> None:
        """JAX works ahead of Python; wait until it has caught up."""
        jax.block_until_ready((self.model.policy.qf_state, self.model.policy.actor_state))

    def updates_made(self) -> int:
        """Read the critic's train state."""
        return int(self.model.policy.qf_state.step)

    def bytes_per_transition(self) -> float:
        """Add up the arrays of SB3's buffer."""
        arrays = (value for value in vars(self.model.replay_buffer).values() if isinstance(value, np.ndarray))
        return sum(array.nbytes for array in arrays) / BUFFER_SIZE


if __name__ == "__main__":
    serve(SBX)
