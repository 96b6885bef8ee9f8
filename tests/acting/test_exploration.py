"""The scales of the exploration noise over time and over envs, number by number."""

import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from helpers import SMALL
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise, VectorizedActionNoise
from stable_baselines3.common.vec_env import VecEnv

from sb3_ddpg_custom import DDPG, AnnealedActionNoise, EpisodeBias, EpisodeScaledActionNoise, PerEnvActionNoise
from sb3_ddpg_custom.acting.action_noise import fit_to_envs, report_progress
from sb3_ddpg_custom.acting.noise_of_all_envs import NoiseAtOnce, QuickNormalNoise, at_once


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
    noise = normal()
    before = vars(noise).copy()
    report_progress(noise, 0.5, episode=3)
    assert vars(noise) == before


def pendulum(n_envs: int) -> VecEnv:
    return make_vec_env(lambda: gym.make("Pendulum-v1", max_episode_steps=10), n_envs=n_envs, seed=0)


@pytest.mark.parametrize(
    ("n_envs", "scales"),
    [(1, [0.2]), (2, [0.1, 0.4]), (3, [0.1, 0.2, 0.4]), (5, [0.1, 0.141421, 0.2, 0.282843, 0.4])],
)
def test_scales_are_spaced_geometrically_from_the_first_env_to_the_last(n_envs: int, scales: list[float]) -> None:
    noise = PerEnvActionNoise(normal(), n_envs, low=0.1, high=0.4)
    np.testing.assert_allclose(noise.scales, scales, atol=1e-6)


def test_each_env_draws_at_its_own_scale() -> None:
    np.random.seed(0)
    noise = PerEnvActionNoise(NormalActionNoise(np.zeros(2), np.ones(2)), 3, low=0.05, high=0.8)
    drawn = np.stack([noise() for _ in range(4000)])
    assert drawn.shape == (4000, 3, 2)
    assert drawn.dtype == np.float32
    np.testing.assert_allclose(drawn.std(axis=0), [[0.05] * 2, [0.2] * 2, [0.8] * 2], rtol=0.05)


def test_the_envs_of_a_range_forget_one_by_one() -> None:
    noise = PerEnvActionNoise(OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1)), 2, low=0.1, high=0.4)
    noise()
    noise.reset(indices=[1])
    remembered: Any = [one.noise_prev for one in noise.noises]  # type: ignore[attr-defined]
    assert remembered[0] != 0
    assert remembered[1] == 0


@pytest.mark.parametrize(
    ("low", "high"), [(0.0, 0.4), (0.4, 0.1), (-0.1, 0.1), (0.1, float("inf")), (0.1, float("nan"))]
)
def test_a_range_that_is_none_is_refused(low: float, high: float) -> None:
    with pytest.raises(ValueError, match=f"low={low} and high={high} are no range"):
        PerEnvActionNoise(normal(), 2, low=low, high=high)


def test_a_base_noise_hears_of_the_progress_in_each_env() -> None:
    noise = PerEnvActionNoise(AnnealedActionNoise(normal()), 2, low=0.1, high=0.4)
    report_progress(noise, 0.0, episode=0)
    assert noise().tolist() == [[0.0], [0.0]]


def test_noise_fits_the_number_of_envs() -> None:
    single, three = normal(), VectorizedActionNoise(normal(0.3), 3)
    spread = PerEnvActionNoise(normal(), 3, low=0.1, high=0.4)
    assert fit_to_envs(None, 2) is None
    assert fit_to_envs(single, 2) is single
    assert fit_to_envs(three, 3) is three
    assert fit_to_envs(spread, 3) is spread
    two: Any = fit_to_envs(three, 2)
    assert (two.n_envs, two.noises[1]._sigma.tolist()) == (2, [0.3])
    fitted: Any = fit_to_envs(spread, 2)
    assert fitted.scales.tolist() == [0.1, 0.4]


def test_an_unknown_noise_of_several_envs_is_refused_by_name() -> None:
    class Own(VectorizedActionNoise):
        pass

    with pytest.raises(ValueError, match="action_noise is a Own for 3 envs, but there are 2"):
        fit_to_envs(Own(normal(), 3), 2)


