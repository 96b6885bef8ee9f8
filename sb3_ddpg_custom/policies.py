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


class AdamW(Adam, th.optim.AdamW):
    """torch's AdamW, likewise."""


#: for each of torch's optimisers the same one that starts at once
QUICK_OPTIMIZERS: dict[type[th.optim.Optimizer], type[th.optim.Optimizer]] = {
    th.optim.Adam: Adam,
    th.optim.AdamW: AdamW,
}


def set_weight_decay(optimizer: th.optim.Optimizer, decay: float | None, *, decoupled: bool | None) -> None:
    """Write a weight decay into an optimiser's groups, where its steps, state dicts and zips have it from.

    :param optimizer: such as torch's Adam
    :param decay: λ; None leaves what is there
    :param decoupled: True: a step first takes α λ θ off the parameters themselves (AdamW, Loshchilov & Hutter 2019,
        arXiv 1711.05101, algorithm 2, whose λ is torch's α λ); False: it adds λ θ to the gradient (L2); None leaves
        what is there
    :raises ValueError: if the optimiser has no such option
    """
    for name, value in (("weight_decay", decay), ("decoupled_weight_decay", decoupled)):
        if value is None:
            continue
        for group in optimizer.param_groups:
            if name not in group:
                kind = type(optimizer).__name__
                raise ValueError(f"weight decay needs an optimiser with the option {name}, such as Adam, got {kind}")
            group[name] = value
