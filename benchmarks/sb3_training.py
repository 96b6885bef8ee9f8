"""Train SB3's DDPG as `time_to_solve.py` asks, with nothing besides but its evaluations.

python sb3_training.py '{"env_id": "Pendulum-v1", "steps": 20000, "every": 250, "noise_std": 0.1, "model": {…}}'
"""

import json
import sys

import numpy as np
import torch as th
from marks import Evaluations
from stable_baselines3 import DDPG
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise

if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    th.set_num_threads(1)
    env = make_vec_env(wanted["env_id"])
    size = env.action_space.shape[0]  # type: ignore[index]
    noise = NormalActionNoise(np.zeros(size), np.full(size, wanted["noise_std"]))
    model = DDPG("MlpPolicy", env, action_noise=noise, **wanted["model"])
    model.learn(wanted["steps"], Evaluations(wanted["env_id"], wanted["every"]))