@pytest.mark.parametrize("cls", [DDPG, stable_baselines3.DDPG])
@pytest.mark.parametrize("n_envs", [1, 3])
def test_training_with_a_range(cls: Any, n_envs: int) -> None:
    noise = PerEnvActionNoise(normal(), n_envs, low=0.1, high=0.4)
    model = cls("MlpPolicy", pendulum(n_envs), action_noise=noise, **SMALL).learn(20 * n_envs)
    assert model.action_noise is noise
    assert model.num_timesteps == 20 * n_envs


@pytest.mark.parametrize("make", [lambda: PerEnvActionNoise(normal(), 3, low=0.1, high=0.4), lambda: normal(0.3)])
@pytest.mark.parametrize("n_envs", [1, 2, 5])
def test_a_saved_noise_fits_another_number_of_envs(make: Any, n_envs: int, tmp_path: Path) -> None:
    """SB3's own stops here: the noise in the zip is that of three envs."""
    DDPG("MlpPolicy", pendulum(3), action_noise=make(), **SMALL).learn(30).save(tmp_path / "model")
    loaded = DDPG.load(tmp_path / "model", env=pendulum(n_envs)).learn(10 * n_envs)
    assert loaded.action_noise is not None
    assert loaded.action_noise().shape == (n_envs, 1)


def ornstein_uhlenbeck(size: int = 3, **kwargs: Any) -> OrnsteinUhlenbeckActionNoise:
    return OrnsteinUhlenbeckActionNoise(np.linspace(-1, 1, size), np.full(size, 0.3), **kwargs)


KNOWN = {
    "normal": lambda: NormalActionNoise(np.linspace(-1, 1, 3), np.array([0.1, 0.2, 0.3])),
    "normal in float64": lambda: NormalActionNoise(np.zeros(3), np.ones(3), dtype=np.float64),
    "actions of two dimensions": lambda: NormalActionNoise(np.zeros((2, 3)), np.ones((2, 3))),
    "Ornstein-Uhlenbeck": lambda: ornstein_uhlenbeck(theta=0.4, dt=0.05),
    "with a start": lambda: ornstein_uhlenbeck(initial_noise=np.full(3, 5.0)),
    "annealed": lambda: AnnealedActionNoise(NormalActionNoise(np.zeros(3), 0.2 * np.ones(3))),
    "annealed Ornstein-Uhlenbeck": lambda: AnnealedActionNoise(ornstein_uhlenbeck()),
}
UNKNOWN = {
    "one number for all components": lambda: NormalActionNoise(np.zeros(3), 0.1),  # type: ignore[arg-type]
    "Ornstein-Uhlenbeck in float32": lambda: OrnsteinUhlenbeckActionNoise(
        np.zeros(3, np.float32), np.ones(3, np.float32)
    ),
    "bias": lambda: EpisodeBias(action_dim=3, bias=0.5),
}


def play_with(noise: VectorizedActionNoise, draw: Any, seed: int = 0) -> list[NDArray[Any]]:
    """Noise of a training with 5 envs: episodes end, scales and widths change, others use the generator too."""
    np.random.seed(seed)
    drawn = []
    for step in range(12):
        report_progress(noise, 1 - step / 12, episode=step)
        drawn += [draw(), np.random.random(1)]
        if step % 3 == 0:
            noise.reset([step % 5])
        if step == 7:
            inner: Any = getattr(noise.noises[2], "noise", noise.noises[2])
            if isinstance(getattr(inner, "_sigma", None), np.ndarray):
                inner._sigma *= 2.0  # in place
    return drawn


@pytest.mark.parametrize("make", [*KNOWN.values(), *UNKNOWN.values()], ids=[*KNOWN, *UNKNOWN])
@pytest.mark.parametrize("spread", [False, True])
def test_one_draw_for_all_envs_gives_what_sb3_draws_one_by_one(make: Any, spread: bool) -> None:
    def vectorised() -> VectorizedActionNoise:
        return PerEnvActionNoise(make(), 5, low=0.1, high=2.0) if spread else VectorizedActionNoise(make(), 5)

    one_by_one, together = vectorised(), vectorised()
    expected, drawn = play_with(one_by_one, one_by_one), play_with(together, NoiseAtOnce(together))
    for right, left in zip(expected, drawn, strict=True):
        np.testing.assert_array_equal(left, right)
        assert left.dtype == right.dtype


