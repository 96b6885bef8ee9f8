"""TorchRL's DDPG: a worker of `benchmarks/peers.py`.

TorchRL's collector, replay buffer, loss and target updater, joined as in its own examples.
"""

import torch
import torchrl
from protocol import BUFFER_SIZE, GAMMA, LEARNING_RATE, LEARNING_STARTS, NOISE_SIGMA, SEED, TAU, Case, serve, threads
from tensordict.nn import TensorDictModule, TensorDictSequential
from torch import nn
from torchrl.collectors import Collector
from torchrl.data import LazyTensorStorage, TensorDictReplayBuffer
from torchrl.envs import DoubleToFloat, EnvBase, GymEnv, RewardSum, StepCounter, TransformedEnv
from torchrl.modules import MLP, AdditiveGaussianModule, TanhModule, ValueOperator
from torchrl.objectives import DDPGLoss, SoftUpdate


class TorchRL:
    """TorchRL's parts of one training."""

    name = "TorchRL DDPG"
    version = torchrl.__version__

    def __init__(self, case: Case) -> None:
        torch.set_num_threads(threads())
        torch.manual_seed(SEED)
        env = self.env(case)
        spec = env.action_spec_unbatched
        observation_dim, action_dim = env.observation_spec["observation"].shape[-1], spec.shape[-1]
        hidden = {"num_cells": list(case.net), "activation_class": nn.ReLU}
        actor = TensorDictSequential(
            TensorDictModule(MLP(observation_dim, action_dim, **hidden), in_keys=["observation"], out_keys=["action"]),
            TanhModule(in_keys=["action"], spec=spec),
        )
        critic = ValueOperator(MLP(observation_dim + action_dim, 1, **hidden), in_keys=["action", "observation"])
        self.loss = DDPGLoss(actor, critic, loss_function="l2", delay_actor=True, delay_value=True)
        self.loss.make_value_estimator(gamma=GAMMA)
        self.targets = SoftUpdate(self.loss, tau=TAU)
        self.actor_optimizer = torch.optim.Adam(self.loss.actor_network_params.values(True, True), lr=LEARNING_RATE)
        self.critic_optimizer = torch.optim.Adam(self.loss.value_network_params.values(True, True), lr=LEARNING_RATE)
        # In the units of the environment.
        sigma = NOISE_SIGMA * float(spec.space.high.max())
        noise = AdditiveGaussianModule(spec=spec, sigma_init=sigma, sigma_end=sigma, annealing_num_steps=1)
        self.collector = Collector(
            env,
            TensorDictSequential(actor, noise),
            frames_per_batch=1,
            total_frames=-1,
            init_random_frames=LEARNING_STARTS,
            auto_register_policy_transforms=False,
        )
        self.collector.set_seed(SEED)
        self.collected = iter(self.collector)
        storage = LazyTensorStorage(BUFFER_SIZE)
        self.buffer = TensorDictReplayBuffer(storage=storage, batch_size=case.batch_size)
        for _ in range(LEARNING_STARTS):
            self.collect()

    @staticmethod
    def env(case: Case) -> EnvBase:
        """Make the environment; it counts returns and lengths, as SB3's Monitor does."""
        env = TransformedEnv(GymEnv(case.env_id))
        for transform in (DoubleToFloat(), RewardSum(), StepCounter()):
            env.append_transform(transform)
        return env

    def collect(self) -> None:
        """Step the environment once and remember the transition."""
        self.buffer.extend(next(self.collected).reshape(-1))

    def update(self) -> None:
        """Sample a batch; descend for the critic, ascend for the actor, move the targets."""
        batch = self.buffer.sample()
        critic_loss, _ = self.loss.loss_value(batch)
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()

        actor_loss, _ = self.loss.loss_actor(batch)
        self.actor_optimizer.zero_grad()
        actor_loss.backward()
        self.actor_optimizer.step()
        self.targets.step()

    def steps(self, count: int) -> None:
        """Collect and update in turns."""
        for _ in range(count):
            self.collect()
            self.update()

    def updates(self, count: int) -> None:
        """Update only."""
        for _ in range(count):
            self.update()

    def updates_made(self) -> int:
        """Read the critic's Adam."""
        states = list(self.critic_optimizer.state.values())
        return int(states[0]["step"]) if states else 0

    def bytes_per_transition(self) -> float:
        """Add up the storage's tensors."""
        stored = self.buffer[:1]
        return float(sum(value.element_size() * value[0].numel() for value in stored.values(True, True)))


if __name__ == "__main__":
    serve(TorchRL)
