"""What scripts do to a model between two trainings: each a name, and a function of the model."""

import copy
from collections.abc import Callable
from typing import Any

import torch as th
from stable_baselines3.common.utils import ConstantSchedule
from stable_baselines3.td3.policies import Actor
from torch import nn
from torch.nn.modules.module import register_module_forward_hook
from torch.nn.utils import prune, vector_to_parameters
from torch.nn.utils.parametrizations import weight_norm
from torch.optim.optimizer import register_optimizer_step_post_hook

from sb3_ddpg_custom import ReplayBuffer
from sb3_ddpg_custom.policies import Adam

ENDS: list[Callable[[], object]] = []  # what undoes a change that outlives its model


def adam(network: Any, **options: Any) -> th.optim.Optimizer:
    return th.optim.Adam(network.parameters(), lr=1e-3, **options)


def linear(inputs: int, outputs: int) -> nn.Linear:
    layer = nn.Linear(inputs, outputs).double()
    with th.no_grad():
        for number, parameter in enumerate(layer.parameters()):
            flat = th.linspace(-0.5, 0.4, parameter.numel(), dtype=th.float64) + 0.01 * number
            parameter.copy_(flat.view_as(parameter))
    return layer


def freeze(*modules: nn.Module, thaw: bool = False) -> None:
    for module in modules:
        module.requires_grad_(thaw)


def new_networks(m: Any) -> Any:
    other = copy.deepcopy(m.policy)
    with th.no_grad():
        for parameter in other.parameters():
            parameter.mul_(0.5)
    return other


def replace_policy(m: Any) -> None:
    m.policy = new_networks(m)


def replace_actor(m: Any) -> None:
    m.actor = new_networks(m).actor


def replace_actor_of_policy(m: Any) -> None:
    m.policy.actor = new_networks(m).actor


def replace_critic(m: Any) -> None:
    m.policy.critic = new_networks(m).critic


def replace_layer(m: Any) -> None:
    m.actor.mu[2] = linear(8, 6)


def replace_layer_and_optimizer(m: Any) -> None:
    m.critic.qf0[0] = linear(4, 8)
    m.critic.optimizer = adam(m.critic)


def widen(m: Any) -> None:
    for network in (m.actor, m.actor_target):
        network.mu[0], network.mu[2] = linear(3, 9), linear(9, 6)
    m.actor.optimizer = adam(m.actor)


def replace_one_number(m: Any) -> None:
    # A bias of one element, and equal to the old one: only its identity tells.
    m.critic.qf0[4].bias = nn.Parameter(m.critic.qf0[4].bias.detach().clone())


class DoubledReLU(nn.ReLU):
    def forward(self, x: th.Tensor) -> th.Tensor:
        return 2 * super().forward(x)


def set_activation(network: Any, place: int, activation: nn.Module) -> None:
    network[place] = activation


def activation_of_critics(m: Any) -> None:
    for network in (m.critic, m.critic_target):
        network.qf0[1] = nn.LeakyReLU(0.2)


def change_class(m: Any) -> None:
    m.actor.mu[1].__class__ = DoubledReLU


def forward_of_an_object(m: Any) -> None:
    m.actor.mu[0].forward = lambda x: 0.5 * nn.functional.linear(x, m.actor.mu[0].weight, m.actor.mu[0].bias)


def forward_of_the_actor(m: Any) -> None:
    m.actor.forward = lambda observations: (
        0.5 * m.actor.mu(m.actor.extract_features(observations, m.actor.features_extractor))
    )


def halve(module: Any, arguments: Any, output: Any) -> Any:
    return output * 0.5


def hook_backward(m: Any) -> None:
    m.critic.qf0[2].register_full_backward_hook(
        lambda module, into, out: tuple(g if g is None else g * 0.5 for g in into)
    )


def hook_tensor(m: Any) -> None:
    m.actor.mu[0].weight.register_hook(lambda gradient: gradient.clamp(max=0.0))


def hook_critic_tensor(m: Any) -> None:
    m.critic.qf0[0].weight.register_hook(lambda gradient: gradient * 0.25)


def hook_accumulated(m: Any) -> None:
    def zero(parameter: Any) -> None:
        parameter.grad.mul_(0.1)

    m.actor.mu[2].weight.register_post_accumulate_grad_hook(zero)


