"""SB3's replay buffer on record storage: the buffer that ``DDPG`` uses."""

import warnings
from typing import Any

import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import BaseBuffer

from sb3_ddpg_custom.option_values import StorageName, check_count
from sb3_ddpg_custom.replay.device_records import check_storage
from sb3_ddpg_custom.replay.final_observations import NO_SLOT, FinalObservations
from sb3_ddpg_custom.replay.observation_fields import Observations, write
from sb3_ddpg_custom.replay.sampling import SampledStorage


class ReplayBuffer(SampledStorage):
    """Ring of transitions, one record per transition and env, for plain and Dict observations alike.

    Drop-in for SB3's ``ReplayBuffer``, ``DictReplayBuffer`` and ``NStepReplayBuffer``: the same calls, the same
    attributes (``observations``, ``actions``, … are views on the records), the same random draws from NumPy's global
    generator. Its options go together in every combination.

    >>> import numpy as np
    >>> from gymnasium import spaces
    >>> box = spaces.Box(-1, 1, (1,))
    >>> buffer = ReplayBuffer(4, box, box, n_steps=2, gamma=0.5)
    >>> for step in range(3):
    ...     now, later = np.array([[step / 4]]), np.array([[(step + 1) / 4]])
    ...     buffer.add(now, later, np.zeros((1, 1)), np.array([4.0]), np.array([False]), [{}])
    >>> sorted(set(buffer.sample(64).rewards.flatten().tolist()))  # the newest row has nothing to add yet
    [4.0, 6.0]

    :param buffer_size: number of transitions over all envs; each env gets ``max(buffer_size // n_envs, 1)`` rows
    :param observation_space: Box of any type, Discrete, MultiDiscrete, MultiBinary, or a Dict of these
    :param action_space: the env's action space; actions are stored as SB3 hands them over, in [-1, 1] for a Box
    :param device: where sampled tensors go
    :param n_envs: number of envs that add at once
    :param optimize_memory_usage: store next observations only where the following row does not hold them. Unlike SB3's
        variant it loses no transition, and samples are those of the plain buffer. There is no ``next_observations``
    :param handle_timeout_termination: bootstrap through time limits (``TimeLimit.truncated`` in the info)
    :param n_steps: steps whose rewards are summed; above 1 batches have ``discounts``
    :param gamma: discount factor inside n-step returns
    :param priority_exponent: alpha of prioritised replay (the paper's is 0.6), None to draw uniformly
    :param importance_exponent: β₀ of prioritised replay
    :param priority_epsilon: ε of prioritised replay
    :param storage: ``"cuda"`` keeps a copy of the records on the model's CUDA device, where :meth:`batches` gathers
        them. It costs device memory for the full capacity, and at each training a transfer of what was added; what is
        written through the NumPy views is not copied. ``"memory"`` keeps none. ``"auto"`` keeps one where it can and it
        takes at most half of the device's free memory. Memory saving excludes it
    :raises ValueError: if ``n_steps`` or an option of the priorities is out of its range, or ``storage`` impossible
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
        *,
        n_steps: int = 1,
        gamma: float = 0.99,
        priority_exponent: float | None = None,
        importance_exponent: float = 0.4,
        priority_epsilon: float = 1e-6,
        storage: StorageName = "auto",
    ) -> None:
        check_count(n_steps=n_steps)
        # SB3's ReplayBuffer.__init__ would allocate its six arrays; only its base is wanted.
        BaseBuffer.__init__(self, buffer_size, observation_space, action_space, device, n_envs=n_envs)
        self.buffer_size = max(buffer_size // n_envs, 1)
        self.optimize_memory_usage = optimize_memory_usage
        self.handle_timeout_termination = handle_timeout_termination
        self.n_steps = n_steps
        self.gamma = gamma
        self.priority_exponent = priority_exponent
        self.importance_exponent = importance_exponent
        self.priority_epsilon = priority_epsilon
        self.storage: StorageName = storage
        self._open_storage()
        check_storage(storage, whole=self._can_mirror, device=self.device, needed_bytes=self.records.nbytes)
        _warn_if_memory_is_short(self.nbytes)

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
        if self.assigned_rows:
            self._settle()
        if self.pos >= self.buffer_size:  # somebody set it
            self.pos, self.full = 0, True
        row, views = self.pos, self.views
        # This also refuses what was meant for another number of envs, before it is broadcast.
        views["actions"][row] = action.reshape(self.n_envs, self.action_dim)
        if self.final_observations is not None:
            self._follow(self.final_observations, row, obs, next_obs)
        if self._plain:
            views["observations"][row] = obs
            views["next_observations"][row] = next_obs
        else:
            write(views["observations"], row, obs)
            if not self.optimize_memory_usage:
                write(views["next_observations"], row, next_obs)
        views["rewards"][row] = reward
        views["dones"][row] = done
        if self.handle_timeout_termination:
            views["timeouts"][row] = self._no_timeouts
            for info in infos:
                if info.get("TimeLimit.truncated"):
                    views["timeouts"][row] = [bool(one.get("TimeLimit.truncated")) for one in infos]
                    break
        if self.priorities is not None:
            self.priorities.add(row * self.n_envs, self.n_envs)
        self._steps_to_send += 1
        self.pos += 1
        if self.pos == self.buffer_size:
            self.full = True
            self.pos = 0

    def _follow(self, finals: FinalObservations, row: int, obs: Observations, next_obs: Observations) -> None:
        """Settle what comes behind the newest row, now that the observation behind it is known."""
        if self.full or row > 0:
            newest = row - 1  # -1 is the last row
            breaks = finals.breaks(obs)
            if self.optimize_memory_usage:
                self.views["final_slots"][newest] = NO_SLOT
            if len(breaks) > 0:
                if self.optimize_memory_usage:
                    self.views["final_slots"][newest, breaks] = finals.keep_tail(breaks)
                # A reset that no flag tells of, such as that of a second learn(), cuts the episode like a time limit.
                left = breaks[~self.dones[newest, breaks]]
                self.dones[newest, left] = self.timeouts[newest, left] = True
                self._steps_to_send = max(self._steps_to_send, 1)  # that row once more
        if self.optimize_memory_usage:
            if self.full:
                finals.give_back(self.views["final_slots"][row])
            self.views["final_slots"][row] = finals.tail_slots
        finals.set_tail(next_obs)
        if not self.handle_timeout_termination:
            # add() leaves this field alone then, and a cut that stood here is overwritten with its row.
            self.timeouts[row] = False

    def reset(self) -> None:
        """Forget all transitions; the memory stays."""
        super().reset()
        self.content_version += 1
        if self.final_observations is not None:
            self.final_observations.give_back_all()
        if self.priorities is not None:
            self.priorities.clear()

    def clear(self) -> None:
        """Forget all transitions; the memory stays."""
        self.reset()


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
            stacklevel=3,
        )
