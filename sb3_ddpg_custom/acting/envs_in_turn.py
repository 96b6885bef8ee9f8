"""Envs that step in turn, without ``DummyVecEnv``'s copies of all that they say."""

from typing import Any

from numpy.typing import NDArray
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv

from sb3_ddpg_custom.overrides import is_as_written

Array = NDArray[Any]

# What is done here instead.
_NAMES = ("step", "step_async", "step_wait", "_save_obs", "_obs_from_buf")


def own_envs(env: VecEnv | None) -> DummyVecEnv | None:
    """Give back envs of which :func:`step_in_turn` does what their own ``step`` does, None for others.

    :param env: of a model
    """
    if type(env) is not DummyVecEnv or env.keys != [None] or not is_as_written(DummyVecEnv, *_NAMES):
        return None
    return None if any(name in vars(env) for name in _NAMES) else env


def step_in_turn(envs: DummyVecEnv, actions: Array) -> tuple[Array, Array, Array, list[dict[str, Any]]]:
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
