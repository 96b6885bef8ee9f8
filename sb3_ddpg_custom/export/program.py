"""What a policy computes, from a raw observation to the environment's action, as a list of steps on plain arrays.

Each file format is written from it, so that a network is taken apart in one place:
:func:`sb3_ddpg_custom.export.from_policy.program_of`.
"""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Input:
    """What comes in.

    :param name: ``"observation"``, or the key of a Dict's part
    :param shape: of one observation, without the batch
    :param dtype: of its numbers
    """

    name: str
    shape: tuple[int, ...]
    dtype: np.dtype


@dataclass(frozen=True)
class Step:
    """One operation on named values, each with the batch as its first axis.

    - ``normalize``: clip((x - mean) / deviation, ±clip), computed in float64, given in float32
    - ``channels_first``: (batch, h, w, c) to (batch, c, h, w)
    - ``to_float``: float32, divided by ``divisor``
    - ``one_hot``: whole numbers from 0 to ``sizes``, one block of zeros and a one for each
    - ``flatten``, ``concat``, ``add``
    - ``linear``: x Wᵀ + b; ``conv``: ``stride``, no padding; ``layer_norm`` over the last axis, with ``epsilon``
    - ``relu``, ``tanh``, ``sigmoid``, ``silu``, ``gelu``, ``leaky_relu`` (``slope``), ``elu`` (``alpha``)
    - ``scale_action``: low + (x + 1) / 2 · span, in the shape of the action and the type of low
    - ``round``: to the nearest whole numbers, the even one of two, of so many ``bytes``, ``signed`` or not

    :param op: one of these
    :param reads: names of values
    :param writes: name of the result
    :param arrays: the operation's
    :param options: the operation's numbers
    """

    op: str
    reads: tuple[str, ...]
    writes: str
    arrays: dict[str, NDArray[np.generic]] = field(default_factory=dict)
    options: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Program:
    """All steps, and where they begin and end.

    :param inputs: what comes in
    :param steps: in order; the last one writes the action
    :param action_shape: without the batch
    :param action_dtype: of the numbers that come out
    """

    inputs: tuple[Input, ...]
    steps: tuple[Step, ...]
    action_shape: tuple[int, ...]
    action_dtype: np.dtype

    @property
    def output(self) -> str:
        """The name of the action."""
        return self.steps[-1].writes
