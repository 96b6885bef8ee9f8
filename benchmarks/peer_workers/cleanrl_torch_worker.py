"""DDPG in plain PyTorch, in the style of single-file scripts such as CleanRL's: a worker of `benchmarks/peers.py`.

Written from the algorithm for this benchmark; no code is CleanRL's. Unlike CleanRL's default it updates the actor and
the targets at every step, as all contenders do.
"""

import itertools

import gymnasium as gym
import numpy as np
import torch
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from protocol import BUFFER_SIZE, GAMMA, LEARNING_RATE, LEARNING_STARTS, NOISE_SIGMA, SEED, TAU, Case, serve, threads
from stable_baselines3.common.buffers import ReplayBuffer
from torch import Tensor, nn
from torch.nn import functional as F


def hidden_layers(inputs: int, net: tuple[int, ...]) -> list[nn.Module]:
    """Make linear layers, each followed by a ReLU."""
    widths = (inputs, *net)
    return [layer for pair in itertools.pairwise(widths) for layer in (nn.Linear(*pair), nn.ReLU())]


class Critic(nn.Module):
    """Q(s, a)."""

    def __init__(self, observation_dim: int, action_dim: int, net: tuple[int, ...]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*hidden_layers(observation_dim + action_dim, net), nn.Linear(net[-1], 1))

    def forward(self, observations: Tensor, actions: Tensor) -> Tensor:
        """Give the values, shape (batch, 1)."""
        values: Tensor = self.layers(torch.cat([observations, actions], dim=1))
        return values


class Actor(nn.Module):
    """μ(s), in the units of the environment."""

    scale: Tensor
    bias: Tensor

    def __init__(self, observation_dim: int, space: gym.spaces.Box, net: tuple[int, ...]) -> None:
        super().__init__()
        outputs = nn.Linear(net[-1], space.shape[0])
        self.layers = nn.Sequential(*hidden_layers(observation_dim, net), outputs, nn.Tanh())
        self.register_buffer("scale", torch.as_tensor((space.high - space.low) / 2, dtype=torch.float32))
        self.register_buffer("bias", torch.as_tensor((space.high + space.low) / 2, dtype=torch.float32))

    def forward(self, observations: Tensor) -> Tensor:
        """Give the actions, shape (batch, action_dim)."""
        actions: Tensor = self.layers(observations) * self.scale + self.bias
        return actions


class CleanRLTorch:
    """Networks, optimisers, buffer and environment of one training."""

    name = "CleanRL-style DDPG (torch)"
    version = f"torch {torch.__version__}"

    def __init__(self, case: Case) -> None:
        torch.set_num_threads(threads())
        torch.manual_seed(SEED)
        np.random.seed(SEED)  # SB3's buffer draws from this stream.
        self.batch_size = case.batch_size
        self.envs = SyncVectorEnv(
            [lambda: gym.wrappers.RecordEpisodeStatistics(gym.make(case.env_id))],
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        observation_space, action_space = self.envs.single_observation_space, self.envs.single_action_space
        assert isinstance(observation_space, gym.spaces.Box)
        assert isinstance(action_space, gym.spaces.Box)
        action_space.seed(SEED)
        self.action_space = action_space
        shape = (observation_space.shape[0], action_space, case.net)
        self.actor, self.target_actor = Actor(*shape), Actor(*shape)
        critic_shape = (observation_space.shape[0], action_space.shape[0], case.net)
        self.critic, self.target_critic = Critic(*critic_shape), Critic(*critic_shape)
        self.target_actor.load_state_dict(self.actor.state_dict())
        self.target_critic.load_state_dict(self.critic.state_dict())
        self.actor_optimizer = torch.optim.Adam(self.actor.parameters(), lr=LEARNING_RATE)
        self.critic_optimizer = torch.optim.Adam(self.critic.parameters(), lr=LEARNING_RATE)
        # MuJoCo's observations are float64; the networks want float32.
        kept = gym.spaces.Box(-np.inf, np.inf, observation_space.shape, np.float32)
        self.buffer = ReplayBuffer(BUFFER_SIZE, kept, action_space, "cpu", handle_timeout_termination=False)
        self.observations, _ = self.envs.reset(seed=SEED)
        for _ in range(LEARNING_STARTS):
            self.act(action_space.sample()[None])

    def act(self, actions: np.ndarray) -> None:
        """Step the environment and remember the transition."""
        following, rewards, terminations, _, infos = self.envs.step(actions)
        last = following
        if "final_obs" in infos:
            # The environment began anew within this step; its last observation is the transition's.
            last = np.stack(list(infos["final_obs"]))
        self.buffer.add(self.observations, last, actions, rewards, terminations, [{}])
        self.observations = following

    def update(self) -> None:
        """Sample a batch; descend for the critic, ascend for the actor, move the targets."""
        batch = self.buffer.sample(self.batch_size)
        with torch.no_grad():
            next_values = self.target_critic(batch.next_observations, self.target_actor(batch.next_observations))
            targets = batch.rewards + (1 - batch.dones) * GAMMA * next_values
        critic_loss = F.mse_loss(self.critic(batch.observations, batch.actions), targets)
        self.critic_optimizer.zero_grad()
        critic_loss.backward()
        self.critic_optimizer.step()

        actor_loss = -self.critic(batch.observations, self.actor(batch.observations)).mean()
        self.actor_optimizer.zero_grad()
        actor_loss.backward()
        self.actor_optimizer.step()

        for online, target in ((self.actor, self.target_actor), (self.critic, self.target_critic)):
            for weights, target_weights in zip(online.parameters(), target.parameters(), strict=True):
                target_weights.data.copy_(TAU * weights.data + (1 - TAU) * target_weights.data)

    def steps(self, count: int) -> None:
        """Act and update in turns."""
        for _ in range(count):
            with torch.no_grad():
                actions = self.actor(torch.as_tensor(self.observations, dtype=torch.float32))
                actions += torch.normal(0, self.actor.scale * NOISE_SIGMA)
                actions = actions.numpy().clip(self.action_space.low, self.action_space.high)
            self.act(actions)
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
        """Add up the buffer's arrays."""
        return sum(value.nbytes for value in vars(self.buffer).values() if isinstance(value, np.ndarray)) / BUFFER_SIZE


if __name__ == "__main__":
    serve(CleanRLTorch)
