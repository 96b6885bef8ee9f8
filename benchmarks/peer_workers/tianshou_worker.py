"""Tianshou's DDPG: a worker of `benchmarks/peers.py`.

It collects and updates in turns, as Tianshou's trainer does. The trainer itself also searches the whole buffer for NaN
after every collected step, which costs the more the fuller the buffer is; here that is left out.
"""

import gymnasium as gym
import numpy as np
import tianshou
import torch
from protocol import BUFFER_SIZE, GAMMA, LEARNING_RATE, LEARNING_STARTS, NOISE_SIGMA, SEED, TAU, Case, serve, threads
from tianshou.algorithm.modelfree.ddpg import DDPG, ContinuousDeterministicPolicy
from tianshou.algorithm.optim import AdamOptimizerFactory
from tianshou.data import Batch, Collector, CollectStats, VectorReplayBuffer
from tianshou.env import DummyVectorEnv
from tianshou.exploration import GaussianNoise
from tianshou.utils.net.common import Net
from tianshou.utils.net.continuous import ContinuousActorDeterministic, ContinuousCritic
from tianshou.utils.torch_utils import policy_within_training_step


class Tianshou:
    """Tianshou's algorithm, collector and buffer of one training."""

    name = "Tianshou DDPG"
    version = tianshou.__version__

    def __init__(self, case: Case) -> None:
        torch.set_num_threads(threads())
        torch.manual_seed(SEED)
        np.random.seed(SEED)  # Tianshou's noise draws from this stream.
        self.batch_size = case.batch_size
        envs = DummyVectorEnv([lambda: gym.wrappers.RecordEpisodeStatistics(gym.make(case.env_id))])
        envs.seed(SEED)
        space, observations = envs.action_space[0], envs.observation_space[0]
        actor_net = Net(state_shape=observations.shape, hidden_sizes=case.net)
        critic_net = Net(state_shape=observations.shape, action_shape=space.shape, hidden_sizes=case.net, concat=True)
        policy = ContinuousDeterministicPolicy(
            # Actions in [-1, 1]; the policy scales them to the space.
            actor=ContinuousActorDeterministic(preprocess_net=actor_net, action_shape=space.shape),
            exploration_noise=GaussianNoise(sigma=NOISE_SIGMA),
            action_space=space,
            observation_space=observations,
        )
        self.algorithm: DDPG = DDPG(
            policy=policy,
            policy_optim=AdamOptimizerFactory(lr=LEARNING_RATE),
            critic=ContinuousCritic(preprocess_net=critic_net),
            critic_optim=AdamOptimizerFactory(lr=LEARNING_RATE),
            tau=TAU,
            gamma=GAMMA,
        )
        self.buffer = VectorReplayBuffer(BUFFER_SIZE, 1)
        self.collector = Collector[CollectStats](self.algorithm, envs, self.buffer, exploration_noise=True)
        self.collector.reset()
        self.collector.collect(n_step=LEARNING_STARTS, random=True)

    def steps(self, count: int) -> None:
        """Collect one transition and update, in turns."""
        for _ in range(count):
            with policy_within_training_step(self.algorithm.policy):
                self.collector.collect(n_step=1)
                self.algorithm.update(self.buffer, sample_size=self.batch_size)

    def updates(self, count: int) -> None:
        """Update only."""
        with policy_within_training_step(self.algorithm.policy):
            for _ in range(count):
                self.algorithm.update(self.buffer, sample_size=self.batch_size)

    def updates_made(self) -> int:
        """Read the critic's Adam."""
        states = list(self.algorithm.critic_optim.state_dict()["state"].values())
        return int(states[0]["step"]) if states else 0

    def bytes_per_transition(self) -> float:
        """Add up the buffer's arrays, those of nested batches too."""
        return array_bytes(self.buffer._meta) / BUFFER_SIZE


def array_bytes(batch: Batch) -> int:
    """Count the bytes of a batch's arrays."""
    return sum(array_bytes(value) if isinstance(value, Batch) else value.nbytes for value in batch.values())


if __name__ == "__main__":
    serve(Tianshou)
