"""What the update is compiled to, loaded where it is imported: once for all processes that are forked from there."""

from contextlib import suppress

import numpy as np

from sb3_ddpg_custom.updates.compiled.update import why_no_numba


def _load() -> None:
    """Have Numba get ready for machine code, half a second of every run's start, by way of a tiny network's action."""
    if why_no_numba() is not None:
        return
    from sb3_ddpg_custom.updates.compiled import kernels

    layers = kernels.layout([1, 1], batch_size=1)
    kernels.act(layers, np.zeros(2, np.float32), np.zeros(kernels.room(layers, 1), np.float32), np.zeros((1, 1), "f4"))


with suppress(Exception):  # a run that cannot do without will say why
    _load()
