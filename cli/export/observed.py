"""Observations of an environment, to check a file with."""

from collections.abc import Callable
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.vec_env import VecEnv

from sb3_ddpg_custom.action_spaces import as_type_of
from sb3_ddpg_custom.cli.environments.raw import Raw


def observed(envs: VecEnv, space: spaces.Box, raw: Raw, predict: Callable[[Any], Any], number: int) -> Any:
    """Collect observations, half of them while acting at random and half while the policy acts.

    :param envs: a single one
    :param space: of the actions, bounded
    :param raw: its way to the policy
    :param predict: actions for a batch of raw observations
    :param number: how many
    :return: raw, (number, *shape), or a dict of such
    """
    space.seed(0)
    collected = []
    given = envs.reset()
    for step in range(number):
        seen = raw.of(given)
        collected.append(seen)
        actions = np.array([space.sample()]) if step % 100 < 50 else as_type_of(space, predict(seen))
        given, *_ = envs.step(actions)
    if isinstance(collected[0], dict):
        return {key: np.concatenate([one[key] for one in collected]) for key in collected[0]}
    return np.concatenate(collected)
