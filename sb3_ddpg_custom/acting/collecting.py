"""How transitions are collected: SB3's loop, without its detours where only known code runs and the envs are at hand.

With a small network SB3's way from one update to the next, copies of copies and questions whose answers are known,
takes longer than the env's step.
"""

from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_ddpg_custom.acting.envs_in_turn import own_envs, step_in_turn
from sb3_ddpg_custom.acting.exploring import ExploringAlgorithm
from sb3_ddpg_custom.overrides import has_own, is_as_written

# What the loop here does itself, or leaves out as it does nothing.
_NAMES = ("collect_rollouts", "_on_step", "_update_info_buffer")


class CollectingAlgorithm(ExploringAlgorithm):
    """Collects as SB3's algorithms do, and quicker from the envs that it may step itself."""

    #: these envs, None where there are none
    _own_envs: DummyVecEnv | None = None

    def _look_for_own_envs(self) -> None:
        """Take the envs' steps over where nobody can tell; for trainings in which only known code runs."""
        is_sb3s = is_as_written(type(self), *_NAMES) and not any(has_own(self, name) for name in _NAMES)
        self._own_envs = own_envs(self.get_env()) if is_sb3s else None

    def collect_rollouts(
        self,
        env: VecEnv,
        callback: BaseCallback,
        train_freq: TrainFreq,
        replay_buffer: SB3ReplayBuffer,
        action_noise: ActionNoise | None = None,
        learning_starts: int = 0,
        log_interval: int | None = None,
    ) -> RolloutReturn:
        """Collect transitions; see SB3's ``OffPolicyAlgorithm.collect_rollouts``."""
        envs = self._own_envs
        if envs is None or env is not envs or train_freq.unit is not TrainFrequencyUnit.STEP:
            return super().collect_rollouts(
                env, callback, train_freq, replay_buffer, action_noise, learning_starts, log_interval
            )
        self.policy.set_training_mode(False)
        callback.on_rollout_start()
        num_collected_steps, num_collected_episodes, continue_training = 0, 0, True
        while num_collected_steps < train_freq.frequency:
            actions, buffer_actions = self._sample_action(learning_starts, action_noise, envs.num_envs)
            new_obs, rewards, dones, infos = step_in_turn(envs, actions)
            self.num_timesteps += envs.num_envs
            num_collected_steps += 1
            callback.update_locals(locals())
            if not callback.on_step():
                steps = num_collected_steps * envs.num_envs
                return RolloutReturn(steps, num_collected_episodes, continue_training=False)
            ended = dones.nonzero()[0]
            if len(ended) or any("episode" in info for info in infos):
                self._update_info_buffer(infos, dones)
            self._store_transition(replay_buffer, buffer_actions, new_obs, rewards, dones, infos)
            self._update_current_progress_remaining(self.num_timesteps, self._total_timesteps)
            for idx in ended:
                num_collected_episodes += 1
                self._episode_num += 1
                if action_noise is not None:
                    action_noise.reset(**({"indices": [idx]} if envs.num_envs > 1 else {}))
                if log_interval is not None and self._episode_num % log_interval == 0:
                    self.dump_logs()
        callback.on_rollout_end()
        return RolloutReturn(num_collected_steps * envs.num_envs, num_collected_episodes, continue_training)
