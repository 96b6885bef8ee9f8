"""What SB3's ``TD3Policy`` lacks for DDPG as its paper describes it, and an optimiser that starts at once.

The networks themselves are SB3's.
"""

from inspect import unwrap

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


class Adam(th.optim.Adam):
    """torch's Adam, to the last bit.

    torch marks these methods as none of its compiler's business, and the mark imports the compiler at the first call:
    ``torch._dynamo`` and SymPy, over a thousand modules, a third of the time ``ddpg train`` took to its first step.
    Here they are the same functions without the mark. Where torch stops marking them, this class is torch's.

    ``step`` imports the compiler too; :class:`sb3_ddpg_custom.updates.flat.FlatAdam` does not call it.
    """

    add_param_group = unwrap(th.optim.Optimizer.add_param_group)
    state_dict = unwrap(th.optim.Optimizer.state_dict)
    load_state_dict = unwrap(th.optim.Optimizer.load_state_dict)
    zero_grad = unwrap(th.optim.Optimizer.zero_grad)
