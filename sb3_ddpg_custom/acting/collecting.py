"""How transitions are collected: SB3's loop, without its detours where only known code runs and the envs are at hand.

With a small network SB3's way from one update to the next, copies of copies and questions whose answers are known,
takes longer than the env's step.
"""

from typing import Any

from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import RolloutReturn, TrainFreq, TrainFrequencyUnit
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_ddpg_custom.acting.exploring import ExploringAlgorithm

# What the loop here does itself, or leaves out as it does nothing.
_DONE_HERE = (
    *((DummyVecEnv, name) for name in ("step", "step_async", "step_wait", "_save_obs", "_obs_from_buf")),
    *((OffPolicyAlgorithm, name) for name in ("collect_rollouts", "_on_step", "_update_info_buffer")),
)
_AS_THEY_CAME = [getattr(kind, name) for kind, name in _DONE_HERE]


class CollectingAlgorithm(ExploringAlgorithm):
    """Collects as SB3's algorithms do, and quicker from the envs that it may step itself."""

    #: these envs, None where there are none
    _own_envs: DummyVecEnv | None = None

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
        num_collected_steps, num_collected_episodes = 0, 0
        while num_collected_steps < train_freq.frequency:
            actions, buffer_actions = self._sample_action(learning_starts, action_noise, envs.num_envs)
            new_obs, rewards, dones, infos = step(envs, actions)
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
        return RolloutReturn(num_collected_steps * envs.num_envs, num_collected_episodes, continue_training=True)


def own_envs(env: VecEnv | None) -> DummyVecEnv | None:
    """Give back envs of which :func:`step` does what their own ``step`` does, None for others.

    :param env: of a model
    """
    as_they_came = [getattr(kind, name) for kind, name in _DONE_HERE] == _AS_THEY_CAME
    return env if type(env) is DummyVecEnv and env.keys == [None] and as_they_came else None


def step(envs: DummyVecEnv, actions: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any], list[Any]]:
    """Step envs in turn as ``DummyVecEnv`` does, and hand out arrays of one's own, but the envs' own infos.

    :param envs: that :func:`own_envs` gave back
    :param actions: (n_envs, *shape)
    :return: observations, (n_envs, *shape), where an episode ended those of the next one; rewards, dones, (n_envs,);
        and infos
    """
    envs.actions = actions
    observations: Any = envs.buf_obs[None]  # type: ignore[index]  # its key where observations are no dict
    rewards, dones, infos = envs.buf_rews, envs.buf_dones, envs.buf_infos
    for place, env in enumerate(envs.envs):
        observation, rewards[place], terminated, truncated, info = env.step(actions[place])
        dones[place] = over = terminated or truncated
        info["TimeLimit.truncated"] = truncated and not terminated
        if over:
            info["terminal_observation"] = observation
            observation, envs.reset_infos[place] = env.reset()
        observations[place] = observation
        infos[place] = info
    return observations.copy(), rewards.copy(), dones.copy(), infos.copy()
