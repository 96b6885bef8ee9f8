"""DDPG in plain JAX, Flax and Optax, in the style of single-file scripts such as CleanRL's: a `peers.py` worker.

Written from the algorithm for this benchmark; no code is CleanRL's. Unlike CleanRL's default it updates the actor and
the targets at every step, as all contenders do.
"""

import os
from typing import Any

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

import flax
import gymnasium as gym
import jax
import jax.numpy as jnp
import optax
import torch
from flax import linen as nn
from flax.training.train_state import TrainState
from gymnasium.vector import AutoresetMode, SyncVectorEnv
from stable_baselines3.common.buffers import ReplayBuffer


class Critic(nn.Module):
    """Q(s, a)."""

    net: tuple[int, ...]

    @nn.compact
    def __call__(self, observations: jax.Array, actions: jax.Array) -> jax.Array:
        """Give the values, shape (batch, 1)."""
        signal = jnp.concatenate([observations, actions], axis=1)
        for width in self.net:
            signal = nn.relu(nn.Dense(width)(signal))
        return nn.Dense(1)(signal)


class Actor(nn.Module):
    """μ(s), in the units of the environment."""

    net: tuple[int, ...]
    scale: tuple[float, ...]
    bias: tuple[float, ...]

    @nn.compact
    def __call__(self, observations: jax.Array) -> jax.Array:
        """Give the actions, shape (batch, action_dim)."""
        signal = observations
        for width in self.net:
            signal = nn.relu(nn.Dense(width)(signal))
        return nn.tanh(nn.Dense(len(self.scale))(signal)) * jnp.array(self.scale) + jnp.array(self.bias)


class State(TrainState):
    """Parameters, their Adam, and the target network's parameters."""

    target_params: flax.core.FrozenDict[str, Any]


@jax.jit
def update_critic(
    actor: State, critic: State, batch: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]
) -> tuple[State, jax.Array]:
    """Descend once on the squared TD error of a batch."""
    observations, actions, next_observations, dones, rewards = batch
    next_actions = actor.apply_fn(actor.target_params, next_observations)
    next_values = critic.apply_fn(critic.target_params, next_observations, next_actions)
    targets = rewards + (1 - dones) * GAMMA * next_values

    def loss_of(params: flax.core.FrozenDict[str, Any]) -> jax.Array:
        return ((critic.apply_fn(params, observations, actions) - targets) ** 2).mean()

    loss, gradients = jax.value_and_grad(loss_of)(critic.params)
    return critic.apply_gradients(grads=gradients), loss


@jax.jit
def update_actor(actor: State, critic: State, observations: np.ndarray) -> tuple[State, State, jax.Array]:
    """Ascend once on the critic's value of the actor's actions; then move both targets."""

    def loss_of(params: flax.core.FrozenDict[str, Any]) -> jax.Array:
        return -critic.apply_fn(critic.params, observations, actor.apply_fn(params, observations)).mean()

    loss, gradients = jax.value_and_grad(loss_of)(actor.params)
    actor = actor.apply_gradients(grads=gradients)
    actor = actor.replace(target_params=optax.incremental_update(actor.params, actor.target_params, TAU))
    critic = critic.replace(target_params=optax.incremental_update(critic.params, critic.target_params, TAU))
    return actor, critic, loss


class CleanRLJax:
    """Networks, optimisers, buffer and environment of one training."""

    name = "CleanRL-style DDPG (JAX)"
    version = f"jax {jax.__version__}"

    def __init__(self, case: Case) -> None:
        # The replay buffer, SB3's, hands its batches over as tensors.
        torch.set_num_threads(threads())
        np.random.seed(SEED)  # SB3's buffer draws from this stream.
        self.batch_size = case.batch_size
        self.rng = np.random.default_rng(SEED)
        self.envs = SyncVectorEnv(
            [lambda: gym.wrappers.RecordEpisodeStatistics(gym.make(case.env_id))],
            autoreset_mode=AutoresetMode.SAME_STEP,
        )
        observation_space, space = self.envs.single_observation_space, self.envs.single_action_space
        assert isinstance(space, gym.spaces.Box)
        space.seed(SEED)
        self.low, self.high = space.low, space.high
        scale, bias = (space.high - space.low) / 2, (space.high + space.low) / 2
        self.noise_sigma = scale * NOISE_SIGMA
        # MuJoCo's observations are float64; the networks want float32.
        kept = gym.spaces.Box(-np.inf, np.inf, observation_space.shape, np.float32)
        self.buffer = ReplayBuffer(BUFFER_SIZE, kept, space, "cpu", handle_timeout_termination=False)
        self.observations, _ = self.envs.reset(seed=SEED)

        actor, critic = Actor(case.net, tuple(scale.tolist()), tuple(bias.tolist())), Critic(case.net)
        actor_key, critic_key = jax.random.split(jax.random.PRNGKey(SEED))
        observation, action = np.zeros((1, *kept.shape), np.float32), np.zeros((1, *space.shape), np.float32)
        self.actor = self.state(actor.apply, actor.init(actor_key, observation))
        self.critic = self.state(critic.apply, critic.init(critic_key, observation, action))
        self.actions_of = jax.jit(actor.apply)
        for _ in range(LEARNING_STARTS):
            self.act(space.sample()[None])

    @staticmethod
    def state(apply: Any, params: Any) -> State:
        """Pair a network with its Adam and a target that equals it."""
        return State.create(apply_fn=apply, params=params, target_params=params, tx=optax.adam(LEARNING_RATE))

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
        """Sample a batch, update both networks and their targets."""
        data = self.buffer.sample(self.batch_size)
        parts = (data.observations, data.actions, data.next_observations, data.dones, data.rewards)
        batch = tuple(part.numpy() for part in parts)
        self.critic, _ = update_critic(self.actor, self.critic, batch)
        self.actor, self.critic, _ = update_actor(self.actor, self.critic, batch[0])

    def steps(self, count: int) -> None:
        """Act and update in turns."""
        for _ in range(count):
            actions = np.asarray(self.actions_of(self.actor.params, self.observations.astype(np.float32)))
            noise = self.rng.normal(0, self.noise_sigma, actions.shape)
            self.act((actions + noise).clip(self.low, self.high).astype(np.float32))
            self.update()
        jax.block_until_ready((self.actor, self.critic))

    def updates(self, count: int) -> None:
        """Update only."""
        for _ in range(count):
            self.update()
        jax.block_until_ready((self.actor, self.critic))

    def updates_made(self) -> int:
        """Read the critic's train state."""
        return int(self.critic.step)

    def bytes_per_transition(self) -> float:
        """Add up the buffer's arrays."""
        return sum(value.nbytes for value in vars(self.buffer).values() if isinstance(value, np.ndarray)) / BUFFER_SIZE


if __name__ == "__main__":
    serve(CleanRLJax)
