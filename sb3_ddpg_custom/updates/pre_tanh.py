"""What goes into an actor's last tanh, seen without knowing how the actor computes it."""

from typing import Any

import torch as th
from torch import nn


def final_tanh(actor: nn.Module) -> nn.Tanh:
    """Find the tanh that an actor ends in.

    :param actor: SB3's, or like it: what it computes last is the last layer of its ``mu``
    :raises ValueError: if that is none
    """
    last = getattr(actor, "mu", actor)
    while last._modules:  # not modules(), which tells of a layer that stands in two places in the first one
        last = list(last._modules.values())[-1]
    if not isinstance(last, nn.Tanh):
        raise ValueError(f"pre_tanh_penalty needs an actor that ends in nn.Tanh, got one whose end is {last}")
    return last


def act_and_look(actor: nn.Module, observations: Any) -> tuple[th.Tensor, th.Tensor]:
    """Compute an actor's actions and what its last tanh made them from, a = tanh(z), with the graph behind both.

    :param actor: see :func:`final_tanh`
    :param observations: (batch, …), as the actor takes them
    :return: a and z, both (batch, action_dim)
    :raises ValueError: if the actor does not end in a tanh
    """
    seen: list[th.Tensor] = []
    hook = final_tanh(actor).register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    try:
        actions: th.Tensor = actor(observations)
    finally:
        hook.remove()
    if not seen:
        raise ValueError(f"pre_tanh_penalty needs an actor that calls the tanh it ends in, got {type(actor).__name__}")
    return actions, seen[-1]
