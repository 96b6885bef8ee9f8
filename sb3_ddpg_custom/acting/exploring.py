"""How a training chooses its next actions: the actor's, with noise on them or on its weights."""

from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import MaybeCallback
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.acting.action_noise import fit_to_envs, report_progress
from sb3_ddpg_custom.acting.averaged_actor import AveragingAlgorithm
from sb3_ddpg_custom.acting.noise_of_all_envs import at_once
from sb3_ddpg_custom.acting.numpy_actor import NumpyActor
from sb3_ddpg_custom.acting.parameter_noise import ParameterNoise, PerturbedActor
from sb3_ddpg_custom.action_spaces import as_type_of, is_whole
from sb3_ddpg_custom.observation_normalizer import normalizer_of
from sb3_ddpg_custom.overrides import has_own
from sb3_ddpg_custom.updates import UpdateStatistics


class ExploringAlgorithm(AveragingAlgorithm):
    """The half of an SB3 algorithm that acts: random actions first, then the actor's with exploration noise.

    What it adds to SB3's: noise on the actor's weights, noise that is told of the training's progress, actions of the
    action space's own type, and a quick way to compute them where a subclass knows one.
    """

    policy: TD3Policy
    #: what the newest updates saw, None before the first
    last_update: UpdateStatistics | None
    parameter_noise: ParameterNoise | None
    _perturbed_actor: PerturbedActor | None = None

    @property
    def _actor(self) -> NumpyActor | None:
        """The quick way to act on the actor as it is now, None where it has to be the policy's."""
        return None

    def _setup_model(self) -> None:
        super()._setup_model()
        self._check_is_normalized_once()
        # Of its own: updates through autograd draw from torch's generator, as SB3's do, and those by hand do not.
        self._noise_generator = th.Generator().manual_seed(th.initial_seed())

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        env = self.get_env()
        if env is not None:
            self.action_noise = fit_to_envs(self.action_noise, env.num_envs)
        self._check_is_normalized_once()
        begins_anew = reset_num_timesteps or self._last_obs is None
        prepared = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        normalizer = normalizer_of(self.policy)
        if normalizer is not None and begins_anew:
            normalizer.update(self._last_obs)  # type: ignore[arg-type]  # what the envs' reset gave
        self._perturbed_actor = None
        if env is not None and self.parameter_noise is not None:
            self._perturbed_actor = self._perturb(self.parameter_noise, env.num_envs)
        return prepared

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if action_noise is not None:
            total = self._total_timesteps
            progress_remaining = 1.0 - self.num_timesteps / total if total else 1.0
            report_progress(action_noise, progress_remaining, self._episode_num)
            action_noise = at_once(action_noise)
        act = None
        if self.num_timesteps >= learning_starts and self._last_obs is not None:
            act = self._perturbed_actor or self._actor
        if act is None:
            with self._exploring():
                action, scaled_action = super()._sample_action(learning_starts, action_noise, n_envs)
        else:
            if isinstance(act, PerturbedActor):
                if act.policy is not self.policy:
                    act = self._perturbed_actor = self._perturb(act.noise, n_envs)
                self._adapt_parameter_noise(act)
            scaled_action = act(self._last_obs)  # type: ignore[arg-type]  # there is one
            if action_noise is not None:
                # As clip() does, in half the time.
                scaled_action = np.minimum(np.maximum(scaled_action + action_noise(), -1), 1)
            action = self.policy.unscale_action(scaled_action)
        if is_whole(self.action_space):
            # What the env executes is what is stored.
            action = as_type_of(self.action_space, action)
            scaled_action = self.policy.scale_action(action)
        return action, scaled_action

    def _perturb(self, noise: ParameterNoise, n_envs: int) -> PerturbedActor:
        predict = self.predict if has_own(self, "predict") else None
        return PerturbedActor(noise, self.policy, n_envs, generator=self._noise_generator, predict=predict)

    def _adapt_parameter_noise(self, actor: PerturbedActor) -> None:
        if actor.adaptation_is_due and self.last_update is not None:  # what has been trained on can be sampled
            batch = self.replay_buffer.sample(self.batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
            self.logger.record("train/parameter_noise_distance", actor.adapt(batch.observations))
            self.logger.record("train/parameter_noise_std", actor.noise.std)

    def _store_transition(
        self,
        replay_buffer: SB3ReplayBuffer,
        buffer_action: NDArray[Any],
        new_obs: NDArray[Any] | dict[str, NDArray[Any]],
        reward: NDArray[Any],
        dones: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        normalizer = normalizer_of(self.policy)
        if normalizer is not None:
            normalizer.update(new_obs)  # which is a reset's where an episode ended
        ended = np.count_nonzero(dones)  # in a quarter of any()'s time
        if self._vec_normalize_env is not None or ended or not isinstance(new_obs, np.ndarray):
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
            return
        # What remains of it within an episode, less a deep copy.
        observations: Any = self._last_obs
        self._last_original_obs = observations
        replay_buffer.add(observations, new_obs.copy(), buffer_action, reward, dones, infos)
        self._last_obs = new_obs

    def _check_is_normalized_once(self) -> None:
        by_env = self._vec_normalize_env
        if by_env is not None and by_env.norm_obs and normalizer_of(self.policy) is not None:
            raise ValueError(
                "observations would be normalised twice, by the envs' VecNormalize and by the policy: use "
                "VecNormalize(norm_obs=False), or leave normalize_observations out of policy_kwargs"
            )

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: NDArray[np.bool_] | None = None) -> None:
        super()._update_info_buffer(infos, dones)
        if dones is not None and self._perturbed_actor is not None:
            self._perturbed_actor.reset(np.flatnonzero(dones))

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Give the policy's actions, those of its averaged actor where it has one; see SB3's ``BaseAlgorithm.predict``.

        :param observation: one observation, or those of several envs
        :param state: of recurrent policies, handed through
        :param episode_start: of recurrent policies
        :param deterministic: DDPG's policy is
        :return: actions in the env's units, of its action space's type, and ``state``
        """
        with self._who_plays():
            actions, state = super().predict(observation, state, episode_start, deterministic)
        return as_type_of(self.action_space, actions), state
