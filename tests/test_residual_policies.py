"""SimbaPolicy: what its blocks compute, what is built of them, what a zip keeps, and what a setting says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch as th
from helpers import Ddpg, make_model
from stable_baselines3.common.envs import SimpleMultiObsEnv
from torch import nn

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.checkpoint import build_policy, read_checkpoint
from sb3_ddpg_custom.residual_policies import ResidualBlock, SimbaPolicy, residual_network

SMALL_BLOCKS = {"net_arch": {"pi": [8], "qf": [16, 16]}}


def test_a_block_by_hand() -> None:
    block = ResidualBlock(2)
    with th.no_grad():
        block.widen.weight.zero_()
        block.widen.weight[0] = th.tensor([3.0, 1.0])  # the others answer their bias, 0
        block.widen.bias[0] = 1.0
        block.narrow.weight.zero_()
        block.narrow.weight[:, 0] = th.tensor([10.0, -1.0])
        block.narrow.bias.copy_(th.tensor([0.5, 0.25]))
        # Normed, (3, 1) is (1, -1) and (-3, 5) is (-1, 1); 3 - 1 + 1 = 3, and -3 + 1 + 1 is cut to 0.
        answers = block(th.tensor([[3.0, 1.0], [-3.0, 5.0]]))
    np.testing.assert_allclose(answers, [[3 + 30.5, 1 - 2.75], [-2.5, 5.25]], rtol=1e-4)


def test_weights_begin_as_the_paper_says() -> None:
    th.manual_seed(0)
    first, block, _, last = residual_network(3, [64], 2)
    assert isinstance(first, nn.Linear)
    assert isinstance(block, ResidualBlock)
    assert isinstance(last, nn.Linear)
    np.testing.assert_allclose((first.weight.T @ first.weight).detach(), np.eye(3), atol=1e-5)
    np.testing.assert_allclose((last.weight @ last.weight.T).detach(), np.eye(2), atol=1e-5)
    assert block.widen.weight.std().item() == pytest.approx((2 / 64) ** 0.5, rel=0.03)
    assert block.narrow.weight.std().item() == pytest.approx((2 / 256) ** 0.5, rel=0.03)
    assert not any(layer.bias.any() for layer in (first, block.widen, block.narrow, last))


def test_networks_without_further_words_are_the_papers() -> None:
    policy: Any = DDPG("SimbaPolicy", "Pendulum-v1", buffer_size=10).policy
    assert [type(layer) for layer in policy.actor.mu] == [nn.Linear, ResidualBlock, nn.LayerNorm, nn.Linear, nn.Tanh]
    assert [type(layer) for layer in policy.critic.qf0] == [
        *(nn.Linear, ResidualBlock, ResidualBlock, nn.LayerNorm, nn.Linear)
    ]
    assert policy.actor.mu[1].widen.weight.shape == (512, 128)
    assert policy.critic.qf0[1].widen.weight.shape == (2048, 512)
    assert policy.critic.qf0 is policy.critic.q_networks[0]
    optimised = [*policy.actor.optimizer.param_groups[0]["params"], *policy.critic.optimizer.param_groups[0]["params"]]
    assert list(map(id, optimised)) == list(map(id, [*policy.actor.parameters(), *policy.critic.parameters()]))


def test_it_trains_with_every_other_option_and_its_zip_is_the_model(tmp_path: Path) -> None:
    options: dict[str, Any] = {"pre_tanh_penalty": 1e-5, "output_init": 3e-3, "critic_learning_rate": 1e-3}
    decay: dict[str, Any] = {"critic_weight_decay": 1e-2, "decoupled_weight_decay": True}
    model = make_model(policy="SimbaPolicy", policy_kwargs=SMALL_BLOCKS, **options, **decay)
    before = [parameter.clone() for parameter in model.policy.parameters()]
    model.learn(60)
    assert model._update.name == "autograd"
    assert model.policy.normalizer.alone.count.item() == pytest.approx(61 + 1e-4)
    changed = [not th.equal(one, two) for one, two in zip(before, model.policy.parameters(), strict=True)]
    assert all(changed)
    model.save(tmp_path / "model.zip")
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    expected = model.predict(observations)[0]
    rebuilt = build_policy(read_checkpoint(tmp_path / "model.zip"), model.observation_space, model.action_space)
    for other in (DDPG.load(tmp_path / "model.zip"), rebuilt):
        np.testing.assert_array_equal(other.predict(observations)[0], expected)
    with pytest.raises(RuntimeError, match="needs_sb3_ddpg_custom"):
        stable_baselines3.DDPG.load(tmp_path / "model.zip")


def test_dict_observations_are_read_part_by_part(tmp_path: Path) -> None:
    env = SimpleMultiObsEnv(discrete_actions=False, random_start=False)
    small: dict[str, Any] = {
        "learning_starts": 20,
        "buffer_size": 100,
        "batch_size": 8,
        "policy_kwargs": {"net_arch": [8]},
    }
    model: Any = DDPG("SimbaPolicy", env, **small, seed=0)
    model.learn(40).save(tmp_path / "model.zip")
    assert list(model.policy.normalizer.parts) == ["vec"]  # the other part is an image
    rebuilt = build_policy(read_checkpoint(tmp_path / "model.zip"), model.observation_space, model.action_space)
    seen = model.observation_space.sample()
    np.testing.assert_array_equal(rebuilt.predict(seen)[0], model.predict(seen)[0])
    model.policy.save(tmp_path / "policy.pth")
    alone = SimbaPolicy.load(str(tmp_path / "policy.pth"), device="cpu")
    np.testing.assert_array_equal(alone.predict(seen)[0], model.predict(seen)[0])


@pytest.mark.parametrize(
    ("kwargs", "why"),
    [
        ({"net_arch": [8, 16]}, r"width of each block, such as \[128, 128\], got \[8, 16\]"),
        ({"net_arch": []}, r"got \[\]"),
        ({"normalize_observations": False}, "a SimbaPolicy always normalises observations"),
        ({"activation_fn": nn.Tanh}, "compute ReLU"),
    ],
)
def test_what_no_blocks_are_made_of_is_refused(kwargs: dict[str, Any], why: str) -> None:
    with pytest.raises(ValueError, match=why):
        make_model(policy="SimbaPolicy", policy_kwargs=kwargs)


def test_the_command_trains_evaluates_and_goes_on(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    options = ("--set", "policy=SimbaPolicy", "--set", "policy_kwargs={net_arch: [8, 8]}", "--out", tmp_path)
    ddpg("train", "Tiny-v0", *small, *options)
    run = tmp_path / "Tiny-v0" / "1"
    printed = ddpg("evaluate", "--json", "--episodes", 2, "--checkpoint", run / "final.zip").stdout
    assert len(json.loads(printed)["returns"]) == 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("policy_kwargs.net_arch=[8, 16]",), "for SimbaPolicy it is the width of each block"),
        (("policy_kwargs.net_arch=[]",), "for SimbaPolicy it is the width of each block"),
        (("policy_kwargs.activation_fn=nn.LeakyReLU",), "compute ReLU"),
        (("policy_kwargs.normalize_observations=false",), "always normalises"),
        (("normalize=true",), "normalize and SimbaPolicy would normalise observations twice"),
        (("policy_kwargs.layer_norm=critic",), "policy_kwargs.layer_norm is no argument of"),
        (("policy_kwargs={net_arch: [8192, 8192, 8192]}",), "GB of memory"),
    ],
)
def test_what_cannot_be_asked_for_is_a_sentence(refused: Any, options: tuple[str, ...], why: str) -> None:
    words = [word for option in options for word in ("--set", option)]
    assert why in refused("train", "pendulum", "--steps", 100, "--set", "policy=SimbaPolicy", *words)
