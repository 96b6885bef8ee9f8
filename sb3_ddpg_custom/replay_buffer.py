"""SB3's replay buffer on record storage: the buffer that ``DDPG`` uses."""

import warnings
from collections.abc import Mapping
from typing import Any, TypeAlias

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ddpg_custom.records import Field, Records

Observations: TypeAlias = NDArray[Any] | dict[str, NDArray[Any]]


class ReplayBuffer(SB3ReplayBuffer):
    """Ring of transitions, one record per transition and env, for plain and Dict observations alike.

    Drop-in for SB3's ``ReplayBuffer`` and ``DictReplayBuffer``: the same calls, the same attributes (``observations``,
    ``actions``, … are views on the records), the same random draws from NumPy's global generator.

    :param buffer_size: number of transitions over all envs; each env gets ``max(buffer_size // n_envs, 1)`` rows
    :param observation_space: Box of any type, Discrete, MultiDiscrete, MultiBinary, or a Dict of these
    :param action_space: the env's action space; actions are stored as SB3 hands them over, in [-1, 1] for a Box
    :param device: where sampled tensors go
    :param n_envs: number of envs that add at once
    :param optimize_memory_usage: must be False: records hold both observations
    :param handle_timeout_termination: bootstrap through time limits (``TimeLimit.truncated`` in the info)
    :raises ValueError: if ``optimize_memory_usage`` is set
    """

    def __init__(
        self,
        buffer_size: int,
        observation_space: spaces.Space[Any],
        action_space: spaces.Space[Any],
        device: th.device | str = "auto",
        n_envs: int = 1,
        optimize_memory_usage: bool = False,
        handle_timeout_termination: bool = True,
    ) -> None:
        if optimize_memory_usage:
            raise ValueError(
                "optimize_memory_usage=True needs SB3's own buffer: pass replay_buffer_class="
                "stable_baselines3.common.buffers.ReplayBuffer"
            )
        # SB3's ReplayBuffer.__init__ would allocate its six arrays; only its base is wanted.
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs=n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = False
        self.handle_timeout_termination = handle_timeout_termination
        self._open_records()

    def _open_records(self) -> None:
        fields = {
            "actions": Field(np.dtype(self._maybe_cast_dtype(self.action_space.dtype)), (self.action_dim,)),
            "rewards": Field(np.float32, ()),
            "dones": Field(np.bool_, ()),
            "timeouts": Field(np.bool_, ()),
        }
        for key, field in _observation_fields(self.observation_space, self.obs_shape).items():
            fields[f"observations{key}"] = fields[f"next_observations{key}"] = field
        self.records = Records(self.buffer_size * self.n_envs, fields)
        _warn_if_memory_is_short(len(self.records) * self.records.row_bytes)
        self._view_records()

    def _view_records(self) -> None:
        """Offer each field under SB3's name, as a view on the records, (rows, n_envs, *shape)."""
        views = {
            name: self.records[name].reshape(self.buffer_size, self.n_envs, *field.shape)
            for name, field in self.records.fields.items()
        }
        self.observations = _part(views, "observations")  # type: ignore[assignment]  # a dict for Dict spaces, as in SB3
        self.next_observations = _part(views, "next_observations")  # type: ignore[assignment]
        self.actions, self.rewards = views["actions"], views["rewards"]
        self.dones, self.timeouts = views["dones"], views["timeouts"]

    def add(
        self,
        obs: Observations,
        next_obs: Observations,
        action: NDArray[Any],
        reward: NDArray[Any],
        done: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        """Write one transition of every env.

        :param obs: observations before the step, (n_envs, *shape), or a dict of them
        :param next_obs: observations after it; where an episode ended, its true last one
        :param action: (n_envs, *action_shape), in [-1, 1] for a Box
        :param reward: (n_envs,)
        :param done: whether the episode ended, for either reason, (n_envs,)
        :param infos: one per env; ``TimeLimit.truncated`` tells that only the time limit ended the episode
        """
        row = self.pos
        _write(self.observations, row, obs)
        _write(self.next_observations, row, next_obs)
        self.actions[row] = action.reshape(self.n_envs, self.action_dim)
        self.rewards[row] = reward
        self.dones[row] = done
        if self.handle_timeout_termination:
            self.timeouts[row] = [info.get("TimeLimit.truncated", False) for info in infos]
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full = True
            self.pos = 0

    def sample(  # type: ignore[override]
        self, batch_size: int, env: VecNormalize | None = None
    ) -> ReplayBufferSamples | DictReplayBufferSamples:
        """Draw transitions uniformly, with replacement, as SB3 does.

        :param batch_size: how many
        :param env: normalises observations and rewards with its present statistics
        :return: ``observations`` (batch, *shape) and ``next_observations`` (dicts of them for Dict spaces), ``actions``
            (batch, action_dim), ``dones`` (batch, 1) float32, which are 1 where the episode *terminated* (SB3's name),
            and ``rewards`` (batch, 1) float32
        :raises ValueError: if the buffer is empty
        """
        if self.size() == 0:
            raise ValueError("the replay buffer is empty: add transitions before you sample")
        rows = np.random.randint(0, self.size(), size=batch_size)
        return self._get_samples(rows, env=env)

    def _get_samples(  # type: ignore[override]
        self, batch_inds: NDArray[np.integer], env: VecNormalize | None = None
    ) -> ReplayBufferSamples | DictReplayBufferSamples:
        envs = np.random.randint(0, self.n_envs, size=len(batch_inds))
        batch = self.records.gather(batch_inds * self.n_envs + envs)
        terminated = (batch["dones"] & ~batch["timeouts"]).astype(np.float32)
        observations = self._normalize_obs(_part(batch, "observations"), env)
        next_observations = self._normalize_obs(_part(batch, "next_observations"), env)
        rewards = self._normalize_reward(batch["rewards"], env)
        samples = DictReplayBufferSamples if isinstance(observations, dict) else ReplayBufferSamples
        return samples(
            observations=self._tensors(observations),
            actions=self._tensors(batch["actions"]),
            next_observations=self._tensors(next_observations),
            dones=self._tensors(terminated[:, None]),
            rewards=self._tensors(rewards[:, None]),
        )

    def sample_batch(self, batch_size: int) -> tuple[Observations, ...]:
        """Draw transitions uniformly, none of them twice, as the notes' buffer does.

        The draw comes from NumPy's global generator, which SB3 seeds.

        :param batch_size: how many; a smaller buffer gives all that it has, in random order
        :return: s (n, *shape), a (n, action_dim), r (n,), t (n,) bool: terminated, not truncated, s2 (n, *shape), with
            n = min(size · n_envs, batch_size); dicts of arrays for Dict observations
        :raises ValueError: if the buffer is empty or ``batch_size`` is not positive
        """
        if batch_size < 1:
            raise ValueError(f"batch_size must be at least 1, got {batch_size}")
        filled = self.size() * self.n_envs
        if filled == 0:
            raise ValueError("the replay buffer is empty: add transitions before you sample")
        generator = np.random.Generator(np.random.get_bit_generator())  # type: ignore[attr-defined]  # missing in NumPy's stubs
        batch = self.records.gather(generator.choice(filled, min(filled, batch_size), replace=False))
        terminated = batch["dones"] & ~batch["timeouts"]
        return (
            _part(batch, "observations"),
            batch["actions"],
            batch["rewards"],
            terminated,
            _part(batch, "next_observations"),
        )

    def clear(self) -> None:
        """Forget all transitions; the memory stays."""
        self.reset()

    def _tensors(self, arrays: Observations) -> Any:
        if isinstance(arrays, dict):
            return {key: self._tensors(array) for key, array in arrays.items()}
        # Contiguous: on strided rows some kernels (batch norm) add up in another order than on SB3's arrays.
        return th.from_numpy(np.ascontiguousarray(arrays)).to(self.device)

    def __getstate__(self) -> dict[str, Any]:
        """Leave out the views, which a pickle would copy, and the rows that nothing was written to."""
        state = self.__dict__.copy()
        for view in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
            del state[view]
        state["records"] = self.records.rows[: self.size() * self.n_envs]
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        filled = state.pop("records")
        self.__dict__.update(state)
        self._open_records()
        self.records.rows[: len(filled)] = filled


def _observation_fields(space: spaces.Space[Any], shape: Any) -> dict[str, Field]:
    """Field per key: "" for a plain observation, ":key" for a part of a Dict observation."""
    if isinstance(space, spaces.Dict):
        return {f":{key}": Field(np.dtype(part.dtype), shape[key]) for key, part in space.spaces.items()}
    return {"": Field(np.dtype(space.dtype), shape)}


def _part(source: Mapping[str, NDArray[Any]] | NDArray[np.void], name: str) -> Observations:
    """Observations out of a table of fields: one array, or for a Dict space one per key."""
    names = source.dtype.names or () if isinstance(source, np.ndarray) else source
    if name in names:
        return source[name]
    prefix = f"{name}:"
    return {full.removeprefix(prefix): source[full] for full in names if full.startswith(prefix)}


def _write(views: Observations, row: int, values: Observations) -> None:
    if isinstance(views, dict):
        for key, view in views.items():
            _write(view, row, values[key])
    else:
        # Discrete observations come as (n_envs,) and are kept as (n_envs, 1).
        views[row] = np.reshape(values, views.shape[1:])  # type: ignore[arg-type]


def _warn_if_memory_is_short(needed_bytes: int) -> None:
    try:
        import psutil
    except ImportError:
        return
    available = psutil.virtual_memory().available
    if needed_bytes > available:
        warnings.warn(
            f"a full replay buffer takes {needed_bytes / 1e9:.1f} GB, but {available / 1e9:.1f} GB are free: "
            "lower buffer_size",
            stacklevel=4,
        )
