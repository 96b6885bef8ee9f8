"""Train another library's algorithm as `time_to_score.py` asks, with nothing besides but its evaluations.

python peer_training.py '{"library": "sbx", "algorithm": "SAC", "env_id": "Pendulum-v1", "steps": 20000, …}'

Runs in the environment of that library: nothing of this package is imported.
"""

import importlib
import json
import operator
import sys
from functools import partial

import numpy as np
from marks import Evaluations
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise

if __name__ == "__main__":
    wanted = json.loads(sys.argv[1])
    kind = getattr(importlib.import_module(wanted["library"]), wanted["algorithm"])
    env = make_vec_env(wanted["env_id"])
    options = dict(wanted["model"])
    if wanted["noise_std"]:
        size = env.action_space.shape[0]  # type: ignore[index]
        options["action_noise"] = NormalActionNoise(np.zeros(size), np.full(size, wanted["noise_std"]))
    rate = str(options.get("learning_rate", ""))
    if rate.startswith("lin_"):  # as rl-baselines3-zoo writes a rate that falls to 0
        options["learning_rate"] = partial(operator.mul, float(rate.removeprefix("lin_")))
    kind("MlpPolicy", env, **options).learn(wanted["steps"], Evaluations(wanted["env_id"], wanted["every"]))
