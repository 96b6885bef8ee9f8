"""Layer normalisation as a policy's option: what is built, what a zip keeps of it, and what a setting says."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium import spaces
from helpers import Ddpg, make_model
from stable_baselines3.td3.policies import CnnPolicy, MlpPolicy
from torch import nn

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.cli.config.settings import validate
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.layer_norm import LayerNormCnnPolicy, LayerNormPolicy, with_layer_norm

OBSERVATIONS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
NORMED = [nn.Linear, nn.LayerNorm, nn.ReLU, nn.Linear, nn.LayerNorm, nn.ReLU, nn.Linear]
PLAIN = [nn.Linear, nn.ReLU, nn.Linear, nn.ReLU, nn.Linear]


def kinds(network: Any) -> list[type[nn.Module]]:
    return [type(module) for module in network]


@pytest.mark.parametrize(
    ("where", "of_actor", "of_critic"),
    [("critic", PLAIN, NORMED), ("actor", NORMED, PLAIN), ("both", NORMED, NORMED), (None, PLAIN, PLAIN)],
)
def test_hidden_layers_are_normalised_where_it_is_asked_for(where: Any, of_actor: Any, of_critic: Any) -> None:
    policy = make_model(policy_kwargs={"layer_norm": where, "n_critics": 2}).policy
    for actor in (policy.actor, policy.actor_target):
        assert kinds(actor.mu) == [*of_actor, nn.Tanh]
    for critic in (policy.critic, policy.critic_target):
        assert [kinds(network) for network in critic.q_networks] == [of_critic] * 2
        assert critic.qf0 is critic.q_networks[0]
        assert critic.qf1 is critic.q_networks[1]
    optimised = [*policy.actor.optimizer.param_groups[0]["params"], *policy.critic.optimizer.param_groups[0]["params"]]
    assert list(map(id, optimised)) == list(map(id, [*policy.actor.parameters(), *policy.critic.parameters()]))


def test_without_the_option_the_policy_is_sb3s_own() -> None:
    assert type(make_model().policy) is MlpPolicy
    assert with_layer_norm(CnnPolicy, {}) is CnnPolicy
    assert with_layer_norm(CnnPolicy, {"layer_norm": "critic"}) is LayerNormCnnPolicy


def test_the_same_seed_gives_the_same_first_weights() -> None:
    plain, normed = make_model().policy, make_model(policy_kwargs={"layer_norm": "both"}).policy
    for network, other in ((plain.actor.mu, normed.actor.mu), (plain.critic.qf0, normed.critic.qf0)):
        layers = ([one for one in modules if isinstance(one, nn.Linear)] for modules in (network, other))
        for a, b in zip(*layers, strict=True):
            assert th.equal(a.weight, b.weight)
            assert th.equal(a.bias, b.bias)
    norm = normed.critic.qf0[1]
    assert (norm.normalized_shape, norm.eps) == ((16,), 1e-5)
    assert norm.weight.tolist() == [1.0] * 16
    assert norm.bias.tolist() == [0.0] * 16


def test_a_layer_by_hand() -> None:
    policy: Any = make_model(policy_kwargs={"layer_norm": "critic", "net_arch": [2]}).policy
    with th.no_grad():
        policy.critic.qf0[0].weight.copy_(th.tensor([[1.0, 0, 0, 0], [0, 0, 0, 4.0]]))
        policy.critic.qf0[0].bias.zero_()
        policy.critic.qf0[1].weight.copy_(th.tensor([10.0, 1.0]))
        policy.critic.qf0[1].bias.copy_(th.tensor([0.0, 0.5]))
        policy.critic.qf0[3].weight.copy_(th.tensor([[1.0, 1.0]]))
        policy.critic.qf0[3].bias.fill_(0.0)
        # z = (1, 3): mean 2, variance 1, so (-1, 1), scaled and shifted to (-10, 1.5), of which ReLU leaves 1.5
        (q,) = policy.critic(th.tensor([[1.0, 0, 0]]), th.tensor([[0.75]]))
    assert q.item() == pytest.approx(1.5, abs=1e-4)


def test_any_other_word_is_refused() -> None:
    with pytest.raises(ValueError, match=r"layer_norm='critics' names no networks: choose 'critic', 'actor' or 'both'"):
        make_model(policy_kwargs={"layer_norm": "critics"})
    with pytest.raises(UsageError, match=r"policy_kwargs is .*; expected for layer_norm critic, actor or both"):
        validate({"n_timesteps": 10, "policy_kwargs": {"layer_norm": True}}, "a.yml")


def test_a_policy_class_of_ones_own_can_be_given_it() -> None:
    class Own(LayerNormPolicy):
        pass

    m = make_model(policy=Own, policy_kwargs={"layer_norm": "actor"})
    assert type(m.policy) is Own
    assert kinds(m.actor.mu)[:3] == [nn.Linear, nn.LayerNorm, nn.ReLU]


@pytest.mark.parametrize("where", ["critic", "both"])
@pytest.mark.parametrize("reader", [DDPG, stable_baselines3.DDPG])
def test_a_zip_keeps_it_for_sb3s_ddpg_too(reader: Any, where: str, tmp_path: Path) -> None:
    m = make_model(policy_kwargs={"layer_norm": where}).learn(60)
    m.save(tmp_path / "model")
    loaded = reader.load(tmp_path / "model", env=m.env)
    assert type(loaded.policy) is LayerNormPolicy
    assert kinds(loaded.critic.qf0) == NORMED
    np.testing.assert_array_equal(m.predict(OBSERVATIONS)[0], loaded.predict(OBSERVATIONS)[0])
    for a, b in zip(m.policy.state_dict().values(), loaded.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)
    assert loaded.learn(30, reset_num_timesteps=False).num_timesteps == 90


def test_training_through_autograd_is_sb3s_training_of_the_same_networks() -> None:
    options: Any = {"learning_starts": 20, "batch_size": 16, "buffer_size": 500, "seed": 0, "device": "cpu"}
    kwargs: Any = {"net_arch": [16, 12], "layer_norm": "both", "n_critics": 1}
    theirs = stable_baselines3.DDPG(LayerNormPolicy, "Pendulum-v1", policy_kwargs=kwargs, **options).learn(100)
    ours = DDPG("MlpPolicy", "Pendulum-v1", policy_kwargs=kwargs, update="autograd", **options).learn(100)
    for a, b in zip(ours.policy.state_dict().values(), theirs.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)


def test_a_policy_is_saved_by_itself(tmp_path: Path) -> None:
    policy = make_model(policy_kwargs={"layer_norm": "both"}).policy
    policy.save(tmp_path / "policy")
    loaded = LayerNormPolicy.load(str(tmp_path / "policy"))
    assert loaded.layer_norm == "both"
    np.testing.assert_array_equal(policy.predict(OBSERVATIONS)[0], loaded.predict(OBSERVATIONS)[0])


def test_parameters_are_put_in_whole_or_refused() -> None:
    one, other = make_model(policy_kwargs={"layer_norm": "critic"}).learn(40), make_model()
    fresh = make_model(policy_kwargs={"layer_norm": "critic"}, seed=3)
    fresh.set_parameters(one.get_parameters())
    for a, b in zip(one.policy.state_dict().values(), fresh.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)
    with pytest.raises(RuntimeError, match=r"size mismatch|Missing key"):
        other.set_parameters(one.get_parameters())


@pytest.mark.parametrize("policy", ["CnnPolicy", "MultiInputPolicy"])
def test_it_is_for_the_linear_layers_behind_other_extractors(policy: str) -> None:
    from stable_baselines3.common.envs import FakeImageEnv, SimpleMultiObsEnv

    image = FakeImageEnv(screen_height=36, screen_width=36, n_channels=1, discrete=False)
    env: Any = image if policy == "CnnPolicy" else SimpleMultiObsEnv(discrete_actions=False)
    m = make_model(env, policy, policy_kwargs={"layer_norm": "both"}, learning_starts=5, buffer_size=50).learn(12)
    assert m._update.name == "autograd"
    assert kinds(m.critic.qf0) == NORMED
    assert not any(isinstance(one, nn.LayerNorm) for one in m.critic.features_extractor.modules())
    assert not th.equal(m.actor.mu[1].bias, th.zeros(16))


def test_a_run_by_the_command_is_evaluated_without_unpickling(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path
) -> None:
    ddpg("train", "Tiny-v0", *small, "--set", "policy_kwargs.layer_norm=both", "--out", tmp_path / "runs")
    run = tmp_path / "runs" / "Tiny-v0" / "1"
    printed = ddpg("evaluate", "--checkpoint", run, "--episodes", 2, "--json").stdout
    assert len(json.loads(printed)["returns"]) == 2


def test_the_command_knows_its_name(ddpg: Ddpg, tmp_path: Path) -> None:
    failed = ddpg("train", "Pendulum-v1", "--set", "policy_kwargs.layer_nrm=both", "--out", tmp_path / "run", code=2)
    assert "policy_kwargs.layer_nrm is no argument of TD3Policy; did you mean 'layer_norm'?" in failed.stderr


def test_spaces_do_not_matter() -> None:
    box = spaces.Box(-1, 1, (2, 2), np.float32)
    policy = LayerNormPolicy(box, box, lambda _: 1e-3, [4], layer_norm="actor")
    assert policy.predict(np.zeros((3, 2, 2), np.float32))[0].shape == (3, 2, 2)
