"""The policy inside a checkpoint, rebuilt from plain data."""

import re
from itertools import pairwise
from typing import Any

import torch as th
from gymnasium import spaces
from stable_baselines3.common import torch_layers
from stable_baselines3.common.utils import ConstantSchedule
from stable_baselines3.td3.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, TD3Policy
from torch import nn

from sb3_ddpg_custom.acting.averaged_actor import played_weights
from sb3_ddpg_custom.action_bounds import bounded_space
from sb3_ddpg_custom.action_spaces import with_real_bounds
from sb3_ddpg_custom.checkpoint.read import Checkpoint, CheckpointError
from sb3_ddpg_custom.layer_norm import with_layer_norm
from sb3_ddpg_custom.normalized_policies import OPTION, NormalizedMlpPolicy, policy_with_options
from sb3_ddpg_custom.policies import Adam
from sb3_ddpg_custom.residual_policies import SimbaPolicy

_LARGE = 4096  # a feature size that must be found among the weights
# Where the policies that are rebuilt here come from.
_HOMES = (
    *("stable_baselines3.td3.policies", "sb3_ddpg_custom.layer_norm"),
    *("sb3_ddpg_custom.normalized_policies", "sb3_ddpg_custom.residual_policies"),
)
# Where the classes that a file may name come from: looking a name up in these modules runs nothing.
_TRUSTED = {"torch.nn.modules": nn, "stable_baselines3.common.torch_layers": torch_layers}


def build_policy(
    checkpoint: Checkpoint,
    observation_space: spaces.Space[Any],
    action_space: spaces.Space[Any],
    device: str = "auto",
    *,
    with_critic: bool = False,
) -> TD3Policy:
    """Rebuild a checkpoint's policy for an env; its actor has the checkpoint's weights.

    :param checkpoint: what ``read_checkpoint`` gave
    :param observation_space: the env's, after SB3's wrappers (images channel-first)
    :param action_space: the env's
    :param device: torch device
    :param with_critic: with the first critic, too; else there is a small one that knows nothing
    :raises CheckpointError: if the env's shapes are not the checkpoint's, or the policy is not one of SB3's for DDPG
    """
    home = _text(checkpoint.attributes.get("policy_class"), "__module__")
    if home not in _HOMES:
        raise CheckpointError(
            f"{checkpoint.path}: its policy class is from {home or 'an unknown module'}, and only the policies of "
            "SB3's DDPG and TD3 are rebuilt here; if you trust its author, use --trust-pickle, or DDPG.load in Python"
        )
    try:
        action_space = bounded_space(action_space, checkpoint.attributes.get("action_bounds"))
    except ValueError as error:
        raise CheckpointError(f"{checkpoint.path}: {error}") from error
    _check_shape(checkpoint, "observation", observation_space)
    _check_shape(checkpoint, "action", action_space)
    if not isinstance(action_space, spaces.Box):
        raise CheckpointError(f"{checkpoint.path}: DDPG acts in a Box, but this env's action space is {action_space}")
    weights = played_weights(dict(checkpoint.parameters["policy"]))
    policy_class: type[TD3Policy] = MlpPolicy
    if home == SimbaPolicy.__module__:
        policy_class = SimbaPolicy
    elif isinstance(observation_space, spaces.Dict):
        policy_class = MultiInputPolicy
    elif any(name.startswith("features_extractor.cnn") for name in weights):
        policy_class = CnnPolicy
    kwargs = _policy_kwargs(checkpoint)
    policy_class = with_layer_norm(policy_class, kwargs)
    _check_size(checkpoint, kwargs, weights)
    kwargs = {**(kwargs if with_critic else _without_critic(kwargs, policy_class)), "n_critics": 1}
    if home == NormalizedMlpPolicy.__module__:
        kwargs[OPTION] = True
    try:
        policy_class, kwargs = policy_with_options(policy_class, kwargs)
        box: Any = with_real_bounds(action_space)
        policy = policy_class(observation_space, box, ConstantSchedule(0.0), optimizer_class=Adam, **kwargs)
        policy.actor.load_state_dict(weights)
        if with_critic:
            held = checkpoint.parameters["policy"]
            policy.critic.load_state_dict({name: held[f"critic.{name}"] for name in policy.critic.state_dict()})
    except Exception as error:  # anything may come of arguments that a file has made up
        reason = re.sub(r"\s+", " ", str(error))[:200] or type(error).__name__
        raise CheckpointError(f"{checkpoint.path}: its weights do not fit this env's policy: {reason}") from error
    policy.set_training_mode(False)
    return policy.to(th.device("cuda" if th.cuda.is_available() else "cpu") if device == "auto" else device)


