"""Weight decay of both networks, L2 or AdamW's: the arguments, the optimisers' groups, and what trains."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
import stable_baselines3
import torch as th
from helpers import SMALL, make_model

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.policies import set_weight_decay

WAYS = ("auto", "analytic", "autograd")


def groups(model: Any) -> list[tuple[float, bool]]:
    optimizers = model.actor.optimizer, model.critic.optimizer
    return [
        (group["weight_decay"], group["decoupled_weight_decay"]) for one in optimizers for group in one.param_groups
    ]


def weights(model: Any) -> list[th.Tensor]:
    return [tensor.clone() for tensor in model.policy.state_dict().values()]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({}, [(0, False), (0, False)]),
        ({"critic_weight_decay": 0.3}, [(0, False), (0.3, False)]),
        ({"actor_weight_decay": 0.2}, [(0.2, False), (0, False)]),
        (
            {"actor_weight_decay": 0.2, "critic_weight_decay": 0.3, "decoupled_weight_decay": True},
            [(0.2, True), (0.3, True)],
        ),
        ({"policy_kwargs": {"optimizer_class": th.optim.AdamW}}, [(1e-2, True), (1e-2, True)]),
        (
            {"policy_kwargs": {"optimizer_class": th.optim.AdamW}, "decoupled_weight_decay": False},
            [(1e-2, False), (1e-2, False)],
        ),
    ],
)
def test_the_optimisers_groups_say_what_the_arguments_say(
    arguments: dict[str, Any], expected: list[tuple[float, bool]], tmp_path: Path
) -> None:
    model = make_model(**arguments)
    assert groups(model) == expected  # before the first update, too
    model.learn(30).save(tmp_path / "model")
    assert groups(model) == expected
    loaded = DDPG.load(tmp_path / "model", env=gym.make("Pendulum-v1"))
    loaded.learn(30)
    assert groups(loaded) == expected


@pytest.mark.parametrize("update", WAYS)
def test_adamws_arguments_train_as_torchs_adamw(update: Any) -> None:
    torchs = {"optimizer_class": th.optim.AdamW, "optimizer_kwargs": {"weight_decay": 0.3}}
    theirs = make_model(update=update, policy_kwargs=torchs).learn(60)
    ours = make_model(
        update=update, actor_weight_decay=0.3, critic_weight_decay=0.3, decoupled_weight_decay=True
    ).learn(60)
    assert type(ours._update) is type(theirs._update)
    assert all(map(th.equal, weights(ours), weights(theirs)))
    plain = make_model(update=update).learn(60)
    assert not any(th.equal(a, b) for a, b in zip(weights(ours), weights(plain), strict=True))


@pytest.mark.parametrize("update", WAYS)
def test_off_and_zero_are_the_same_bits(update: Any) -> None:
    zero: dict[str, Any] = {"actor_weight_decay": 0.0, "critic_weight_decay": 0.0}
    plain = weights(make_model(update=update).learn(60))
    for decoupled in (None, False, True):
        model = make_model(update=update, **zero, decoupled_weight_decay=decoupled).learn(60)
        assert all(map(th.equal, weights(model), plain))


def test_adamw_is_sb3s_with_torchs_adamw_bit_by_bit() -> None:
    settings = {**SMALL, "policy_kwargs": {**SMALL["policy_kwargs"], "optimizer_class": th.optim.AdamW}}
    ours = DDPG("MlpPolicy", "Pendulum-v1", **settings, update="autograd").learn(80)
    theirs = stable_baselines3.DDPG("MlpPolicy", "Pendulum-v1", **settings).learn(80)
    assert all(map(th.equal, weights(ours), weights(theirs)))


@pytest.mark.parametrize("update", WAYS)
def test_what_a_script_writes_into_the_groups_is_kept_where_no_argument_says_otherwise(update: Any) -> None:
    model = make_model(update=update, actor_weight_decay=0.2).learn(30)
    set_weight_decay(model.critic.optimizer, 0.4, decoupled=True)
    set_weight_decay(model.actor.optimizer, 0.1, decoupled=True)
    model.train(1, 16)
    assert groups(model) == [(0.2, True), (0.4, True)]


def test_an_argument_of_load_counts_from_the_next_training_on(tmp_path: Path) -> None:
    make_model(critic_weight_decay=0.3).learn(30).save(tmp_path / "model")
    loaded = DDPG.load(tmp_path / "model", env=gym.make("Pendulum-v1"), decoupled_weight_decay=True).learn(30)
    assert groups(loaded) == [(0, True), (0.3, True)]


def test_an_optimiser_without_the_option_is_named() -> None:
    sgd = {"optimizer_class": th.optim.SGD}
    with pytest.raises(ValueError, match=r"the option decoupled_weight_decay, such as Adam, got SGD$"):
        make_model(policy_kwargs=sgd, critic_weight_decay=0.1, decoupled_weight_decay=True)
    model = make_model(policy_kwargs=sgd, critic_weight_decay=0.1)
    assert model.critic.optimizer.param_groups[0]["weight_decay"] == 0.1


@pytest.mark.parametrize("decoupled", [False, True])
def test_the_actor_shrinks(decoupled: bool) -> None:
    def norm(decay: float) -> float:
        options: dict[str, Any] = {"actor_weight_decay": decay, "decoupled_weight_decay": decoupled}
        model = make_model(learning_rate=1e-2, **options).learn(120)
        return float(sum(parameter.norm().item() for parameter in model.actor.parameters()))

    assert norm(2.0) < 0.7 * norm(0.0)
