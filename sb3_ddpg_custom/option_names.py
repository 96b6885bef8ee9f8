"""The words that options of the algorithm can be; nothing here imports torch, so that a command knows them at once."""

from typing import Literal

#: how updates are computed, see :func:`sb3_ddpg_custom.updates.make_update`
UpdateName = Literal["auto", "compiled", "analytic", "autograd"]
#: what the updates' large matrix products are computed in
Precision = Literal["float32", "bfloat16"]
#: where a replay buffer keeps its records, see :class:`sb3_ddpg_custom.ReplayBuffer`
StorageName = Literal["auto", "memory", "cuda"]
