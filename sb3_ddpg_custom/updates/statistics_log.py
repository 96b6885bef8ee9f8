"""What a training's updates saw, as SB3's logger gets it."""

from collections.abc import Sequence

import torch as th
from stable_baselines3.common.logger import Logger

from sb3_ddpg_custom.updates.interface import UpdateStatistics

_CURVES = [f"train/{name}" for name in UpdateStatistics._fields]
_NOWHERE_EXCLUDED = dict.fromkeys(_CURVES, ("",))


def summary(statistics: Sequence[th.Tensor]) -> UpdateStatistics:
    """Take the means over some updates, and the largest of their largest Q.

    :param statistics: one row of statistics per update; reading them here waits for the device, once
    """
    if len(statistics) == 1:
        return UpdateStatistics(*statistics[0].tolist())
    columns = UpdateStatistics(*th.stack(list(statistics), dim=1).tolist())
    means = UpdateStatistics(*[sum(column) / len(column) for column in columns])
    return means._replace(q_max=max(columns.q_max))


def record(logger: Logger, statistics: UpdateStatistics) -> None:
    """Log statistics as ``train/…``.

    :param logger: the algorithm's
    :param statistics: of one training
    """
    if type(logger) is Logger:  # what record() does, for all of them
        logger.name_to_value.update(zip(_CURVES, statistics, strict=True))
        logger.name_to_excluded.update(_NOWHERE_EXCLUDED)
        return
    for name, value in zip(_CURVES, statistics, strict=True):
        logger.record(name, value)
