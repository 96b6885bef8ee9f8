"""Which seeds training and evaluation use. They never meet: training's are below 2**31, evaluation's above."""

import secrets

import numpy as np

from sb3_ddpg_custom.cli.errors import UsageError

_EVALUATION = 2**31


def training_seed(seed: int | None) -> int:
    """Check the seed of a training, or draw one.

    SB3 gives its envs the seeds seed, seed + 1, …; hence the distance from the top.

    :param seed: value of ``--seed``
    :raises UsageError: if it is out of range
    """
    limit = _EVALUATION - 2**16
    if seed is None:
        return secrets.randbelow(limit)
    if not 0 <= seed < limit:
        raise UsageError(f"--seed {seed} is out of range; choose one from 0 to {limit - 1}")
    return seed


def evaluation_seeds(seed: int, episodes: int) -> list[int]:
    """Give each evaluation episode its seed; more episodes only append.

    :param seed: value of ``--seed`` of ``ddpg evaluate``
    :param episodes: how many
    :return: numbers from 2**31 to 2**32 - 1
    """
    return [_EVALUATION + int(np.random.SeedSequence([seed, i]).generate_state(1)[0] >> 1) for i in range(episodes)]
