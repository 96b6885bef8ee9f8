"""Noise on the actor's weights: how large it is, whom it reaches, and that it is gone where nobody explores."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium import spaces
from helpers import SMALL
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.torch_layers import BaseFeaturesExtractor
from stable_baselines3.common.vec_env import VecEnv, VecNormalize
from stable_baselines3.td3.policies import TD3Policy
from torch import nn

from sb3_ddpg_custom import DDPG, ParameterNoise
from sb3_ddpg_custom.acting.parameter_noise import PerturbedActor


class NormalisedReLU(nn.Module):
    """What ParameterNoise's docstring recommends."""

    def forward(self, x: th.Tensor) -> th.Tensor:
        return nn.functional.relu(nn.functional.layer_norm(x, x.shape[-1:]))


class BatchNormed(BaseFeaturesExtractor):
    def __init__(self, observation_space: gym.Space[Any]) -> None:
        super().__init__(observation_space, features_dim=3)
        self.norm = nn.BatchNorm1d(3)
        self.layers = nn.Sequential(nn.Linear(3, 3), nn.LayerNorm(3))

    def forward(self, observations: th.Tensor) -> th.Tensor:
        result: th.Tensor = self.layers(self.norm(observations))
        return result


def pendulum(n_envs: int, steps: int = 10) -> VecEnv:
    return make_vec_env(lambda: gym.make("Pendulum-v1", max_episode_steps=steps), n_envs=n_envs, seed=0)


def make_policy(**kwargs: Any) -> TD3Policy:
    return DDPG("MlpPolicy", "Pendulum-v1", seed=0, policy_kwargs=kwargs).policy


def test_std_moves_by_one_percent_a_step_towards_the_target() -> None:
    noise = ParameterNoise(0.2)
    assert noise.std == 0.2
    seen = []
    for distance in (0.1, 0.2, 0.200001, 5.0, 0.0):
        noise.adapt(distance)
        seen.append(noise.std)
    assert seen == pytest.approx([0.202, 0.20402, 0.202, 0.2, 0.202])


def test_a_distance_that_is_no_number_makes_the_noise_smaller() -> None:
    noise = ParameterNoise(0.2, std=1.0, adaptation=2.0)
    noise.adapt(float("nan"))
    assert noise.std == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"target_std": 0.0}, "target_std=0.0 is no standard deviation"),
        ({"std": -1.0}, "std=-1.0 is no standard deviation"),
        ({"target_std": float("nan")}, "target_std=nan"),
        ({"adaptation": 1.0}, "adaptation=1.0 would not adapt"),
        ({"adapt_every_steps": 0}, "adapt_every_steps=0"),
    ],
)
def test_values_out_of_range_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ParameterNoise(**arguments)


def test_weights_get_noise_of_the_size_asked_for_and_the_actor_stays_as_it_is() -> None:
    policy = make_policy(net_arch=[200, 100])
    before = {name: tensor.clone() for name, tensor in policy.state_dict().items()}
    perturbed = PerturbedActor(ParameterNoise(std=0.3), policy, n_envs=1)._perturb()
    noise = th.cat([(perturbed[name] - p).flatten() for name, p in policy.actor.named_parameters()])
    assert noise.numel() == 3 * 200 + 200 + 200 * 100 + 100 + 100 + 1
    assert noise.mean().item() == pytest.approx(0, abs=0.01)
    assert noise.std().item() == pytest.approx(0.3, rel=0.03)
    assert all(th.equal(before[name], tensor) for name, tensor in policy.state_dict().items())


def test_normalising_and_frozen_layers_get_no_noise() -> None:
    policy = make_policy(net_arch=[4], features_extractor_class=BatchNormed)
    policy.actor.mu[0].bias.requires_grad_(False)
    perturbed = PerturbedActor(ParameterNoise(), policy, n_envs=1)._perturb()
    changed = {name for name, p in policy.actor.named_parameters() if not th.equal(perturbed[name], p)}
    layers = ("features_extractor.layers.0", "mu.2")
    assert changed == {f"{layer}.{part}" for layer in layers for part in ("weight", "bias")} | {"mu.0.weight"}
    assert set(perturbed) == {name for name, _ in policy.actor.named_parameters()}  # so no buffers


