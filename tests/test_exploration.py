"""The schedules of the exploration noise, number by number."""

import numpy as np
import pytest
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise, VectorizedActionNoise

from sb3_ddpg_custom import AnnealedActionNoise, EpisodeBias, EpisodeScaledActionNoise
from sb3_ddpg_custom.exploration import report_progress


def normal(sigma: float = 1.0) -> NormalActionNoise:
    return NormalActionNoise(np.zeros(1), sigma * np.ones(1))


@pytest.mark.parametrize(("progress_remaining", "scale"), [(1.0, 1.0), (0.25, 0.25), (0.0, 0.0), (-0.01, 0.0)])
def test_annealed_noise_shrinks_with_the_remaining_progress(progress_remaining: float, scale: float) -> None:
    noise = AnnealedActionNoise(normal())
    noise.set_progress(progress_remaining, episode=99)
    assert noise.scale == scale


def test_annealed_noise_is_its_base_noise_times_the_scale() -> None:
    noise = AnnealedActionNoise(normal(0.2))
    noise.set_progress(0.5, episode=0)
    np.random.seed(0)
    drawn = noise()
    np.random.seed(0)
    np.testing.assert_array_equal(drawn, np.float32(0.5) * normal(0.2)())
    assert drawn.dtype == np.float32


@pytest.mark.parametrize(("episode", "scale"), [(0, 1.0), (1, 0.5), (3, 0.25), (99, 0.01)])
def test_episode_scale_is_that_of_the_notes(episode: int, scale: float) -> None:
    noise = EpisodeScaledActionNoise(normal())
    noise.set_progress(0.3, episode)
    assert noise.scale == scale


def test_episode_scaled_noise_has_a_mean_of_zero_and_the_bias_has_not() -> None:
    np.random.seed(0)
    noise, bias = EpisodeScaledActionNoise(normal()), EpisodeBias(action_dim=2, bias=0.5)
    noise.set_progress(0.9, 1)
    bias.set_progress(0.9, 1)
    assert abs(np.mean([noise() for _ in range(4000)])) < 0.03
    assert bias().tolist() == [0.25, 0.25]
    assert bias().tolist() == [0.25, 0.25]


def test_reset_reaches_the_base_noise() -> None:
    base = OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1))
    noise = AnnealedActionNoise(base)
    noise()
    assert base.noise_prev != 0
    noise.reset()
    assert base.noise_prev == 0


def test_progress_reaches_every_env_of_a_vectorised_noise() -> None:
    vectorised = VectorizedActionNoise(EpisodeScaledActionNoise(normal()), n_envs=3)
    report_progress(vectorised, 0.5, episode=3)
    assert [noise.scale for noise in vectorised.noises if isinstance(noise, EpisodeScaledActionNoise)] == [0.25] * 3


def test_noise_that_does_not_ask_is_left_alone() -> None:
    report_progress(None, 0.5, episode=3)
    report_progress(normal(), 0.5, episode=3)
