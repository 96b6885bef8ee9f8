"""The update by hand, for plain MLP policies: the notes' ∂μ/∂θ · ∂Q/∂a with every product written out.

For a batch of n transitions (s, a, r, terminated, s'), with y = r + γ (1 - terminated) Q'(s', μ'(s')):

    critic   L = mean (Q(s, a) - y)²       ∂L/∂Q = 2 (Q - y) / n       then back through the critic
    actor    J = mean Q(s, μ(s))           ∂J/∂Q = 1 / n               back through the critic to ∂J/∂a, its weights
                                                                       untouched, and on through the actor
    targets  θ' ← θ' + τ (θ - θ')

The same numbers as ``losses.py`` gives through autograd, up to rounding; a test compares every gradient.
"""

import torch as th
from stable_baselines3.common.torch_layers import FlattenExtractor
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom.losses import td_target
from sb3_ddpg_custom.updates.flat import FlatAdam, FlatParameters, is_plain_adam
from sb3_ddpg_custom.updates.interface import Batch, UpdateStatistics
from sb3_ddpg_custom.updates.mlp import Mlp, layers_of


def why_not_analytic(policy: TD3Policy) -> str | None:
    """Say what about a policy the formulas here do not cover; None if nothing."""
    if type(policy) is not TD3Policy:
        return f"the policy is a {type(policy).__name__}, not SB3's MlpPolicy"
    for network in (policy.actor, policy.critic):
        if type(network.features_extractor) is not FlattenExtractor:
            return f"its features extractor is a {type(network.features_extractor).__name__}"
        if not is_plain_adam(network.optimizer):
            return f"its optimiser is {type(network.optimizer).__name__} with options of its own, not plain Adam"
        if not all(parameter.requires_grad for parameter in network.parameters()):
            return "some of its parameters are frozen"
    for part in (policy.actor.mu, *policy.critic.q_networks):
        if not isinstance(part, nn.Sequential) or layers_of(part) is None:
            return "its networks are more than linear layers with known activations"
    return None
