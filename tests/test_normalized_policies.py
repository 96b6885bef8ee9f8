"""policy_kwargs normalize_observations: trains as VecNormalize does, and what is off is SB3's."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium import spaces
from helpers import SMALL, make_model
from stable_baselines3 import HerReplayBuffer
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize
from stable_baselines3.td3.policies import MultiInputPolicy, TD3Policy

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.normalized_policies import NormalizedMlpPolicy, NormalizedMultiInputPolicy

ON = {"normalize_observations": True}
WAYS = ["autograd", "analytic"] + (["compiled"] if find_spec("numba") else [])


def envs(n_envs: int = 1, max_episode_steps: int = 200) -> Any:
    kwargs = {"max_episode_steps": max_episode_steps}
    return make_vec_env("Pendulum-v1", n_envs, seed=0, env_kwargs=kwargs)


def noise(size: int = 1) -> NormalActionNoise:
    return NormalActionNoise(np.zeros(size), 0.1 * np.ones(size))


class Rooms(gym.Env[Any, Any]):
    """Dict observations whose parts lie far apart; the observation at step i is made of i."""

    observation_space = spaces.Dict(
        {
            "near": spaces.Box(-np.inf, np.inf, (2,), np.float32),
            "far": spaces.Box(-np.inf, np.inf, (1,), np.float64),
            "camera": spaces.Box(0, 255, (36, 36, 1), np.uint8),
            "room": spaces.Discrete(3),
        }
    )
    action_space = spaces.Box(-1, 1, (1,))
    steps = 0

    def _observation(self) -> dict[str, Any]:
        i = self.steps
        camera = np.full((36, 36, 1), i, np.uint8)
        return {"near": np.array([i, -i], np.float32), "far": np.array([1e6 + i]), "camera": camera, "room": i % 3}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.steps = 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self._observation(), float(action[0]), False, self.steps == 9, {}


@pytest.mark.parametrize("n_envs", [1, 3])
@pytest.mark.parametrize("way", WAYS)
def test_a_training_is_that_under_vec_normalize_to_the_last_bit(way: Any, n_envs: int) -> None:
    ours = make_model(envs(n_envs), update=way, action_noise=noise(), policy_kwargs=ON).learn(150 * n_envs)
    theirs = make_model(VecNormalize(envs(n_envs), norm_reward=False), update=way, action_noise=noise())
    theirs.learn(150 * n_envs)
    assert ours._n_updates == theirs._n_updates > 100
    for one, other in zip(ours.policy.parameters(), theirs.policy.parameters(), strict=True):
        assert th.equal(one, other)
    statistics = ours.policy.normalizer.alone
    np.testing.assert_array_equal(statistics.mean.numpy(), theirs.env.obs_rms.mean)
    np.testing.assert_array_equal(statistics.var.numpy(), theirs.env.obs_rms.var)


@pytest.mark.parametrize("n_envs", [1, 3])
def test_the_stream_is_vec_normalizes_over_resets_and_second_trainings(n_envs: int) -> None:
    # Random actions, whose observations no rounding changes.
    ours = make_model(envs(n_envs, 20), learning_starts=1000, policy_kwargs=ON)
    theirs = make_model(VecNormalize(envs(n_envs, 20), norm_reward=False), learning_starts=1000)
    for model in (ours, theirs):
        model.learn(90).learn(30, reset_num_timesteps=False).learn(45)
    statistics = ours.policy.normalizer.alone
    np.testing.assert_array_equal(statistics.mean.numpy(), theirs.env.obs_rms.mean)
    np.testing.assert_array_equal(statistics.var.numpy(), theirs.env.obs_rms.var)
    # 165 steps, and the resets of the first and of the third training.
    assert statistics.count.item() == theirs.env.obs_rms.count == pytest.approx(165 + 2 * n_envs + 1e-4)


def test_acting_and_evaluating_leave_the_statistics_alone() -> None:
    model = make_model(policy_kwargs=ON).learn(60)
    before = {name: value.clone() for name, value in model.policy.state_dict().items()}
    observations = np.array([[100.0, 50.0, -30.0], [0.0, 1.0, 2.0]], np.float32)
    actions, _ = model.predict(observations)
    mean, deviation = model.policy.normalizer.alone.constants()
    by_hand = np.clip((observations - mean) / deviation, -10, 10).astype(np.float32)
    with th.no_grad():
        expected = 2 * model.actor.mu(th.from_numpy(by_hand)).numpy()
    np.testing.assert_allclose(actions, expected, rtol=1e-6)  # sums in another order
    model.train(3, 16)
    for name, value in model.policy.normalizer.state_dict().items():
        assert th.equal(value, before[f"normalizer.{name}"])


def test_parts_of_a_dict_have_statistics_of_their_own() -> None:
    model: Any = make_model(Rooms(), "MultiInputPolicy", policy_kwargs=ON).learn(79)
    assert type(model.policy) is NormalizedMultiInputPolicy
    parts: Any = model.policy.normalizer.parts
    assert list(parts) == ["far", "near"]  # the order of Dict spaces
    # Eight episodes of the observations 0 to 8, without 9, the last ones, which an episode's end replaces by a 0.
    means = {key: part.mean.numpy() for key, part in parts.items()}
    assert means["near"] == pytest.approx([4, -4], abs=0.1)
    assert means["far"] == pytest.approx([1e6 + 4], abs=2)
    seen = model.policy.normalizer({"near": th.tensor([[8.0, -8.0]]), "room": th.tensor([2])})
    assert seen["room"].tolist() == [2]
    assert seen["near"].tolist() == [pytest.approx([1.55, -1.55], abs=0.05)]


class Reach(gym.Env[Any, Any]):
    """Go to 7 from 0."""

    part = spaces.Box(-np.inf, np.inf, (1,), np.float32)
    observation_space = spaces.Dict({"observation": part, "achieved_goal": part, "desired_goal": part})
    action_space = spaces.Box(-1, 1, (1,))
    place, steps = 0.0, 0

    def _observation(self) -> dict[str, Any]:
        place = np.array([self.place], np.float32)
        return {"observation": -place, "achieved_goal": place, "desired_goal": np.array([7.0], np.float32)}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = 0.0, 0
        return self._observation(), {}

    def compute_reward(self, achieved_goal: Any, desired_goal: Any, info: Any) -> Any:
        del info
        return -np.abs(achieved_goal - desired_goal).sum(axis=-1)

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place, self.steps = self.place + float(action[0]), self.steps + 1
        seen = self._observation()
        reward = float(self.compute_reward(seen["achieved_goal"], seen["desired_goal"], {}))
        return seen, reward, False, self.steps == 8, {}


def test_hindsight_learns_on_normalised_goals() -> None:
    buffer: Any = {"replay_buffer_class": HerReplayBuffer, "replay_buffer_kwargs": {"n_sampled_goal": 2}}
    env = DummyVecEnv([Reach] * 2)
    model = make_model(env, "MultiInputPolicy", policy_kwargs=ON, action_noise=noise(), **buffer).learn(80)
    assert model._n_updates == 30
    parts = model.policy.normalizer.parts
    assert set(parts) == {"achieved_goal", "desired_goal", "observation"}
    assert parts["desired_goal"].mean.tolist() == [pytest.approx(7, abs=1e-4)]
    assert parts["observation"].mean.tolist() == [-one for one in parts["achieved_goal"].mean.tolist()] != [0]


@pytest.mark.parametrize("shares", [False, True])
def test_all_networks_share_the_statistics(shares: bool) -> None:
    policy = make_model(policy_kwargs={**ON, "share_features_extractor": shares}).learn(40).policy
    for network in (policy.actor, policy.critic, policy.actor_target, policy.critic_target):
        assert network.normalizer is policy.normalizer


def test_twice_normalised_is_refused() -> None:
    with pytest.raises(ValueError, match=r"normalised twice.*VecNormalize\(norm_obs=False\)"):
        make_model(VecNormalize(envs()), policy_kwargs=ON)
    model = make_model(envs(), policy_kwargs=ON)
    model.set_env(VecNormalize(envs()))
    with pytest.raises(ValueError, match="normalised twice"):
        model.learn(10)


def test_rewards_may_be_normalised_by_the_env() -> None:
    model = make_model(VecNormalize(envs(), norm_obs=False), policy_kwargs=ON).learn(50)
    assert model.policy.normalizer.alone.count.item() == pytest.approx(51 + 1e-4)
    assert model._n_updates == 30


class OwnPolicy(TD3Policy):
    """Knows nothing of normalisation."""


class OwnNormalizedPolicy(NormalizedMlpPolicy):
    """Knows it."""


def test_a_policy_of_ones_own_has_to_know_how() -> None:
    with pytest.raises(ValueError, match=r"OwnPolicy is none of them: derive it from .*NormalizedMlpPolicy"):
        make_model(policy=OwnPolicy, policy_kwargs=ON)
    model = make_model(policy=OwnNormalizedPolicy, policy_kwargs=ON)
    assert type(model.policy) is OwnNormalizedPolicy


def test_it_is_on_or_off() -> None:
    with pytest.raises(ValueError, match="normalize_observations must be True or False, got 'yes'"):
        make_model(policy_kwargs={"normalize_observations": "yes"})


@pytest.mark.parametrize("kwargs", [{}, {"normalize_observations": False}])
def test_what_is_off_is_sb3s(kwargs: dict[str, Any], tmp_path: Path) -> None:
    model = make_model(policy_kwargs=kwargs)
    assert type(model.policy) is TD3Policy
    model.learn(30).save(tmp_path / "model")
    loaded = stable_baselines3.DDPG.load(tmp_path / "model")
    for one, other in zip(model.policy.parameters(), loaded.policy.parameters(), strict=True):
        assert th.equal(one, other)


@pytest.mark.parametrize(
    ("policy", "make_env"), [("MlpPolicy", envs), ("MultiInputPolicy", lambda: DummyVecEnv([Rooms]))]
)
def test_a_zip_is_the_model(policy: str, make_env: Callable[[], Any], tmp_path: Path) -> None:
    model = make_model(make_env(), policy, policy_kwargs=ON).learn(50)
    model.save(tmp_path / "model")
    loaded: Any = DDPG.load(tmp_path / "model", env=make_env())
    assert loaded.policy_class in (TD3Policy, MultiInputPolicy)
    for (name, one), other in zip(model.policy.state_dict().items(), loaded.policy.state_dict().values(), strict=True):
        assert th.equal(one, other), name
    observations: Any = model._last_obs
    np.testing.assert_array_equal(model.predict(observations)[0], loaded.predict(observations)[0])
    loaded.learn(30, reset_num_timesteps=False)  # begins with a reset
    normalizer = loaded.policy.normalizer
    part = normalizer.alone if policy == "MlpPolicy" else normalizer.parts["near"]
    assert part.count.item() == pytest.approx(50 + 1 + 30 + 1 + 1e-4)


@pytest.mark.parametrize("policy", ["MlpPolicy", NormalizedMlpPolicy])
def test_sb3_refuses_a_zip_that_it_would_train_otherwise(policy: Any, tmp_path: Path) -> None:
    kwargs = ON if policy == "MlpPolicy" else {}
    make_model(policy=policy, policy_kwargs=kwargs).learn(30).save(tmp_path / "model")
    with pytest.raises((TypeError, RuntimeError), match=r"normalize_observations|needs_sb3_ddpg_custom"):
        stable_baselines3.DDPG.load(tmp_path / "model")


def test_a_policy_alone_is_saved_with_its_statistics(tmp_path: Path) -> None:
    policy: Any = make_model(policy_kwargs=ON).learn(30).policy
    policy.save(tmp_path / "policy.pth")
    loaded = NormalizedMlpPolicy.load(str(tmp_path / "policy.pth"), device="cpu")
    observations = np.array([[0.5, 0.5, 3.0]], np.float32)
    np.testing.assert_array_equal(policy.predict(observations)[0], loaded.predict(observations)[0])


def test_the_paper_s_first_weights_go_with_it() -> None:
    model = make_model(policy_kwargs=ON, output_init=3e-3)
    assert float(model.actor.mu[-2].weight.detach().abs().max()) <= 3e-3
    assert {"net_arch": SMALL["policy_kwargs"]["net_arch"], "n_critics": 1, **ON} == model.policy_kwargs
