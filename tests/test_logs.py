"""What a training logs, and when."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers import SMALL
from stable_baselines3.common.logger import KVWriter, Logger
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.episode_curves import EpisodeCurves
from sb3_ddpg_custom.updates import UpdateStatistics
from sb3_ddpg_custom.wrappers import StatsMonitor, load_statistics


class Recorder(KVWriter):
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        self.rows.append(dict(key_values))

    def close(self) -> None:
        pass


def test_it_logs_the_keys_of_sb3_and_its_own(identity_env: Any) -> None:
    recorder = Recorder()
    model = DDPG("MlpPolicy", identity_env, critic_learning_rate=2e-3, **SMALL)
    model.set_logger(Logger(None, [recorder]))
    model.learn(40, log_interval=10)
    row = recorder.rows[-1]
    assert row["train/n_updates"] == 19
    assert (row["train/learning_rate"], row["train/critic_learning_rate"]) == (1e-3, 2e-3)
    for name in ("actor_loss", "critic_loss", "q_mean", "q_max", "td_error", "grad_norm_actor", "grad_norm_critic"):
        assert np.isfinite(row[f"train/{name}"]), name
    assert row["train/q_max"] >= row["train/q_mean"]
    assert {"rollout/ep_rew_mean", "rollout/ep_len_mean", "time/fps"} <= row.keys()


def test_several_gradient_steps_are_reported_as_their_mean() -> None:
    model: Any = DDPG("MlpPolicy", "Pendulum-v1", **SMALL).learn(20)
    seen = []
    update = model._update
    model._update = lambda batch, gamma: seen.append(update(batch, gamma)) or seen[-1]  # type: ignore[func-returns-value]
    model.train(gradient_steps=5, batch_size=8)
    assert model.last_update is not None
    np.testing.assert_allclose(
        model.last_update.td_error, np.mean([UpdateStatistics(*s.statistics).td_error for s in seen]), rtol=1e-6
    )
    assert model.last_update.q_max == max(UpdateStatistics(*s.statistics).q_max for s in seen)
    assert model._n_updates == 5


class AnnotatedEnv(gym.Wrapper[Any, Any, Any, Any]):
    """Stands in for StatsMonitor: the algorithm knows it by its method only."""

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        super().__init__(env)
        self.annotations: list[dict[str, float]] = []

    def annotate_episode(self, **statistics: float) -> None:
        self.annotations.append(statistics)


def test_qmax_is_the_mean_over_an_episodes_updates_of_the_batchs_mean_q() -> None:
    env = AnnotatedEnv(gym.make("Pendulum-v1", max_episode_steps=25))
    model: Any = DDPG("MlpPolicy", env, **SMALL)
    means: list[float] = []
    update = model._update

    def spy(batch: Any, gamma: float) -> Any:
        result = update(batch, gamma)
        means.append(float(UpdateStatistics(*result.statistics).q_mean))
        return result

    model._update = spy
    model.learn(75)
    # updates follow steps 21, 22, …; an episode's last step is followed by its update only when it has ended
    qmax = [annotation["qmax"] for annotation in env.annotations]
    np.testing.assert_allclose(qmax, [np.mean(means[:4]), np.mean(means[4:29]), np.mean(means[29:54])], rtol=1e-5)


@pytest.mark.parametrize("updates", [0, 2])
def test_envs_whose_episodes_began_and_ended_together_are_told_in_one_call(updates: int) -> None:
    env = DummyVecEnv([lambda: AnnotatedEnv(gym.make("Pendulum-v1")) for _ in range(4)])
    told: list[list[int]] = []
    env_method = env.env_method

    def spy(name: str, *, indices: list[int], **kwargs: Any) -> list[Any]:
        told.append(indices)
        return env_method(name, indices=indices, **kwargs)

    env.env_method = spy  # type: ignore[method-assign, assignment]
    curves = EpisodeCurves(env)
    infos: list[dict[str, Any]] = [{}] * 4
    for q_sum, dones in ((1.0, [0, 1, 0, 0]), (5.0, [1, 1, 0, 1])):
        if updates:
            curves.add_updates(q_sum, updates)
        curves.publish(np.array(dones, dtype=bool), infos, Logger(None, []), episode=0)
    assert told == ([[1], [0, 3], [1]] if updates else [[1], [0, 1, 3]])
    qmaxes = [[annotation["qmax"] for annotation in wrapped.annotations] for wrapped in env.envs]  # type: ignore[attr-defined]
    expected = [[1.5], [0.5, 2.5], [], [1.5]] if updates else [[np.nan], [np.nan] * 2, [], [np.nan]]
    for got, wanted in zip(qmaxes, expected, strict=True):
        np.testing.assert_array_equal(got, wanted)


def test_a_wrapper_that_ends_episodes_around_the_monitor_does_not_stop_the_training(tmp_path: Path) -> None:
    env = gym.wrappers.TimeLimit(StatsMonitor(gym.make("Pendulum-v1"), tmp_path / "rewards.npz"), 10)
    DDPG("MlpPolicy", env, **SMALL).learn(35)
    env.close()
    assert len(load_statistics(tmp_path / "rewards.npz")["rewards"]) == 0


def test_qmax_is_nan_before_the_first_update() -> None:
    env = AnnotatedEnv(gym.make("Pendulum-v1", max_episode_steps=10))
    DDPG("MlpPolicy", env, **SMALL).learn(15)
    assert np.isnan(env.annotations[0]["qmax"])


def test_tensorboard_gets_a_point_per_episode(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    env = gym.make("Pendulum-v1", max_episode_steps=25)
    DDPG("MlpPolicy", env, tensorboard_log=str(tmp_path), **SMALL).learn(100)
    (folder,) = tmp_path.iterdir()
    assert folder.name == "DDPG_1"
    events = EventAccumulator(str(folder)).Reload()
    assert [event.step for event in events.Scalars("episode/reward")] == [0, 1, 2, 3]
    assert [event.step for event in events.Scalars("episode/qmax")] == [0, 1, 2, 3]