@pytest.mark.parametrize("make", KNOWN.values(), ids=KNOWN)
def test_known_noises_are_not_called_one_by_one(make: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    noise = VectorizedActionNoise(make(), 4)
    draws: list[tuple[int, ...]] = []
    normal_draw = np.random.normal

    def count(*args: Any, **kwargs: Any) -> NDArray[Any]:
        draws.append(np.shape(result := normal_draw(*args, **kwargs)))
        return np.asarray(result)

    monkeypatch.setattr(np.random, "normal", count)
    shape = NoiseAtOnce(noise)().shape
    assert draws == [shape]
    assert shape[0] == 4


def test_noises_that_share_a_state_move_on_one_by_one() -> None:
    shared, also_shared = ornstein_uhlenbeck(), ornstein_uhlenbeck()
    one_by_one, together = VectorizedActionNoise(shared, 2), VectorizedActionNoise(also_shared, 2)
    one_by_one.noises, together.noises = [shared, shared], [also_shared, also_shared]
    np.random.seed(0)
    expected = [one_by_one() for _ in range(3)]
    np.random.seed(0)
    np.testing.assert_array_equal([NoiseAtOnce(together)() for _ in range(3)], expected)


def test_a_noise_of_another_class_is_asked_itself() -> None:
    class Own(VectorizedActionNoise):
        def __call__(self) -> NDArray[Any]:
            return np.full((self.n_envs, 1), 7.0)

    assert NoiseAtOnce(Own(normal(), 2))().tolist() == [[7.0], [7.0]]
    assert at_once(None) is None
    single = EpisodeBias(action_dim=1, bias=0.5)
    assert at_once(single) is single


@pytest.mark.parametrize(
    "make",
    [
        *(KNOWN[name] for name in ("normal", "normal in float64", "actions of two dimensions")),
        UNKNOWN["one number for all components"],
        lambda: NormalActionNoise(np.zeros(3, np.float32), np.full(3, 0.1, np.float32)),
        lambda: NormalActionNoise(np.zeros(3), np.full(3, np.nan)),
        lambda: NormalActionNoise(np.zeros(1), np.full(3, 0.1)),
    ],
)
def test_one_envs_normal_noise_is_what_sb3_draws(make: Any) -> None:
    own, sb3s = make(), make()
    np.random.seed(3)
    expected = [(sb3s(), np.random.random()) for _ in range(5)]
    quick: Any = at_once(own)
    assert isinstance(quick, QuickNormalNoise)
    np.random.seed(3)
    for noise, following in expected:
        drawn = quick()
        np.testing.assert_array_equal(drawn, noise)
        assert drawn.dtype == noise.dtype
        assert np.random.random() == following


def test_noise_that_was_loaded_is_drawn_as_quickly(monkeypatch: pytest.MonkeyPatch) -> None:
    quick: Any = at_once(pickle.loads(pickle.dumps(NormalActionNoise(np.zeros(2), np.ones(2)))))
    monkeypatch.setattr(NormalActionNoise, "__call__", lambda _: pytest.fail("SB3's way"))
    assert quick().shape == (2,)


def test_what_normal_noise_cannot_be_is_said_as_by_numpy() -> None:
    noise: Any = at_once(NormalActionNoise(np.zeros(2), np.array([0.1, -0.1])))
    with pytest.raises(ValueError, match="scale < 0"):
        noise()


def test_normal_noise_in_ones_own_way_is_drawn_so(monkeypatch: pytest.MonkeyPatch) -> None:
    class Own(NormalActionNoise):
        def __call__(self) -> NDArray[Any]:
            return np.full(1, 7.0)

    own = Own(np.zeros(1), np.ones(1))
    assert at_once(own) is own
    plain = normal()
    quick: Any = at_once(plain)
    monkeypatch.setattr(np.random, "normal", lambda *_: np.full(1, 9.0))
    assert quick() == [9.0]
    monkeypatch.setattr(NormalActionNoise, "__call__", lambda self: np.full(1, 8.0))
    assert at_once(plain) is plain
