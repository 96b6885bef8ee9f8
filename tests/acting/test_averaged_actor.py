"""An average of the actor plays, and the training does not know of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3 as sb3
import torch as th
from gymnasium import spaces
from helpers import make_model
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.monitor import Monitor
from torch import nn

from sb3_ddpg_custom import DDPG, ParameterNoise, export_policy
from sb3_ddpg_custom.acting.averaged_actor import average_of
from sb3_ddpg_custom.checkpoint import build_policy, read_checkpoint
from sb3_ddpg_custom.checkpoint.exact import ExactCheckpoint
from sb3_ddpg_custom.wrappers import EpisodeReplayer

OBSERVATIONS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


def same(one: Any, other: Any, names: Any) -> bool:
    return all(th.equal(one[name], other[name]) for name in names)


def followed(tau: float, actors: list[float], updates: int = 1, *, flat: bool = True) -> list[float]:
    """Give the first weight of the average after trainings that leave the actor's weights at these numbers."""
    m: Any = make_model(actor_average_tau=tau)
    first = []
    for value in actors:
        with th.no_grad():
            for parameter in m.actor.parameters():
                parameter.fill_(value)
        m._n_updates += updates
        m._follow_actor(updates, m._updates.by_hand.flat if flat else None)
        first.append(float(next(average_of(m.policy).parameters()).flatten()[0]))
    return first


@pytest.mark.parametrize("flat", [True, False])
def test_the_average_by_hand(flat: bool) -> None:
    # Shares of 1, 5/6, 5/7, 5/8, 5/9.
    assert followed(0.25, [8.0, 4.0, 0.0, 8.0, 1.0], flat=flat) == pytest.approx([8, 14 / 3, 4 / 3, 5.5, 3])
    # τ̄ is the least: 1, 5/6, 3/4, 3/4.
    assert followed(0.75, [8.0, 4.0, 0.0, 1.0], flat=flat) == pytest.approx([8, 14 / 3, 7 / 6, 25 / 24])
    # Two updates at a time: 1, 1 - (1 - 5/7)² = 45/49; 1, 1 - (1 - 3/4)² = 15/16.
    assert followed(0.25, [8.0, 4.0], updates=2, flat=flat) == pytest.approx([8, 8 - 4 * 45 / 49])
    assert followed(0.75, [8.0, 4.0], updates=2, flat=flat) == pytest.approx([8, 8 - 4 * 15 / 16])
    assert followed(1.0, [8.0, 4.0], flat=flat) == [8, 4]


@pytest.mark.parametrize("update", ["auto", "analytic", "autograd"])
@pytest.mark.parametrize(
    "options", [{}, {"parameter_noise": ParameterNoise(0.1)}, {"train_freq": 3, "gradient_steps": 2}]
)
def test_a_training_is_the_same_with_and_without(update: Any, options: dict[str, Any]) -> None:
    plain = make_model(update=update, **options).learn(120)
    averaged = make_model(update=update, actor_average_tau=0.05, **options).learn(120)
    weights = plain.policy.state_dict()
    assert same(weights, averaged.policy.state_dict(), weights)
    np.testing.assert_array_equal(plain.replay_buffer.actions, averaged.replay_buffer.actions)
    assert plain._update.name == averaged._update.name
    assert not np.array_equal(plain.predict(OBSERVATIONS)[0], averaged.predict(OBSERVATIONS)[0])
    np.testing.assert_array_equal(plain.predict(OBSERVATIONS)[0], averaged.policy.predict(OBSERVATIONS)[0])


class Pictures(gym.Env[Any, Any]):
    observation_space = spaces.Box(0, 255, (36, 36, 1), np.uint8)
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> Any:
        return self.observation_space.sample(), float(action.sum()), False, bool(self.np_random.random() < 0.1), {}


class Parts(Pictures):
    observation_space: Any = spaces.Dict({"a": spaces.Box(-9, 9, (2,)), "b": spaces.Box(-1, 1, (3,))})


KINDS: list[Callable[..., Any]] = [
    make_model,
    lambda **k: make_model(policy_kwargs={"layer_norm": "both"}, **k),
    lambda **k: make_model(policy_kwargs={"normalize_observations": True}, **k),
    lambda **k: make_model(policy_kwargs={"activation_fn": nn.SiLU}, **k),
    lambda **k: DDPG("SimbaPolicy", "Pendulum-v1", learning_starts=20, batch_size=16, **k),
    lambda **k: make_model(Parts(), "MultiInputPolicy", **k),
    lambda **k: make_model(Pictures(), "CnnPolicy", policy_kwargs={"share_features_extractor": True}, **k),
]


