"""The way between an environment's own observations and what SB3's wrappers make of them."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv, VecNormalize, VecTransposeImage, unwrap_vec_wrapper

from sb3_ddpg_custom.export.write import raw_space_of


class Raw:
    """The way between an environment's own observations and a policy's.

    :param envs: with SB3's wrappers
    """

    def __init__(self, envs: VecEnv) -> None:
        #: of raw observations
        self.space = raw_space_of(envs)
        self._normalizer: Any = unwrap_vec_wrapper(envs, VecNormalize)
        self._transposer: Any = unwrap_vec_wrapper(envs, VecTransposeImage)

    def to_policy(self, batch: Any) -> Any:
        """Give what a policy gets.

        :param batch: raw, (n, *shape) or a dict of such
        """
        if self._normalizer is not None:
            batch = self._normalizer.normalize_obs(batch)
        return batch if self._transposer is None else self._transposer.transpose_observations(batch)

    def of(self, observations: Any) -> Any:
        """Give the raw observations that the last step gave.

        :param observations: as the envs gave them
        """
        if self._normalizer is not None:
            return self._normalizer.get_original_obs()
        if self._transposer is None:
            return observations
        if isinstance(observations, dict):
            pictures = self._transposer.image_space_keys
            return {key: np.moveaxis(one, 1, -1) if key in pictures else one for key, one in observations.items()}
        return np.moveaxis(observations, 1, -1)
