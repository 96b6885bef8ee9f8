"""EnvPool's envs (Weng et al. 2022, arXiv 2206.10558) as an SB3 ``VecEnv``: C++ simulators that step in threads."""

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.vec_env.base_vec_env import VecEnv, VecEnvIndices, VecEnvStepReturn

_LARGEST_SEED = 2**31 - 1


class EnvPoolVecEnv(VecEnv):
    """Many envs of one kind in EnvPool, which SB3 has no adapter for.

    EnvPool begins the next episode at the step after an episode's end; SB3 wants its first observation at once, and the
    last one in ``infos[i]["terminal_observation"]``. So envs whose episodes ended are reset here, all in one call.
    Infos hold what SB3 asks for and nothing else. ``VecMonitor(EnvPoolVecEnv(…))`` counts the returns.

    There are no single envs: their attributes and methods cannot be reached, and gymnasium wrappers do not fit around
    them. ``pip install envpool`` brings EnvPool, which needs Python 3.11 or newer.

    :param env_id: one of EnvPool's, such as ``"HalfCheetah-v5"``
    :param n_envs: envs side by side
    :param seed: of all envs; ``seed()``, which SB3 calls with a model's seed, replaces it at the next reset
    :param options: EnvPool's own, such as ``num_threads`` or ``max_episode_steps``
    :raises ImportError: if EnvPool is not installed
    :raises ValueError: if SB3's algorithms could not make use of the spaces
    """

    def __init__(self, env_id: str, n_envs: int, *, seed: int = 0, **options: Any) -> None:
        try:
            import envpool
        except ImportError as error:
            raise ImportError("EnvPoolVecEnv needs EnvPool: pip install envpool") from error
        self._make = envpool.make
        self._env_id, self._pool_options = env_id, {"num_envs": n_envs, **options}
        self._open(seed)
        observations, actions = self._pool.observation_space, self._pool.action_space
        if not isinstance(observations, spaces.Box):
            self._pool.close()
            raise ValueError(f"{env_id} has observations in {observations}: only a Box is supported here")
        super().__init__(n_envs, observations, actions)

    def _open(self, seed: int) -> None:
        self._pool = self._make(self._env_id, env_type="gymnasium", seed=seed % _LARGEST_SEED, **self._pool_options)

    def reset(self) -> NDArray[Any]:
        """Begin an episode in every env.

        :return: (n_envs, *shape)
        """
        if self._seeds[0] is not None:
            # EnvPool takes a seed at construction only.
            self._pool.close()
            self._open(self._seeds[0])
        self._reset_seeds()
        self._reset_options()
        return np.asarray(self._pool.reset()[0])

    def step_async(self, actions: NDArray[Any]) -> None:
        """Hand over actions.

        :param actions: (n_envs, *shape) in the env's units
        """
        self._pool.send(np.ascontiguousarray(actions, dtype=self.action_space.dtype))

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for the envs; those whose episodes ended begin the next."""
        observations, rewards, terminated, truncated, _ = self._pool.recv()
        dones = terminated | truncated
        infos: list[dict[str, Any]] = [{} for _ in range(self.num_envs)]
        ended = np.flatnonzero(dones)
        if len(ended) > 0:
            for index in ended:
                infos[index] = {
                    "terminal_observation": observations[index].copy(),
                    "TimeLimit.truncated": bool(truncated[index] and not terminated[index]),
                }
            observations[ended] = self._pool.reset(ended)[0]
        return observations, rewards.astype(np.float32, copy=False), dones, infos

    def close(self) -> None:
        """Stop the envs' threads."""
        self._pool.close()

    def get_attr(self, attr_name: str, indices: VecEnvIndices = None) -> list[Any]:
        """Answer that nothing is rendered; there is no other attribute."""
        if attr_name != "render_mode":
            raise AttributeError(f"EnvPool has no single envs to ask for {attr_name!r}")
        return [
            None for _ in (range(self._pool_options["num_envs"]) if indices is None else self._get_indices(indices))
        ]

    def set_attr(self, attr_name: str, value: Any, indices: VecEnvIndices = None) -> None:  # noqa: ARG002
        """Refuse: there are no single envs."""
        raise AttributeError(f"EnvPool has no single envs to set {attr_name!r} in: pass options when you build it")

    def env_method(
        self,
        method_name: str,
        *method_args: Any,  # noqa: ARG002
        indices: VecEnvIndices = None,  # noqa: ARG002
        **method_kwargs: Any,  # noqa: ARG002
    ) -> list[Any]:
        """Refuse: there are no single envs."""
        raise AttributeError(f"EnvPool has no single envs to call {method_name!r} of")

    def env_is_wrapped(
        self,
        wrapper_class: type[gym.Wrapper[Any, Any, Any, Any]],  # noqa: ARG002
        indices: VecEnvIndices = None,
    ) -> list[bool]:
        """Tell that no env has a wrapper."""
        return [False for _ in self._get_indices(indices)]

    def get_images(self) -> Sequence[NDArray[Any] | None]:
        """Give no images."""
        return [None] * self.num_envs
