"""How much memory settings ask for, estimated before any of it is taken."""

import os
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from gymnasium import spaces
from stable_baselines3.common.preprocessing import is_image_space

from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError

# Beyond any use; and there are sixteen observations side by side, and more in the replay buffer.
_MOST_FOR_AN_OBSERVATION = 2**28
_MOST_FOR_WINDOWS = 2 * 2**30
_UNKNOWN_MACHINE = 16 * 2**30
# Measured on batches of 256 with 100,000 steps: rewards, ends, positions and discounts of each step of each window.
_BYTES_PER_WINDOW_STEP = 25
_FLOAT = 4
_COPIES_OF_WEIGHTS = 5  # online, target, gradient, Adam's two moments
_COPIES_OF_ACTIVATIONS = 4  # values and gradients, of the online and the target network
_CNN_FEATURES = 512


def check_observation_memory(settings: Settings, observed: spaces.Space[Any]) -> None:
    """Refuse stacks of frames of which no memory holds one.

    :param settings: for ``frame_stack``
    :param observed: observation space of one env, before frames are stacked
    :raises UsageError: a sentence that says how much it would be
    """
    stack = settings.frame_stack or 1
    if _bytes(observed) * stack > _MOST_FOR_AN_OBSERVATION:
        _refuse(f"frame_stack is {stack:,}: one observation", _bytes(observed) * stack)


def check_training_memory(settings: Settings, observed: spaces.Space[Any], action_space: spaces.Space[Any]) -> None:
    """Refuse networks and batches that no memory holds; the replay buffer takes memory only as it fills.

    :param settings: with a policy
    :param observed: observation space of one env, before frames are stacked
    :param action_space: the env's
    :raises UsageError: a sentence that says how much it would be
    """
    windows = settings.batch_size * settings.n_steps * _BYTES_PER_WINDOW_STEP
    if settings.n_steps > 1 and windows > _MOST_FOR_WINDOWS:
        _refuse(f"n_steps is {settings.n_steps:,} with batch_size {settings.batch_size:,}: a batch", windows)
    most = _memory_bytes() // 2
    actor, critic = _widths(settings, _features(settings, observed), spaces.flatdim(action_space))
    n_critics = settings.policy_kwargs.get("n_critics", 1)
    n_critics = n_critics if isinstance(n_critics, int) else 1
    weights = sum(a * b for a, b in pairwise(actor)) + n_critics * sum(a * b for a, b in pairwise(critic))
    networks = weights * _FLOAT * _COPIES_OF_WEIGHTS
    many = f"policy_kwargs.n_critics is {n_critics:,}" if n_critics > 2 else None
    if networks > most:
        _refuse(f"{many or f'policy_kwargs.net_arch is {actor[1:-1]}'}: the networks", networks)
    batch = settings.batch_size * (sum(actor) + n_critics * sum(critic)) * _FLOAT * _COPIES_OF_ACTIVATIONS
    if batch > most:
        _refuse(f"{many or f'batch_size is {settings.batch_size:,}'}: an update", batch)


def _refuse(what: str, size: int) -> None:
    raise UsageError(f"{what} would take about {size / 1e9:,.1f} GB of memory; lower it")


def _bytes(space: spaces.Space[Any]) -> int:
    parts = space.spaces.values() if isinstance(space, spaces.Dict) else [space]
    return sum(int(np.prod(part.shape or ())) * (part.dtype or np.dtype(np.float64)).itemsize for part in parts)


def _features(settings: Settings, observed: spaces.Space[Any]) -> int:
    """Count what reaches the first layer: the numbers of the observation, or what a CNN makes of an image."""
    if settings.policy == "CnnPolicy":
        return _CNN_FEATURES
    parts = observed.spaces.values() if isinstance(observed, spaces.Dict) else ()
    images = [part for part in parts if is_image_space(part)]
    numbers = spaces.flatdim(observed) - sum(map(spaces.flatdim, images))
    return numbers * (settings.frame_stack or 1) + len(images) * _CNN_FEATURES


def _widths(settings: Settings, features: int, actions: int) -> tuple[list[int], list[int]]:
    arch = settings.policy_kwargs.get("net_arch") or [400, 300]
    of_actor, of_critic = (arch["pi"], arch["qf"]) if isinstance(arch, dict) else (arch, arch)
    if settings.policy == "SimbaPolicy":  # whose blocks widen what they get, and narrow it again
        of_actor, of_critic = (
            [n for width in arch for n in (width, 4 * width, width)] for arch in (of_actor, of_critic)
        )
    return [features, *of_actor, actions], [features + actions, *of_critic, 1]


def _memory_bytes() -> int:
    """Give the machine's memory, or what a container may have of it."""
    try:
        machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):  # Windows
        return _UNKNOWN_MACHINE
    try:
        return min(machine, int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    except (OSError, ValueError):  # no cgroup, or "max"
        return machine
