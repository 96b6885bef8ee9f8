"""What SB3's ``TD3Policy`` lacks for DDPG as its paper describes it; the networks themselves are SB3's."""

import torch as th
from stable_baselines3.td3.policies import TD3Policy
from torch import nn


def initialise_outputs(policy: TD3Policy, bound: float) -> None:
    """Draw the last layer of the actor and of each critic uniformly from [-bound, bound], and copy the targets.

    Lillicrap et al. 2016, section 7, with bound 3e-3: the first actions and Q values lie near zero, and the
    actor's tanh starts where it has a slope.

    :param policy: changed in place
    :param bound: largest absolute weight and bias
    :raises ValueError: if an output network does not end in a linear layer
    """
    for network in (policy.actor.mu, *policy.critic.q_networks):
        linear = [layer for layer in network.modules() if isinstance(layer, nn.Linear)]
        if not linear:
            raise ValueError(f"output_init needs output networks that end in a linear layer, got {network}")
        with th.no_grad():
            linear[-1].weight.uniform_(-bound, bound)
            linear[-1].bias.uniform_(-bound, bound)
    policy.actor_target.load_state_dict(policy.actor.state_dict())
    policy.critic_target.load_state_dict(policy.critic.state_dict())