def hook_optimizer_before(m: Any) -> None:
    def shrink(optimizer: Any, *arguments: Any) -> None:
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.grad.mul_(0.01)

    m.critic.optimizer.register_step_pre_hook(shrink)


def shrink_after(optimizer: Any, *arguments: Any) -> None:
    with th.no_grad():
        for parameter in optimizer.param_groups[0]["params"]:
            parameter.mul_(0.99)


def hook_everything(m: Any) -> None:
    handle = register_module_forward_hook(lambda module, x, y: y * 0.9 if type(module) is nn.Linear else None)
    ENDS.append(handle.remove)


def hook_all_optimizers(m: Any) -> None:
    ENDS.append(register_optimizer_step_post_hook(shrink_after).remove)


def hook_and_unhook(m: Any) -> None:
    m.actor.mu.register_forward_hook(halve).remove()


def optimizer(name: str, kind: Any, **options: Any) -> Callable[[Any], None]:
    def replace(m: Any) -> None:
        network = getattr(m, name)
        network.optimizer = kind(network.parameters(), lr=1e-3, **options)

    return replace


def two_groups(m: Any) -> None:
    first, *others = m.actor.parameters()
    m.actor.optimizer = th.optim.Adam([{"params": [first], "betas": (0.5, 0.9)}, {"params": others}], lr=1e-3)


def only_last_layer(m: Any) -> None:
    m.actor.optimizer = th.optim.Adam(m.actor.mu[4].parameters(), lr=1e-3)


def option(name: str, value: Any, **others: Any) -> Callable[[Any], None]:
    def change(m: Any) -> None:
        m.critic.optimizer.param_groups[0].update({name: value}, **others)

    return change


def amsgrad_on_the_way(m: Any) -> None:
    m.actor.optimizer.param_groups[0]["amsgrad"] = True
    for state in m.actor.optimizer.state.values():
        state["max_exp_avg_sq"] = state["exp_avg_sq"].clone()


def step_of_an_object(m: Any) -> None:
    kind = type(m.critic.optimizer)

    def step(*arguments: Any) -> None:
        kind.step(m.critic.optimizer)
        kind.step(m.critic.optimizer)

    m.critic.optimizer.step = step


def forget_state(m: Any) -> None:
    m.critic.optimizer.state.clear()


def forget_one_state(m: Any) -> None:
    del m.critic.optimizer.state[m.critic.qf0[0].weight]


def load_state(m: Any) -> None:
    state = copy.deepcopy(m.actor.optimizer.state_dict())
    for one in state["state"].values():
        one["exp_avg"].mul_(3)
    m.actor.optimizer.load_state_dict(state)


def count_anew(m: Any) -> None:
    for state in m.critic.optimizer.state.values():
        state["step"] = th.tensor(0.0)


def share_moments(m: Any) -> None:
    for state in m.critic.optimizer.state.values():
        state["exp_avg"].share_memory_()


def share_gradients(m: Any) -> None:
    for parameter in m.critic.parameters():
        parameter.grad.share_memory_()


def rebind_moments(m: Any) -> None:
    for state in m.actor.optimizer.state.values():
        state["exp_avg"].data = th.zeros_like(state["exp_avg"])


def replace_a_count(m: Any) -> None:
    for state in m.critic.optimizer.state.values():
        state["step"] = state["step"].clone()


def step_one_layer(m: Any) -> None:
    for _ in range(3):
        m.critic.optimizer.zero_grad()
        m.critic.qf0[0].weight.square().sum().backward()
        m.critic.optimizer.step()


def replace_q_networks(m: Any) -> None:
    for network in (m.critic, m.critic_target):
        network.q_networks = [copy.deepcopy(network.qf0)]


def replace_method(kind: Any, name: str, method: Any) -> Callable[[Any], None]:
    def replace(m: Any) -> None:
        original, is_own = getattr(kind, name), name in kind.__dict__
        ENDS.append(lambda: setattr(kind, name, original) if is_own else delattr(kind, name))
        setattr(kind, name, lambda self, *args, **kwargs: method(original, self, *args, **kwargs))

    return replace


def step_twice(original: Any, self: Any) -> None:
    original(self)
    original(self)


