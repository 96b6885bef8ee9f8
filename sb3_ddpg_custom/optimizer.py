"""torch's Adam, made and saved without importing torch's compiler."""

from inspect import unwrap

import torch as th


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