@pytest.mark.parametrize("kind", KINDS)
def test_every_policy_is_averaged_saved_loaded_and_rebuilt(kind: Callable[..., Any], tmp_path: Path) -> None:
    m = kind(actor_average_tau=0.02, seed=1).learn(80)
    drawn = [m.observation_space.sample() for _ in range(3)]
    observations: Any = np.stack(drawn) if isinstance(drawn[0], np.ndarray) else drawn[0]
    played = m.predict(observations, deterministic=True)[0]
    average, own = average_of(m.policy), m.actor.state_dict()
    assert not same(average.state_dict(), own, own)
    assert not any(parameter.requires_grad for parameter in average.parameters())
    assert average._modules.get("normalizer") is m.actor._modules.get("normalizer")
    m.save(tmp_path / "m.zip")
    loaded = DDPG.load(tmp_path / "m.zip")
    np.testing.assert_array_equal(loaded.predict(observations)[0], played)
    assert same(m.policy.state_dict(), loaded.policy.state_dict(), m.policy.state_dict())
    rebuilt = build_policy(read_checkpoint(tmp_path / "m.zip"), m.observation_space, m.action_space, "cpu")
    np.testing.assert_allclose(rebuilt.predict(observations)[0], played, atol=1e-6)
    with pytest.raises((RuntimeError, TypeError), match=r"Unexpected key.*actor_average|unexpected keyword"):
        sb3.DDPG.load(tmp_path / "m.zip")


def test_weights_go_from_models_with_an_average_to_those_without_and_back(tmp_path: Path) -> None:
    plain, averaged = make_model().learn(60), make_model(actor_average_tau=0.02).learn(60)
    plain.save(tmp_path / "plain.zip")
    averaged.save(tmp_path / "averaged.zip")
    other = make_model(actor_average_tau=0.02)
    other.set_parameters(tmp_path / "plain.zip")
    np.testing.assert_array_equal(other.predict(OBSERVATIONS)[0], plain.predict(OBSERVATIONS)[0])
    other = make_model()
    other.set_parameters(tmp_path / "averaged.zip")
    np.testing.assert_array_equal(other.predict(OBSERVATIONS)[0], averaged.policy.predict(OBSERVATIONS)[0])


def test_a_script_may_change_its_mind_between_two_trainings() -> None:
    m = make_model().learn(60)
    m.actor_average_tau = 0.5
    m.learn(60, reset_num_timesteps=False)
    assert not np.array_equal(m.predict(OBSERVATIONS)[0], m.policy.predict(OBSERVATIONS)[0])
    m.actor_average_tau = None
    np.testing.assert_array_equal(m.predict(OBSERVATIONS)[0], m.policy.predict(OBSERVATIONS)[0])
    m.learn(60, reset_num_timesteps=False)
    assert average_of(m.policy) is None


def test_sb3s_evaluation_plays_the_average() -> None:
    m = make_model(actor_average_tau=0.01).learn(100)
    m.get_env().seed(0)
    averaged = evaluate_policy(m, m.get_env(), 3)[0]
    m.policy.actor.load_state_dict(average_of(m.policy).state_dict())
    m.actor_average_tau = None
    m.get_env().seed(0)
    assert averaged == pytest.approx(evaluate_policy(m, m.get_env(), 3)[0])


def test_a_resumed_training_has_the_same_average(tmp_path: Path) -> None:
    def build() -> Any:
        env = EpisodeReplayer(Monitor(gym.make("Pendulum-v1")))
        return make_model(env, actor_average_tau=0.01, seed=3)

    whole = ExactCheckpoint(tmp_path / "whole", every_steps=1_000).learn(build(), 240)
    first = ExactCheckpoint(tmp_path / "parts", every_steps=100)
    first.learn(build(), 130)
    resumed = ExactCheckpoint(tmp_path / "parts", every_steps=100).learn(build(), 240)
    assert same(whole.policy.state_dict(), resumed.policy.state_dict(), whole.policy.state_dict())
    np.testing.assert_array_equal(whole.predict(OBSERVATIONS)[0], resumed.predict(OBSERVATIONS)[0])


def test_an_export_plays_the_average(tmp_path: Path) -> None:
    m = make_model(actor_average_tau=0.01).learn(100)
    exported = export_policy(m, tmp_path / "policy.npz")
    assert exported.largest_difference < 1e-4


@pytest.mark.parametrize("tau", [0, -0.1, 1.5, float("nan"), "0.1", True])
def test_other_shares_are_refused(tau: Any) -> None:
    with pytest.raises(ValueError, match="actor_average_tau must be above 0 and at most 1"):
        make_model(actor_average_tau=tau)