class Wrapped:
    """An optimiser that is none of torch's, as some packages have."""

    def __init__(self, inner: th.optim.Optimizer) -> None:
        self.inner, self.param_groups = inner, inner.param_groups
        self.zero_grad, self.state_dict = inner.zero_grad, inner.state_dict

    def step(self) -> None:
        self.inner.step()
        self.inner.step()


def halve_rewards(sample: Any, self: Any, *args: Any, **kwargs: Any) -> Any:
    batch = sample(self, *args, **kwargs)
    return batch._replace(rewards=batch.rewards / 2)


def wrap_optimizer(m: Any) -> None:
    m.actor.optimizer = Wrapped(m.actor.optimizer)
    nn.Linear(1, 1).register_forward_hook(halve)


def write(m: Any) -> None:
    with th.no_grad():
        m.actor.mu[0].weight.fill_(0.3)


def rebind(m: Any) -> None:
    for parameter in m.policy.parameters():
        parameter.data = parameter.data * 0.5


def rebind_a_target(m: Any) -> None:
    target = m.critic_target.qf0[0].weight
    target.data = th.full_like(target, 0.1)


def load_weights(m: Any) -> None:
    m.policy.load_state_dict({name: 0.7 * tensor for name, tensor in m.policy.state_dict().items()})


def load_vector(m: Any) -> None:
    count = sum(parameter.numel() for parameter in m.actor.parameters())
    vector_to_parameters(th.linspace(-0.5, 0.5, count, dtype=th.float64), m.actor.parameters())


def tie(m: Any) -> None:
    m.critic.qf0[2].weight = m.critic_target.qf0[2].weight


def set_parameters(m: Any) -> None:
    parameters = copy.deepcopy(m.get_parameters())
    for tensor in parameters["policy"].values():
        tensor.mul_(0.8)
    m.set_parameters(parameters)


def prune_layer(m: Any) -> None:
    for network in (m.critic, m.critic_target):
        prune.l1_unstructured(network.qf0[2], "weight", amount=0.5)  # type: ignore[no-untyped-call]


def parametrize_layer(m: Any) -> None:
    for network in (m.actor, m.actor_target):
        weight_norm(network.mu[2])
    m.actor.optimizer = adam(m.actor)


def share(m: Any) -> None:
    m.policy.share_memory()


def attribute(name: str, value: Any) -> Callable[[Any], None]:
    return lambda m: setattr(m, name, value)


def decouple(m: Any) -> None:
    m.actor_weight_decay, m.critic_weight_decay, m.decoupled_weight_decay = 0.5, 0.3, True


def clip_predictions(m: Any) -> None:
    predict = type(m.policy).predict
    m.policy.predict = lambda *args, **kwargs: (predict(m.policy, *args, **kwargs)[0].clip(-0.1, 0.1), None)