def _policy_kwargs(checkpoint: Checkpoint) -> dict[str, Any]:
    kwargs = dict(checkpoint.attributes.get("policy_kwargs") or {})
    return {
        key: _value(checkpoint, key, value)
        for key, value in kwargs.items()
        # Only predictions are wanted: no optimiser, and no part of SB3's pickled form.
        if key not in ("optimizer_class", "optimizer_kwargs") and not key.startswith(":")
    }


def _without_critic(kwargs: dict[str, Any], policy_class: type[TD3Policy]) -> dict[str, Any]:
    """Leave out what the critic has of its own."""
    arch = kwargs.get("net_arch")
    if isinstance(arch, list):
        arch = {"pi": arch, "qf": arch}
    if isinstance(arch, dict) and "qf" in arch:
        return {**kwargs, "net_arch": {**arch, "qf": [1] if policy_class is SimbaPolicy else []}}
    return kwargs


def _check_size(checkpoint: Checkpoint, kwargs: dict[str, Any], weights: dict[str, th.Tensor]) -> None:
    """Refuse networks other than the weights that are there, before memory is taken for them."""
    held = sum(tensor.numel() for tensor in checkpoint.parameters["policy"].values())
    arch = kwargs.get("net_arch") or []
    for widths in arch.values() if isinstance(arch, dict) else [arch]:
        numbers = [width for width in widths if isinstance(width, int)] if isinstance(widths, list) else []
        if sum(numbers) + sum(a * b for a, b in pairwise(numbers)) > held:
            raise CheckpointError(f"{checkpoint.path}: its net_arch {str(arch)[:60]} is larger than its weights")
    sizes = {size for tensor in weights.values() for size in tensor.shape}
    of_actor = arch.get("pi", []) if isinstance(arch, dict) else arch
    if isinstance(of_actor, list) and not all(width in sizes for width in of_actor if isinstance(width, int)):
        raise CheckpointError(f"{checkpoint.path}: its net_arch {str(arch)[:60]} is not that of its weights")
    of_features = kwargs.get("features_extractor_kwargs")
    for name, number in [*kwargs.items(), *(of_features.items() if isinstance(of_features, dict) else [])]:
        if isinstance(number, int) and (number > held or (number > _LARGE and number not in sizes)):
            raise CheckpointError(f"{checkpoint.path}: its {name} {number} is larger than its weights")


def _value(checkpoint: Checkpoint, key: str, value: Any) -> Any:
    """Turn text such as "<class 'torch.nn.modules.activation.Tanh'>" into the class, where it is a trusted one."""
    named = re.fullmatch(r"<class '([\w.]+)\.(\w+)'>", value) if isinstance(value, str) else None
    if named is None:
        return value
    module, name = named.groups()
    for prefix, home in _TRUSTED.items():
        if (module == prefix or module.startswith(f"{prefix}.")) and isinstance(getattr(home, name, None), type):
            return getattr(home, name)
    raise CheckpointError(
        f"{checkpoint.path}: its policy_kwargs name {module}.{name} as {key}, which is neither torch's nor SB3's; "
        "if you trust its author, use --trust-pickle, or DDPG.load in Python"
    )


def _check_shape(checkpoint: Checkpoint, what: str, space: spaces.Space[Any]) -> None:
    trained = checkpoint.attributes.get(f"{what}_space")
    shape = trained.get("_shape") if isinstance(trained, dict) else None
    if shape is not None and space.shape is not None and tuple(shape) != space.shape:
        raise CheckpointError(
            f"{checkpoint.path} was trained on {what}s of shape {tuple(shape)}, but this env has {what}s of shape "
            f"{space.shape}: choose its own env with --env"
        )


def _text(value: Any, key: str) -> str:
    return str(value.get(key, "")) if isinstance(value, dict) else ""
