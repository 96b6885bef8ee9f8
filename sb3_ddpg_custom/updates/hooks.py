"""What others have torch call on the way through a network, back, or at an optimiser's step."""

from collections.abc import Iterable
from typing import Any

import torch as th
from torch import nn
from torch.nn.modules import module as of_all_modules
from torch.optim import optimizer as of_all_optimizers
from torch.utils.hooks import RemovableHandle

_OF_MODULES = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")

_OF_OPTIMIZERS = ("_optimizer_step_pre_hooks", "_optimizer_step_post_hooks")


def hooks_so_far() -> int:
    """Count the hooks that anybody ever registered anywhere: where the count stands still, none is new."""
    count: int = RemovableHandle.next_id
    return count


def has_hooks(networks: Iterable[nn.Module], optimizers: Iterable[Any]) -> bool:
    """Say whether something of others is called by a forward pass, a backward pass or a step.

    :param networks: with all that is in them
    :param optimizers: torch's
    """
    return (
        any(getattr(of_all_modules, f"_global{name}") for name in _OF_MODULES)
        or bool(of_all_optimizers._global_optimizer_pre_hooks or of_all_optimizers._global_optimizer_post_hooks)
        or any(map(_has_hooks, networks))
        or any(getattr(one, name, None) for one in optimizers for name in _OF_OPTIMIZERS)
    )


def _has_hooks(network: nn.Module) -> bool:
    parameters: Any = network.parameters()
    return any(getattr(module, name) for module in network.modules() for name in _OF_MODULES) or any(
        isinstance(one, th.Tensor) and (one._backward_hooks or one._post_accumulate_grad_hooks) for one in parameters
    )