CHANGES: dict[str, Callable[[Any], object]] = {
    "nothing": lambda m: None,
    "a layer of the actor frozen": lambda m: freeze(m.actor.mu[0]),
    "a layer of the critic frozen": lambda m: freeze(m.critic.qf0[2]),
    "one bias frozen": lambda m: m.critic.qf0[0].bias.requires_grad_(False),
    "the actor frozen": lambda m: freeze(m.actor),
    "the critic frozen": lambda m: freeze(m.critic),
    "all frozen": lambda m: freeze(m.actor, m.critic),
    "frozen and thawed": lambda m: m.actor.requires_grad_(False).requires_grad_(True),
    "SGD": optimizer("critic", th.optim.SGD, momentum=0.9),
    "RMSprop": optimizer("actor", th.optim.RMSprop),
    "AdamW": optimizer("critic", th.optim.AdamW, weight_decay=0.1),
    "Adam with other betas": optimizer("actor", th.optim.Adam, betas=(0.5, 0.9)),
    "amsgrad": optimizer("actor", th.optim.Adam, amsgrad=True),
    "amsgrad on the way": amsgrad_on_the_way,
    "maximize": optimizer("critic", th.optim.Adam, maximize=True),
    "Adam anew": optimizer("critic", th.optim.Adam),
    "two groups": two_groups,
    "a group added": lambda m: m.actor.optimizer.add_param_group({"params": [nn.Parameter(th.zeros(1))]}),
    "an optimiser of the last layer only": only_last_layer,
    "betas of the group": option("betas", (0.3, 0.8)),
    "epsilon of the group": option("eps", 0.1),
    "weight decay of the group": option("weight_decay", 0.2),
    "decoupled weight decay of the group": option("weight_decay", 0.2, decoupled_weight_decay=True),
    "step of an optimiser": step_of_an_object,
    "state forgotten": forget_state,
    "state of one parameter forgotten": forget_one_state,
    "state loaded": load_state,
    "steps counted anew": count_anew,
    "a count replaced": replace_a_count,
    "moments shared": share_moments,
    "gradients shared": share_gradients,
    "moments rebound": rebind_moments,
    "one layer stepped by a script": step_one_layer,
    "an optimiser wrapped": wrap_optimizer,
    "the list of critics replaced": replace_q_networks,
    "step of Adam's class": replace_method(Adam, "step", step_twice),
    "forward of the actor's class": replace_method(
        Actor, "forward", lambda forward, self, obs: 0.5 * forward(self, obs)
    ),
    "forward of torch's class": replace_method(nn.Linear, "forward", lambda forward, self, x: 0.9 * forward(self, x)),
    "sample of the buffer's class": replace_method(ReplayBuffer, "sample", halve_rewards),
    "a layer replaced": replace_layer,
    "a layer and its optimiser replaced": replace_layer_and_optimizer,
    "a bias of one number replaced": replace_one_number,
    "a layer widened": widen,
    "an activation replaced": lambda m: set_activation(m.actor.mu, 1, nn.Tanh()),
    "an activation nobody knows": lambda m: set_activation(m.actor.mu, 3, nn.Softplus()),
    "an activation subclassed": lambda m: set_activation(m.critic.qf0, 1, DoubledReLU()),
    "an activation's class changed": change_class,
    "activations of the critics": activation_of_critics,
    "an activation of a target": lambda m: set_activation(m.critic_target.qf0, 1, nn.Tanh()),
    "the actor's tanh taken away": lambda m: set_activation(m.actor.mu, 5, nn.ReLU()),
    "a forward assigned": forward_of_an_object,
    "the actor's forward assigned": forward_of_the_actor,
    "forward hook": lambda m: m.actor.mu[2].register_forward_hook(halve),
    "forward hook of the extractor": lambda m: m.critic.features_extractor.register_forward_hook(halve),
    "forward hook of a target": lambda m: m.critic_target.qf0.register_forward_hook(halve),
    "forward pre-hook": lambda m: m.critic.qf0[0].register_forward_pre_hook(lambda module, x: (x[0] * 0.5,)),
    "backward hook": hook_backward,
    "tensor hook": hook_tensor,
    "tensor hook of the critic": hook_critic_tensor,
    "hook behind the gradient": hook_accumulated,
    "hook before a step": hook_optimizer_before,
    "hook behind a step": lambda m: m.actor.optimizer.register_step_post_hook(shrink_after),
    "hook of all modules": hook_everything,
    "hook of all optimisers": hook_all_optimizers,
    "a hook come and gone": hook_and_unhook,
    "weights written": write,
    "weights rebound": rebind,
    "a target rebound": rebind_a_target,
    "weights loaded": load_weights,
    "weights from a vector": load_vector,
    "parameters set": set_parameters,
    "weights tied to a target's": tie,
    "a layer pruned": prune_layer,
    "a layer parametrized": parametrize_layer,
    "shared with other processes": share,
    "the policy replaced": replace_policy,
    "the actor replaced": replace_actor,
    "the policy's actor replaced": replace_actor_of_policy,
    "the critic replaced": replace_critic,
    "predict assigned": clip_predictions,
    "lr_schedule": attribute("lr_schedule", ConstantSchedule(0.05)),
    "critic_learning_rate": attribute("critic_learning_rate", 0.05),
    "critic_weight_decay": attribute("critic_weight_decay", 0.5),
    "actor_weight_decay": attribute("actor_weight_decay", 0.5),
    "decoupled_weight_decay": decouple,
    "pre_tanh_penalty": attribute("pre_tanh_penalty", 0.5),
    "gamma": attribute("gamma", 0.3),
    "tau": attribute("tau", 0.5),
    "batch_size": attribute("batch_size", 5),
    "max_grad_norm": attribute("max_grad_norm", 0.01),
}
