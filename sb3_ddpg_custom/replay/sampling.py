"""How transitions are drawn from a replay buffer, and gathered to batches."""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import repeat
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import DictReplayBufferSamples, ReplayBufferSamples
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ddpg_custom.option_values import check_count
from sb3_ddpg_custom.overrides import is_as_written
from sb3_ddpg_custom.replay.batch_memory import BatchMemory
from sb3_ddpg_custom.replay.draw import Draw
from sb3_ddpg_custom.replay.n_step import n_step_returns
from sb3_ddpg_custom.replay.observation_fields import Observations, part
from sb3_ddpg_custom.replay.priorities import Priorities, PrioritizedSamples
from sb3_ddpg_custom.replay.storage import TransitionStorage

# One gather serves as many batches as lie in a processor's cache together.
_BYTES_AT_ONCE = 1_000_000
# A GPU has no such need: one transfer of row numbers serves a training, up to this.
_BYTES_AT_ONCE_ON_DEVICE = 64_000_000

Integers = Callable[[int, int], NDArray[np.integer]]


def _integers(high: int, size: int) -> NDArray[np.integer]:
    return np.random.randint(0, high, size=size)


# What a shared gather does without, of SB3's and of ours.
_OF_SB3 = ["sample", "_get_samples", "_normalize_obs", "_normalize_reward", "to_torch"]
_SAMPLING = [*_OF_SB3, "size", "_samples", "_tensors", "_draw", "_next_observations", "_ends", "_next_rows"]


