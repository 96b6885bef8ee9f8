"""Have Numba compile once what each process that runs tests would.

``PYTHONPATH=tests python -m helpers.compile_first`` keeps what it makes beside the sources, as any training does.
"""

import sys
from importlib.util import find_spec

import torch as th

from helpers import make_model
from sb3_ddpg_custom.normalized_policies import NormalizedMlpPolicy


def train_a_little(dtype: th.dtype) -> None:
    """Act, draw, take batches over, with and without statistics of the observations, and update with two threads."""
    for policy, batch_size, threads in (("MlpPolicy", 16, 1), (NormalizedMlpPolicy, 512, 2)):
        th.set_num_threads(threads)
        model = make_model(policy=policy, batch_size=batch_size, policy_kwargs={"net_arch": [128, 128]})
        model.policy.to(dtype)
        model.learn(25)
    th.set_num_threads(1)


if __name__ == "__main__":
    if find_spec("numba"):
        train_a_little(th.float32)
        train_a_little(th.float64)  # in which tests tell a fault from rounding
    else:
        sys.stdout.write("Numba is not installed: nothing to compile\n")
