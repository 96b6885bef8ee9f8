"""Our Adam is torch's, bit by bit, and is where torch's would be."""

import copy
import pickle
from typing import Any

import pytest
import torch as th
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.policies import Adam, AdamW
from sb3_ddpg_custom.updates import FlatUpdate

OPTIONS: tuple[dict[str, Any], ...] = ({}, {"weight_decay": 0.1}, {"amsgrad": True})


def stepped(kind: type[th.optim.Adam], optimizer: th.optim.Adam | None = None, **options: Any) -> th.optim.Adam:
    """Make an optimiser with two groups, or take one, and step it three times."""
    if optimizer is None:
        th.manual_seed(0)
        layers = [th.nn.Linear(3, 2), th.nn.Linear(2, 2)]
        optimizer = kind(layers[0].parameters(), lr=1e-2, **options)
        optimizer.add_param_group({"params": list(layers[1].parameters()), "lr": 1e-3})
    for step in range(3):
        optimizer.zero_grad()
        for group in optimizer.param_groups:
            for parameter in group["params"]:
                parameter.grad = parameter.detach() * (step + 1)
        optimizer.step()
    return optimizer


def numbers(optimizer: th.optim.Optimizer) -> list[list[float]]:
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    return [parameter.detach().flatten().tolist() for parameter in parameters]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_steps_are_torchs(options: dict[str, Any]) -> None:
    assert numbers(stepped(Adam, **options)) == numbers(stepped(th.optim.Adam, **options))


@pytest.mark.parametrize("kinds", [(Adam, th.optim.Adam), (th.optim.Adam, Adam)], ids=["to torch", "from torch"])
def test_the_state_goes_both_ways(kinds: tuple[type[th.optim.Adam], type[th.optim.Adam]]) -> None:
    source, target = stepped(kinds[0]), stepped(kinds[1])
    assert source.state_dict().keys() == target.state_dict().keys()
    target.param_groups[0]["lr"] = 7.0
    target.load_state_dict(copy.deepcopy(source.state_dict()))
    assert target.param_groups[0]["lr"] == 1e-2
    assert numbers(stepped(Adam, target)) == numbers(stepped(Adam, source))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_copies_and_pickles_go_on_alike(copied: Any) -> None:
    optimizer = stepped(Adam)
    other = copied(optimizer)
    assert type(other) is Adam
    assert numbers(stepped(Adam, other)) == numbers(stepped(Adam, optimizer))


def test_hooks_are_called() -> None:
    calls = []
    optimizer = stepped(Adam)
    optimizer.register_step_post_hook(lambda *_: calls.append("step"))
    optimizer.register_state_dict_pre_hook(lambda _: calls.append("state"))
    stepped(Adam, optimizer)
    optimizer.state_dict()
    assert calls == ["step", "step", "step", "state"]


@pytest.mark.parametrize("update", ["auto", "autograd"])
def test_ddpg_has_it_and_saves_nothing_of_it(update: Any) -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [4]}, update=update)
    assert (type(model.actor.optimizer), type(model.critic.optimizer)) == (Adam, Adam)
    assert "optimizer_class" not in model.policy_kwargs
    assert model.policy.optimizer_class is th.optim.Adam
    assert model.policy._get_constructor_parameters()["optimizer_class"] is th.optim.Adam


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_steps_of_adamw_are_torchs(options: dict[str, Any]) -> None:
    assert numbers(stepped(AdamW, **options)) == numbers(stepped(th.optim.AdamW, **options))
    assert numbers(stepped(AdamW, **options)) != numbers(stepped(Adam, **options))


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda optimizer: pickle.loads(pickle.dumps(optimizer))])
def test_copies_of_adamw_go_on_alike(copied: Any) -> None:
    optimizer = stepped(AdamW)
    other = copied(optimizer)
    assert type(other) is AdamW
    assert numbers(stepped(AdamW, other)) == numbers(stepped(AdamW, optimizer))


def test_ddpg_with_torchs_adamw_has_it_and_saves_nothing_of_it() -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [4], "optimizer_class": th.optim.AdamW})
    assert (type(model.actor.optimizer), type(model.critic.optimizer)) == (AdamW, AdamW)
    assert model.policy_kwargs["optimizer_class"] is th.optim.AdamW
    assert model.policy._get_constructor_parameters()["optimizer_class"] is th.optim.AdamW
    assert isinstance(model._update, FlatUpdate)
    assert model.actor.optimizer.param_groups[0]["weight_decay"] == 1e-2  # torch's default


class OwnPolicy(TD3Policy):
    """Anybody's policy, which may take other arguments."""


@pytest.mark.parametrize(
    ("policy", "kwargs", "kind"),
    [("MlpPolicy", {"optimizer_class": th.optim.SGD}, th.optim.SGD), (OwnPolicy, {}, th.optim.Adam)],
)
def test_other_optimisers_and_policies_are_left_alone(policy: Any, kwargs: dict[str, Any], kind: type[Any]) -> None:
    model = DDPG(policy, "Pendulum-v1", policy_kwargs={"net_arch": [4], **kwargs})
    assert type(model.actor.optimizer) is kind
    assert model.policy.optimizer_class is kind
