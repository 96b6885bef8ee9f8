"""How many threads torch computes with during a run."""

import itertools
import os
from collections.abc import Iterator
from contextlib import contextmanager

from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError

# Below this many multiplications in the largest product, handing out work costs more than a second core brings, and
# far more when another program holds that core.
_WORTH_SHARING = 5_000_000
_LARGEST_DEFAULT_LAYER = 400 * 300  # SB3's network where the settings name none


@contextmanager
def torch_threads(wanted: int | None, settings: Settings) -> Iterator[None]:
    """Set torch's number of threads inside the block.

    :param wanted: how many; None takes one for small networks and leaves torch's choice for large ones
    :param settings: for the size of the products
    :raises UsageError: if so many threads could only be in each other's way
    """
    import torch as th

    if wanted is not None:
        check_threads(wanted)

    before = th.get_num_threads()
    if wanted is None:
        wanted = 1 if largest_product(settings) < _WORTH_SHARING else before
    th.set_num_threads(wanted)
    try:
        yield
    finally:
        th.set_num_threads(before)


def check_threads(wanted: int) -> None:
    """Refuse a number of threads that could only be in each other's way.

    :param wanted: how many
    :raises UsageError: if they are too many, or none
    """
    most = 4 * (os.cpu_count() or 1)
    if not 1 <= wanted <= most:
        raise UsageError(f"--threads {wanted} is out of range; from 1 to {most} make sense on this machine")


def largest_product(settings: Settings) -> int:
    """Count the multiplications of the largest layer's product with one batch.

    :param settings: ``batch_size`` and ``policy_kwargs.net_arch``; observations are taken for small
    """
    net_arch = settings.policy_kwargs.get("net_arch")
    networks = list(net_arch.values()) if isinstance(net_arch, dict) else [net_arch or []]
    layers = [a * b for widths in networks for a, b in itertools.pairwise(widths)]
    return settings.batch_size * max(layers, default=_LARGEST_DEFAULT_LAYER if net_arch is None else 0)