def test_running_statistics_are_the_actors_own() -> None:
    policy = make_policy(net_arch=[4], features_extractor_class=BatchNormed)
    policy.set_training_mode(False)
    acting = PerturbedActor(ParameterNoise(std=1e-9), policy, n_envs=1)
    observation = np.array([[1.0, 2.0, 3.0]], dtype=np.float32)
    acting(observation)
    norm: Any = policy.actor.features_extractor
    norm.norm.running_mean += 5.0
    scaled = policy.scale_action(policy.predict(observation)[0])
    np.testing.assert_allclose(acting(observation), scaled, atol=1e-5)


def test_each_env_has_noise_of_its_own_until_its_episode_ends() -> None:
    acting = PerturbedActor(ParameterNoise(), make_policy(net_arch=[16]), n_envs=3)
    observations = np.ones((3, 3), dtype=np.float32)
    first = acting(observations)
    assert first.shape == (3, 1)
    assert len(set(first.flatten().tolist())) == 3
    np.testing.assert_array_equal(acting(observations), first)
    acting.reset([1])
    assert (acting(observations) == first).flatten().tolist() == [True, False, True]


class Scaled(nn.Module):
    """A function with a parameter, which keeps an actor from going by layers."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = nn.Parameter(th.tensor(0.3))

    def forward(self, x: th.Tensor) -> th.Tensor:
        return nn.functional.leaky_relu(x, 0.01) * self.slope


@pytest.mark.parametrize("n_envs", [1, 5])
@pytest.mark.parametrize(
    ("kwargs", "by_layers"),
    [
        ({"net_arch": []}, True),
        ({"net_arch": [16, 8]}, True),
        ({"net_arch": [16, 8], "activation_fn": NormalisedReLU}, True),
        ({"net_arch": [16], "activation_fn": nn.GELU}, True),
        ({"net_arch": [16], "activation_fn": Scaled}, False),
        ({"net_arch": [8], "features_extractor_class": BatchNormed}, False),
    ],
)
def test_all_envs_at_once_act_as_one_by_one(kwargs: dict[str, Any], by_layers: bool, n_envs: int) -> None:
    policy = make_policy(**kwargs)
    policy.set_training_mode(False)
    acting = PerturbedActor(ParameterNoise(0.5), policy, n_envs)
    assert acting._acting._goes_by_layers is by_layers
    rng = np.random.default_rng(0)
    th.manual_seed(1)
    weights = [acting._perturb() for _ in range(n_envs)]
    th.manual_seed(1)
    for _ in range(2):
        observations = rng.normal(size=(n_envs, 3)).astype(np.float32)
        actions = acting(observations)
        one_by_one = [
            acting._act(own, th.from_numpy(row[None])).numpy()[0]
            for own, row in zip(weights, observations, strict=True)
        ]
        np.testing.assert_allclose(actions, one_by_one, atol=1e-6)


def test_the_online_weights_may_move_while_an_episode_goes_on() -> None:
    policy = make_policy(net_arch=[16])
    acting = PerturbedActor(ParameterNoise(), policy, n_envs=2)
    observations = np.ones((2, 3), dtype=np.float32)
    first = acting(observations)
    with th.no_grad():
        for parameter in policy.actor.parameters():
            parameter.add_(1.0)
    np.testing.assert_array_equal(acting(observations), first)


def test_the_distance_is_that_of_the_paper(monkeypatch: pytest.MonkeyPatch) -> None:
    policy = make_policy(net_arch=[])
    acting = PerturbedActor(ParameterNoise(0.2, std=0.2), policy, n_envs=1)
    answers = [th.tensor([[0.5, 0.0], [0.0, 0.0]]), th.tensor([[0.1, 0.0], [0.0, 0.3]])]
    monkeypatch.setattr(acting, "_act", lambda weights, observations: answers.pop(0))
    assert acting.adapt(th.zeros(2, 3)) == pytest.approx(0.25)  # √((0.4² + 0.3²) / 4)
    assert acting.noise.std == pytest.approx(0.2 / 1.01)


@pytest.mark.parametrize("n_envs", [1, 2])
def test_the_perturbed_actor_acts_and_the_online_actor_predicts(n_envs: int) -> None:
    model = DDPG("MlpPolicy", pendulum(n_envs), parameter_noise=ParameterNoise(0.5), **SMALL).learn(60)
    observations: Any = model._last_obs
    action, stored = model._sample_action(0, None, n_envs)
    assert model._perturbed_actor is not None
    np.testing.assert_array_equal(stored, model._perturbed_actor(observations))
    np.testing.assert_allclose(action, 2 * stored, rtol=1e-6)
    with th.no_grad():
        online = model.actor(th.as_tensor(observations)).numpy()
    assert not np.allclose(stored, online)
    for deterministic in (True, False):
        np.testing.assert_allclose(model.predict(observations, deterministic=deterministic)[0], 2 * online, rtol=1e-5)


def test_action_noise_is_added_on_top_and_clipped() -> None:
    push = NormalActionNoise(np.array([10.0]), np.zeros(1))
    model = DDPG("MlpPolicy", pendulum(1), parameter_noise=ParameterNoise(), action_noise=push, **SMALL).learn(30)
    assert model._sample_action(0, push)[1].tolist() == [[1.0]]


def test_warm_up_draws_the_same_random_actions_as_without() -> None:
    buffers = [
        DDPG("MlpPolicy", pendulum(1), parameter_noise=noise, **SMALL).learn(30).replay_buffer
        for noise in (None, ParameterNoise())
    ]
    plain, perturbed = (buffer.actions[:30, 0, 0] for buffer in buffers if buffer is not None)
    assert (plain[:20] == perturbed[:20]).all()
    assert (plain[20:] != perturbed[20:]).all()


def test_it_adapts_at_its_interval_and_logs() -> None:
    noise = ParameterNoise(0.2, std=1e-6, adapt_every_steps=10)
    model = DDPG("MlpPolicy", pendulum(1), parameter_noise=noise, **SMALL).learn(55)
    # the first perturbed step is number 20, so the size moves before steps 30, 40 and 50
    assert model.parameter_noise is not None
    assert model.parameter_noise.std == pytest.approx(1e-6 * 1.01**3)
    assert noise.std == 1e-6  # the model has its own copy
    assert model.logger.name_to_value["train/parameter_noise_std"] == model.parameter_noise.std
    assert 0 < model.logger.name_to_value["train/parameter_noise_distance"] < 1e-3


def test_the_size_settles_where_actions_change_by_the_target() -> None:
    noise = ParameterNoise(0.2, std=5.0, adaptation=1.2, adapt_every_steps=1)
    model = DDPG("MlpPolicy", pendulum(1), parameter_noise=noise, learning_rate=1e-5, **SMALL).learn(200)
    assert model._perturbed_actor is not None
    assert model.replay_buffer is not None
    observations = model.replay_buffer.sample(200).observations
    distances = [model._perturbed_actor.adapt(observations) for _ in range(50)]
    assert np.mean(distances) == pytest.approx(0.2, rel=0.35)


def test_a_new_episode_gets_new_noise_during_training() -> None:
    model = DDPG("MlpPolicy", pendulum(2, steps=10), parameter_noise=ParameterNoise(), **SMALL).learn(50)
    acting: Any = model._perturbed_actor
    assert not acting._begins_anew.all()
    model.learn(2, reset_num_timesteps=False)
    assert model._perturbed_actor is not acting  # each learn begins anew, as SB3 does with action noise
    model._update_info_buffer([{}, {}], np.array([False, True]))
    acting = model._perturbed_actor
    assert acting._begins_anew.tolist() == [False, True]


@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_same_seed_gives_the_same_weights(n_envs: int) -> None:
    def final(seed: int) -> th.Tensor:
        noise = ParameterNoise(adapt_every_steps=5)
        model = DDPG("MlpPolicy", pendulum(n_envs), parameter_noise=noise, **SMALL | {"seed": seed}).learn(120)
        assert model.parameter_noise is not None
        return th.cat([p.flatten() for p in model.policy.parameters()] + [th.tensor([model.parameter_noise.std])])

    assert th.equal(final(3), final(3))
    assert not th.equal(final(3), final(4))


def test_it_learns_the_identity(identity_env: Any) -> None:
    # One-step episodes: new noise at every step.
    options: dict[str, Any] = {**SMALL, "batch_size": 64, "learning_rate": 5e-3}
    model = DDPG("MlpPolicy", identity_env, parameter_noise=ParameterNoise(0.3), **options).learn(600)
    asked = np.linspace(-0.9, 0.9, 7, dtype=np.float32).reshape(-1, 1)
    answers, _ = model.predict(asked, deterministic=True)
    assert np.abs(answers - asked).max() < 0.3  # without noise 0.2; answering 0 would be 0.9


def test_layer_normalisation_as_the_docstring_shows_it() -> None:
    kwargs = {"net_arch": [16, 16], "activation_fn": NormalisedReLU}
    model = DDPG(
        "MlpPolicy", pendulum(1), parameter_noise=ParameterNoise(), **{**SMALL, "policy_kwargs": kwargs}
    ).learn(80)
    assert sum(isinstance(part, NormalisedReLU) for part in model.actor.modules()) == 2


def test_the_size_is_saved_and_the_weights_of_the_moment_are_not(tmp_path: Path) -> None:
    noise = ParameterNoise(0.2, std=0.1, adapt_every_steps=3)
    model = DDPG("MlpPolicy", pendulum(2), parameter_noise=noise, **SMALL).learn(60)
    model.save(tmp_path / "model")
    loaded = DDPG.load(tmp_path / "model", env=pendulum(3))
    assert repr(loaded.parameter_noise) == repr(model.parameter_noise)
    assert repr(loaded.parameter_noise) != repr(noise)
    assert loaded._perturbed_actor is None
    loaded.learn(30, reset_num_timesteps=False)  # with another number of envs
    with pytest.raises(RuntimeError, match="needs_sb3_ddpg_custom"):  # SB3 would explore in another way, silently
        stable_baselines3.DDPG.load(tmp_path / "model")


def test_dict_observations_and_normalised_envs() -> None:
    class Parts(gym.ObservationWrapper[Any, Any, Any]):
        def __init__(self) -> None:
            super().__init__(gym.make("Pendulum-v1", max_episode_steps=10))
            one = spaces.Box(-8, 8, (1,), np.float32)
            self.observation_space = spaces.Dict({"x": one, "y": one, "speed": one})

        def observation(self, observation: Any) -> dict[str, Any]:
            return {key: observation[[index]] for index, key in enumerate(("x", "y", "speed"))}

    noise = ParameterNoise(adapt_every_steps=5)
    env = VecNormalize(make_vec_env(Parts, n_envs=2))
    model = DDPG("MultiInputPolicy", env, parameter_noise=noise, **SMALL)
    buffer: Any = model.replay_buffer
    sample, normalisers = buffer.sample, []

    def spy(batch_size: int, env: Any = None) -> Any:
        normalisers.append(env)
        return sample(batch_size, env=env)

    buffer.sample = spy
    model.learn(60)
    assert normalisers
    assert all(one is env for one in normalisers)
    assert model.parameter_noise is not None
    assert model.parameter_noise.std != 0.2
