"""What the formulas by hand cover: the one answer to "is this a plain MLP policy?"."""

from typing import Any

import torch as th
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.td3.policies import Actor, TD3Policy
from torch import nn

from sb3_ddpg_custom.observation_normalizer import ObservationNormalizer, RunningNormalizer, normalizer_of
from sb3_ddpg_custom.overrides import classes_are_as_they_came, overridden, overridden_for_updates
from sb3_ddpg_custom.updates.by_hand.mlp import layers_of
from sb3_ddpg_custom.updates.flat import is_plain_adam
from sb3_ddpg_custom.updates.hooks import has_hooks

# Of a network: what stores it, and what is asked of policies alone.
_NOT_OF_UPDATES = ("__init__", "_get_constructor_parameters", "save", "load", "predict", "_predict")


def why_not_analytic(policy: TD3Policy) -> str | None:
    """Say what about a policy the formulas here do not cover; None if nothing.

    :param policy: any; it is looked at as it is now
    """
    if not classes_are_as_they_came():
        return "a method of SB3's or torch's classes was replaced"
    name = overridden_for_updates(policy)
    if name is not None:
        return f"the policy is a {type(policy).__name__} that has its own {name}"
    return (
        _why_not_built(policy)
        or _why_not_normalized(policy)
        or _why_not_networks(policy)
        or _why_not_parameters(policy)
        or _why_not_optimizer(policy.actor, "actor")
        or _why_not_optimizer(policy.critic, "critic")
        or ("hooks are registered" if is_hooked(policy) else None)
    )


def is_hooked(policy: TD3Policy) -> bool:
    """Say whether something of others is called by the policy's networks or optimisers."""
    if th.is_anomaly_enabled():
        return True
    return has_hooks(networks_of(policy), [policy.actor.optimizer, policy.critic.optimizer])


def networks_of(policy: TD3Policy) -> tuple[Any, Any, Any, Any]:
    """Give actor, critic and their targets."""
    return policy.actor, policy.critic, policy.actor_target, policy.critic_target


def _why_not_built(policy: TD3Policy) -> str | None:
    kinds = ("actor", Actor), ("critic", ContinuousCritic), ("actor_target", Actor), ("critic_target", ContinuousCritic)
    for role, kind in kinds:
        network = getattr(policy, role)
        name = overridden(network, kind, _NOT_OF_UPDATES)
        if name is not None:
            return f"its {role} is a {type(network).__name__} that has its own {name}"
        extractor = network.features_extractor
        if type(extractor) is not FlattenExtractor or overridden(extractor, FlattenExtractor) is not None:
            return f"its features extractor is a {type(extractor).__name__}"
    return None


def _why_not_normalized(policy: TD3Policy) -> str | None:
    normalizers = [normalizer_of(network) for network in networks_of(policy)]
    first = normalizers[0]
    if any(one is not first for one in normalizers):
        return "its networks do not share one normalisation of observations"
    kinds = {ObservationNormalizer, nn.ModuleDict, RunningNormalizer}
    if first is not None and not {type(module) for module in first.modules()} <= kinds:
        return "its observations are normalised in a way of its own"
    return None


def _perceptrons(network: Any) -> list[Any]:
    return [network.mu] if isinstance(network, Actor) else list(network.q_networks)


def _why_not_networks(policy: TD3Policy) -> str | None:
    networks = networks_of(policy)
    for network in networks:
        parts = _perceptrons(network)
        if not parts or not all(type(part) is nn.Sequential and layers_of(part) for part in parts):
            return "its networks are more than linear layers with known activations"
        if isinstance(network, Actor) and type(network.mu[-1]) is not nn.Tanh:
            return "its actor does not end in a tanh"
        if any("forward" in module.__dict__ for module in network.modules()):
            return "one of its modules has a forward of its own"
        expected = [id(parameter) for part in parts for layer in layers_of(part) for parameter in layer.parameters]
        if [id(parameter) for parameter in network.parameters()] != expected:
            return "its networks have parameters that they do not use, or share some"
    return None


def _why_not_parameters(policy: TD3Policy) -> str | None:
    online = [*policy.actor.parameters(), *policy.critic.parameters()]
    targets = [*policy.actor_target.parameters(), *policy.critic_target.parameters()]
    if [p.shape for p in online] != [p.shape for p in targets]:
        return "its targets are built otherwise than its networks"
    everything = [*online, *targets]
    if len({(p.dtype, p.device) for p in everything}) != 1 or not online[0].is_floating_point():
        return "its parameters are of several types or on several devices"
    if len({p.data_ptr() for p in everything}) != len(everything) or any(0 in p.stride() for p in everything):
        return "some of its parameters share memory"
    if online[0].device.type == "cpu" and any(map(th.Tensor.is_shared, everything)):
        return "its parameters are shared with other processes"
    if not all(p.requires_grad for p in online):
        return "some of its parameters are frozen"
    return None


def _why_not_optimizer(network: Any, role: str) -> str | None:
    optimizer = getattr(network, "optimizer", None)
    if not is_plain_adam(optimizer):
        return f"its optimiser is {type(optimizer).__name__} with options of its own, not plain Adam or AdamW"
    assert isinstance(optimizer, th.optim.Optimizer)  # noqa: S101 (for mypy)
    if [id(p) for p in optimizer.param_groups[0]["params"]] != [id(p) for p in network.parameters()]:
        return f"the {role}'s optimiser works on other parameters than its network's"
    if any(callable(getattr(type(optimizer), name, None)) for name in optimizer.__dict__):
        return f"a method of the {role}'s optimiser was replaced"
    return None