class SampledStorage(TransitionStorage):
    """The half of :class:`sb3_ddpg_custom.ReplayBuffer` that draws batches, uniformly or by priority."""

    def sample(  # type: ignore[override]
        self, batch_size: int, env: VecNormalize | None = None
    ) -> ReplayBufferSamples | DictReplayBufferSamples | PrioritizedSamples:
        """Draw transitions with replacement: uniformly, as SB3 does, or by their priorities.

        :param batch_size: how many
        :param env: normalises observations and rewards with its present statistics
        :return: ``observations`` (batch, *shape) and ``next_observations`` (dicts of them for Dict spaces), ``actions``
            (batch, action_dim), ``dones`` (batch, 1) float32, which are 1 where the episode *terminated* (SB3's name),
            ``rewards`` (batch, 1) float32, and ``discounts`` (batch, 1) float32 with n-step returns, else None. With
            priorities also ``weights`` and ``indices``, see
            :class:`sb3_ddpg_custom.replay.priorities.PrioritizedSamples`
        :raises ValueError: if the buffer is empty
        """
        if self.size() == 0:
            raise ValueError("the replay buffer is empty: add transitions before you sample")
        if self.priorities is None:
            return self._get_samples(np.random.randint(0, self.size(), size=batch_size), env=env)
        gather: Callable[..., Any] = self._get_samples
        if type(self)._get_samples is SampledStorage._get_samples:
            gather = self._samples
        elif self.n_envs > 1:
            raise ValueError(
                f"{type(self).__name__}._get_samples draws each transition's env itself, but priorities have drawn it "
                "already: with several envs, override sample instead"
            )
        return self._prioritized(self.priorities, batch_size, partial(gather, env=env))

    def _prioritized(
        self, priorities: Priorities, batch_size: int, gather: Callable[[NDArray[np.integer]], Any]
    ) -> PrioritizedSamples:
        indices = priorities.draw(batch_size)
        weights = priorities.weights(indices, self.size() * self.n_envs)
        batch = gather(indices)
        there = self._tensors(weights) if self._mirror is None else self._mirror.sent(weights)
        return PrioritizedSamples(**batch._asdict(), weights=there, indices=indices)

    def _gather_one(self, indices: NDArray[np.integer]) -> Any:
        """Make a batch where the device has the records, else of those in memory."""
        on_device = self._gather_on_device(indices, len(indices))
        return self._samples(indices, None) if on_device is None else on_device[0]

    def batches(
        self, count: int, batch_size: int, env: VecNormalize | None = None
    ) -> Iterator[ReplayBufferSamples | DictReplayBufferSamples | PrioritizedSamples]:
        """Draw several batches, the very ones that as many calls of :meth:`sample` would have drawn.

        (Returns of eight steps and more up to rounding: from there on NumPy adds in pairs.)

        Where nothing is to be normalised, many batches share one gather into memory that is used again: on the CPU with
        plain transitions (one-step returns, one array per observation, no priorities), on a device that has a copy with
        all of them; by priorities they are drawn one by one, for the last batch changes the next one's chances.

        :param count: how many batches
        :param batch_size: transitions in each
        :param env: see :meth:`sample`
        :return: batches; the tensors of one may be strided, and overwritten when the next one is taken
        :raises ValueError: if the buffer is empty
        """
        is_plain = env is None and self._samples_as_written_here()
        if not (is_plain and (self._can_share_gathers or self.asks_for_mirror)):
            for _ in range(count):
                yield self.sample(batch_size, env)
            return
        if self.size() == 0:
            raise ValueError("the replay buffer is empty: add transitions before you sample")
        if self.priorities is not None:
            for _ in range(count):
                yield self._prioritized(self.priorities, batch_size, self._gather_one)
            return
        most_bytes = _BYTES_AT_ONCE if self.device.type == "cpu" else _BYTES_AT_ONCE_ON_DEVICE
        at_once = max(1, min(count, most_bytes // (batch_size * self.records.row_bytes)))
        for start in range(0, count, at_once):
            size = min(at_once, count - start)
            filled = self.size()
            draws = [self._draw(np.random.randint(0, filled, size=batch_size)) for _ in range(size)]
            indices = draws[0] if size == 1 else np.concatenate(draws)
            on_device = self._gather_on_device(indices, batch_size)
            if on_device is not None:
                yield from on_device
            elif self.device.type == "cpu" and self._can_share_gathers:
                yield from self._memory_for(size, batch_size).gather(indices)
            else:
                for draw in draws:
                    yield self._samples(draw, None)

    def draws(
        self, count: int, batch_size: int, env: VecNormalize | None = None, integers: Integers = _integers
    ) -> Iterator[Draw] | None:
        """Draw what :meth:`batches` would, and leave the gathering to who computes with it.

        :param count: how many batches
        :param batch_size: transitions in each
        :param env: see :meth:`sample`
        :param integers: draws so many numbers below another from NumPy's global generator
        :return: batches, each to be read before something is added; None where there is more to gathering than to copy
        :raises ValueError: if the buffer is empty
        """
        is_plain = self._can_leave_gathering and env is None and self.device.type == "cpu" and not self.assigned_rows
        if not (is_plain and self._samples_as_written_here()):
            return None
        filled = self.size()
        if filled == 0:
            raise ValueError("the replay buffer is empty: add transitions before you sample")
        about = self.records, self.n_envs, self.n_steps, self.gamma, (self.pos - 1) % self.buffer_size, self._samples
        return (Draw(self._draw(integers(filled, batch_size), integers), *about) for _ in range(count))

    def _samples_as_written_here(self) -> bool:
        kind = type(self)
        names, as_written = (
            (_OF_SB3, _OF_SB3_AS_WRITTEN) if kind.__mro__[1] is SampledStorage else (_SAMPLING, _AS_WRITTEN)
        )
        return list(map(getattr, repeat(kind), names)) == as_written and not any(map(self.__dict__.__contains__, names))

    def _memory_for(self, count: int, batch_size: int) -> BatchMemory:
        memory = self._batch_memory
        if memory is None or memory.count != count or memory.batch_size != batch_size:
            memory = self._batch_memory = BatchMemory(self.records, count, batch_size)
        return memory

    def _draw(self, batch_inds: NDArray[np.integer], integers: Integers = _integers) -> NDArray[np.integer]:
        """Draw an env for each row, and number the transitions: row * n_envs + env."""
        if self.n_envs == 1:
            return batch_inds  # as SB3, whose draw from one env takes nothing from the generator
        return batch_inds * self.n_envs + integers(self.n_envs, len(batch_inds))

    def _get_samples(  # type: ignore[override]
        self, batch_inds: NDArray[np.integer], env: VecNormalize | None = None
    ) -> ReplayBufferSamples | DictReplayBufferSamples:
        return self._samples(self._draw(batch_inds), env)

    def _samples(
        self, indices: NDArray[np.integer], env: VecNormalize | None
    ) -> ReplayBufferSamples | DictReplayBufferSamples:
        """Make a batch of the transitions with these numbers, row * n_envs + env."""
        first = last = self._gather(indices)
        discounts = None
        if self.n_steps == 1:
            rewards = self._normalize_reward(first["rewards"][:, None], env)
        else:
            sequences = self._next_rows(indices[:, None], np.arange(self.n_steps))
            rewards, discounts, last_steps = n_step_returns(
                self._normalize_reward(self.records["rewards"][sequences], env), self._ends(sequences), self.gamma
            )
            indices = self._next_rows(indices, last_steps)
            last = self.records.gather(indices)
        observations = self._normalize_obs(part(first, "observations"), env)
        next_observations = self._normalize_obs(self._next_observations(indices, last), env)
        terminated = (last["dones"] & ~last["timeouts"]).astype(np.float32)
        samples = DictReplayBufferSamples if isinstance(observations, dict) else ReplayBufferSamples
        batch = samples(
            observations=self._tensors(observations),
            actions=self._tensors(first["actions"]),
            next_observations=self._tensors(next_observations),
            dones=self._tensors(terminated[:, None]),
            rewards=self._tensors(rewards),
            discounts=None if discounts is None else self._tensors(discounts),
        )
        self._gathered = first  # all of it has been copied
        return batch

    def _gather(self, indices: NDArray[np.integer]) -> NDArray[np.void]:
        """Copy records, into memory that the next call writes over unless a script's own method may see them."""
        if len(indices) == 0 or indices.min() < 0 or indices.max() >= len(self.records):
            return self.records.gather(indices)  # counts from the end, or raises an IndexError
        if not self._samples_as_written_here():
            return self.records.gather(indices)
        # Taken out while it is in use: another thread may sample, too.
        memory, self._gathered = self._gathered, None
        if memory is None or len(memory) != len(indices):
            memory = np.empty(len(indices), self.records.rows.dtype)
        return self.records.gather(indices, memory)

    def _ends(self, indices: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Tell behind which transitions a sequence may not go on: the newest, and those that end an episode."""
        newest = (self.pos - 1) % self.buffer_size
        ends: NDArray[np.bool_] = self.records["dones"][indices] | self.records["timeouts"][indices]
        ends |= indices // self.n_envs == newest
        return ends

    def anneal(self, progress_remaining: float) -> None:
        """Tell how far the training is: β rises as it goes on. Nothing to do without priorities.

        :param progress_remaining: 1 at its start, 0 at its end
        """
        if self.priorities is not None:
            self.priorities.progress_remaining = progress_remaining

    def update_priorities(self, indices: NDArray[np.intp], td_errors: th.Tensor | NDArray[np.floating]) -> None:
        """Learn how surprising transitions were.

        :param indices: ``batch.indices`` of a sampled batch, (batch,)
        :param td_errors: Q(s, a) - y or its absolute value, (batch, 1) or (batch,); a tensor is waited for
        :raises ValueError: if the buffer has no priorities, the numbers differ, or an error is not finite
        """
        if self.priorities is None:
            raise ValueError("this replay buffer has no priorities: build it with priority_exponent=0.6, for example")
        if isinstance(td_errors, th.Tensor):
            td_errors = td_errors.detach().cpu().numpy()
        self.priorities.update(indices, td_errors)

    def sample_batch(self, batch_size: int) -> tuple[Observations, ...]:
        """Draw single transitions uniformly, none of them twice, as the notes' buffer does, whatever the options are.

        The draw comes from NumPy's global generator, which SB3 seeds.

        :param batch_size: how many; a smaller buffer gives all that it has, in random order
        :return: s (n, *shape), a (n, action_dim), r (n,), t (n,) bool: terminated, not truncated, s2 (n, *shape), with
            n = min(size · n_envs, batch_size); dicts of arrays for Dict observations
        :raises ValueError: if the buffer is empty or ``batch_size`` is no whole number above 0
        """
        check_count(batch_size=batch_size)
        filled = self.size() * self.n_envs
        if filled == 0:
            raise ValueError("the replay buffer is empty: add transitions before you sample")
        generator = np.random.Generator(np.random.get_bit_generator())  # type: ignore[attr-defined]  # missing in NumPy's stubs
        indices = generator.choice(filled, min(filled, batch_size), replace=False)
        batch = self.records.gather(indices)
        return (
            part(batch, "observations"),
            batch["actions"],
            batch["rewards"],
            batch["dones"] & ~batch["timeouts"],
            self._next_observations(indices, batch),
        )

    def _tensors(self, arrays: Observations) -> Any:
        if isinstance(arrays, dict):
            return {key: self.to_torch(array) for key, array in arrays.items()}
        return self.to_torch(arrays)

    def to_torch(self, array: NDArray[Any], copy: bool = True) -> th.Tensor:
        """Make a tensor on the model's device; see SB3's ``BaseBuffer.to_torch``.

        :param array: strided or not
        :param copy: never share the array's memory
        """
        # Contiguous: on strided rows some kernels (batch norm) add up in another order than on SB3's arrays.
        contiguous = np.array(array, order="C") if copy else np.ascontiguousarray(array)
        return th.from_numpy(contiguous).to(self.device)


# None, which nothing equals, where somebody had written to SB3's class before this one was made.
_AS_WRITTEN = [getattr(SampledStorage, name) if is_as_written(SampledStorage, name) else None for name in _SAMPLING]
_OF_SB3_AS_WRITTEN = _AS_WRITTEN[: len(_OF_SB3)]
