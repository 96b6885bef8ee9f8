"""SB3's callbacks and helpers with our class; where SB3's DDPG should act alike, both run and are compared."""

import csv
import json
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from helpers import SMALL
from stable_baselines3.common.callbacks import (
    BaseCallback,
    CallbackList,
    CheckpointCallback,
    EvalCallback,
    EveryNTimesteps,
    StopTrainingOnMaxEpisodes,
    StopTrainingOnNoModelImprovement,
    StopTrainingOnRewardThreshold,
)
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.common.logger import configure
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise
from stable_baselines3.common.vec_env import VecEnv, VecNormalize

from sb3_ddpg_custom import DDPG, AnnealedActionNoise

OURS_AND_SB3S = [DDPG, stable_baselines3.DDPG]
both = pytest.mark.parametrize("cls", OURS_AND_SB3S, ids=["ours", "SB3's"])


def pendulum(n_envs: int = 1, steps: int = 10) -> VecEnv:
    return make_vec_env(lambda: gym.make("Pendulum-v1", max_episode_steps=steps), n_envs=n_envs, seed=0)


def make(cls: Any, env: Any = None, **options: Any) -> Any:
    if cls is DDPG:
        options = {"update": "autograd", **options}  # SB3's numbers to the last bit
    return cls("MlpPolicy", pendulum() if env is None else env, **{**SMALL, **options})


class Count(BaseCallback):
    """Counts its calls, and can stop the training."""

    def __init__(self, stop_at_call: int | None = None) -> None:
        super().__init__()
        self.stop_at_call = stop_at_call
        self.calls: dict[str, int] = {"training": 0, "rollout": 0, "step": 0, "rollout end": 0, "training end": 0}

    def _on_training_start(self) -> None:
        self.calls["training"] += 1

    def _on_rollout_start(self) -> None:
        self.calls["rollout"] += 1

    def _on_step(self) -> bool:
        self.calls["step"] += 1
        return self.calls["step"] != self.stop_at_call

    def _on_rollout_end(self) -> None:
        self.calls["rollout end"] += 1

    def _on_training_end(self) -> None:
        self.calls["training end"] += 1


def files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def compare(run: Callable[[Any, Path], Any], tmp_path: Path) -> Any:
    """Run with both classes, each in a folder of its own; both results must be equal."""
    results = []
    for name, cls in zip(("ours", "theirs"), OURS_AND_SB3S, strict=True):
        folder = tmp_path / name
        folder.mkdir()
        results.append(run(cls, folder))
    assert results[0] == results[1]
    return results[0]


def test_checkpoints_with_buffer_and_normalisation(tmp_path: Path) -> None:
    def run(cls: Any, folder: Path) -> list[str]:
        callback = CheckpointCallback(
            30, str(folder), name_prefix="m", save_replay_buffer=True, save_vecnormalize=True, verbose=0
        )
        make(cls, VecNormalize(pendulum())).learn(70, callback=callback)
        return files(folder)

    written = compare(run, tmp_path)
    assert written == [
        *("m_30_steps.zip", "m_60_steps.zip", "m_replay_buffer_30_steps.pkl", "m_replay_buffer_60_steps.pkl"),
        *("m_vecnormalize_30_steps.pkl", "m_vecnormalize_60_steps.pkl"),
    ]


def test_training_goes_on_from_a_checkpoint_with_its_buffer_and_normalisation(tmp_path: Path) -> None:
    callback = CheckpointCallback(40, str(tmp_path), save_replay_buffer=True, save_vecnormalize=True)
    make(DDPG, VecNormalize(pendulum())).learn(50, callback=callback)
    env = VecNormalize.load(str(tmp_path / "rl_model_vecnormalize_40_steps.pkl"), pendulum())
    model = DDPG.load(tmp_path / "rl_model_40_steps", env=env)
    model.load_replay_buffer(tmp_path / "rl_model_replay_buffer_40_steps.pkl")
    assert model.replay_buffer is not None
    # SB3 calls callbacks before it stores the step that they were told of.
    assert (model.num_timesteps, model.replay_buffer.size()) == (40, 39)
    model.learn(15, reset_num_timesteps=False)
    assert (model.num_timesteps, model.replay_buffer.size()) == (55, 54)
    assert model._n_updates == 19 + 15  # 19 until step 40, whose own update had not been


def test_evaluation_saves_its_results_and_stops_at_a_reward(tmp_path: Path) -> None:
    def run(cls: Any, folder: Path) -> Any:
        stop = StopTrainingOnRewardThreshold(reward_threshold=-1e9, verbose=0)
        callback = EvalCallback(
            pendulum(),
            callback_on_new_best=stop,
            eval_freq=30,
            n_eval_episodes=3,
            best_model_save_path=str(folder),
            log_path=str(folder),
            verbose=0,
        )
        model = make(cls).learn(200, callback=callback)
        with np.load(folder / "evaluations.npz") as saved:
            results = saved["results"]
            assert saved["timesteps"].tolist() == [30]
        assert np.isfinite(results).all()
        best = cls.load(folder / "best_model")
        assert np.isfinite(best.predict(np.zeros(3, np.float32))[0]).all()
        return model.num_timesteps, results.tolist(), files(folder)

    steps, _, written = compare(run, tmp_path)
    assert steps == 30
    assert written == ["best_model.zip", "evaluations.npz"]


def test_evaluation_without_improvement_stops() -> None:
    stop = StopTrainingOnNoModelImprovement(max_no_improvement_evals=1, min_evals=1)
    callback = EvalCallback(pendulum(), callback_after_eval=stop, eval_freq=10, n_eval_episodes=1, verbose=0)
    callback.best_mean_reward = np.inf
    assert make(DDPG).learn(200, callback=callback).num_timesteps == 30


def test_every_n_timesteps(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> tuple[dict[str, int], int]:
        inner = Count()
        model = make(cls, pendulum(2)).learn(61, callback=EveryNTimesteps(n_steps=20, callback=inner))
        return inner.calls, model.num_timesteps

    calls, steps = compare(run, tmp_path)
    assert (calls["step"], steps) == (3, 62)


@pytest.mark.parametrize(("n_envs", "train_freq"), [(1, 1), (1, 5), (1, (1, "episode")), (3, 4)])
def test_callbacks_are_called_as_often_as_sb3s(n_envs: int, train_freq: Any, tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> dict[str, int]:
        first, second = Count(), Count()
        callback = CallbackList([first, second])
        make(cls, pendulum(n_envs), train_freq=train_freq).learn(60, callback=callback)
        assert first.calls == second.calls
        return first.calls

    calls = compare(run, tmp_path)
    assert calls["step"] == 60 // n_envs
    assert calls["rollout"] == calls["rollout end"] == {1: 60, 5: 12, (1, "episode"): 6, 4: 5}[train_freq]
    assert calls["training"] == calls["training end"] == 1


def test_a_callback_can_stop_in_the_middle_of_a_rollout(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> Any:
        callback = Count(stop_at_call=27)
        model = make(cls, train_freq=10).learn(60, callback=[callback])
        assert model.replay_buffer.size() == 26  # the step it stopped at is not stored
        return callback.calls, model.num_timesteps, model._n_updates

    calls, steps, updates = compare(run, tmp_path)
    assert calls == {"training": 1, "rollout": 3, "step": 27, "rollout end": 2, "training end": 1}
    assert (steps, updates) == (27, 0)


def test_a_function_can_be_a_callback() -> None:
    steps: list[int] = []

    def note(found: dict[str, Any], _: dict[str, Any]) -> bool:
        steps.append(found["self"].num_timesteps)
        return True

    make(DDPG).learn(25, callback=note)
    assert steps == list(range(1, 26))


def test_training_stops_after_some_episodes(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> tuple[int, int]:
        model = make(cls).learn(500, callback=StopTrainingOnMaxEpisodes(max_episodes=4))
        return model.num_timesteps, len(model.ep_info_buffer)

    # It stops at the fourth episode's last step, before SB3 takes notice of that episode.
    assert compare(run, tmp_path) == (40, 3)


@pytest.mark.skipif(find_spec("tqdm") is None or find_spec("rich") is None, reason="needs tqdm and rich")
@pytest.mark.filterwarnings("ignore:rich is experimental")
def test_progress_bar(capsys: pytest.CaptureFixture[str]) -> None:
    make(DDPG).learn(30, progress_bar=True)
    shown = capsys.readouterr()
    assert "30/30" in shown.out + shown.err


def test_evaluate_policy(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> Any:
        model = make(cls).learn(60)
        first: Any = evaluate_policy(model, pendulum(2), n_eval_episodes=5, return_episode_rewards=True)
        again: Any = evaluate_policy(model, pendulum(2), n_eval_episodes=5, return_episode_rewards=True)
        assert first == again  # the same start states, and no noise
        return first

    rewards, lengths = compare(run, tmp_path)
    assert lengths == [10] * 5
    assert len(set(rewards)) > 1


def test_learn_twice_counts_anew(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> Any:
        model = make(cls).learn(33)
        model.learn(21)
        return model.num_timesteps, model._n_updates, model._episode_num, model.replay_buffer.size()

    # the updates are those of steps 21 … 33, and of step 21
    assert compare(run, tmp_path) == (21, 14, 2, 54)


def test_learn_can_go_on(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> Any:
        model = make(cls, learning_rate=lambda remaining: 1e-3 * remaining).learn(33)
        rates = [model.actor.optimizer.param_groups[0]["lr"]]
        model.learn(27, reset_num_timesteps=False, callback=Count(stop_at_call=13))
        rates.append(model.actor.optimizer.param_groups[0]["lr"])
        return model.num_timesteps, model._n_updates, model._episode_num, model._total_timesteps, rates

    steps, updates, episodes, total, rates = compare(run, tmp_path)
    # Stopped in step 46 of 60: its update did not come, and the rate is that of step 45.
    assert (steps, updates, episodes, total) == (46, 13 + 12, 4, 60)
    assert rates == pytest.approx([0.0, 1e-3 * (1 - 45 / 60)])


def test_annealed_noise_follows_a_training_that_goes_on() -> None:
    noise = AnnealedActionNoise(NormalActionNoise(np.zeros(1), np.ones(1)))
    model = make(DDPG, action_noise=noise, critic_learning_rate=lambda remaining: 2e-3 * remaining).learn(30)
    assert noise.scale == pytest.approx(1 / 30)
    model.learn(30, reset_num_timesteps=False)
    assert noise.scale == pytest.approx(1 / 60)
    assert model.critic.optimizer.param_groups[0]["lr"] == 0.0


def test_an_episode_goes_on_between_two_learns(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> Any:
        model = make(cls).learn(25)
        last = model._last_obs
        model.learn(5, reset_num_timesteps=False)
        assert np.array_equal(model.replay_buffer.observations[25], last)
        return model._episode_num, [info["l"] for info in model.ep_info_buffer]

    assert compare(run, tmp_path) == (3, [10, 10, 10])


def test_the_logger_writes_every_format_and_all_of_sb3s_keys(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def logged(cls: Any, folder: Path) -> tuple[list[dict[str, Any]], set[str]]:
        model = make(cls)
        model.set_logger(configure(str(folder), ["stdout", "csv", "json", "log", "tensorboard"]))
        model.learn(85, log_interval=2)
        model.logger.close()
        rows = [json.loads(line) for line in (folder / "progress.json").read_text().splitlines()]
        with (folder / "progress.csv").open(newline="") as file:
            table = list(csv.DictReader(file))
        assert len(table) == len(rows) == 4
        assert set(table[0]) == set().union(*rows)
        assert "rollout/" in (folder / "log.txt").read_text()
        (events,) = folder.glob("events.out.tfevents.*")
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        return rows, set(EventAccumulator(str(events)).Reload().Tags()["scalars"])

    (ours, our_tags), (theirs, their_tags) = (
        logged(cls, tmp_path / name) for cls, name in zip(OURS_AND_SB3S, "ab", strict=True)
    )
    for our_row, their_row in zip(ours, theirs, strict=True):
        assert our_row.keys() >= their_row.keys()
        for key in ("time/episodes", "time/total_timesteps", "rollout/ep_len_mean"):
            assert our_row[key] == their_row[key], key
    assert [row["train/n_updates"] for row in ours[1:]] == [19, 39, 59]
    assert our_tags >= their_tags >= {"train/actor_loss", "train/critic_loss", "rollout/ep_rew_mean", "time/fps"}
    assert capsys.readouterr().out.count("rollout/") == 8


@both
def test_verbose_tells_of_the_device_and_logs(cls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    env = Monitor(gym.make("Pendulum-v1", max_episode_steps=10))
    make(cls, env, verbose=1, device="cpu").learn(45)
    shown = capsys.readouterr().out
    assert "Using cpu device" in shown
    assert "Wrapping the env in a DummyVecEnv." in shown
    assert re.search(r"ep_len_mean\s+\| 10 ", shown)
    assert re.search(r"total_timesteps\s+\| 40 ", shown)
    assert re.search(r"n_updates\s+\| 19 ", shown)


@both
def test_silence_is_silent(cls: Any, capsys: pytest.CaptureFixture[str]) -> None:
    make(cls).learn(45)
    shown = capsys.readouterr()
    assert shown.out + shown.err == ""


def test_tensorboard_folders_are_named_and_numbered(tmp_path: Path) -> None:
    def run(cls: Any, folder: Path) -> list[str]:
        model = make(cls, tensorboard_log=str(folder))
        model.learn(5)
        model.learn(5, tb_log_name="mine")
        model.learn(5, tb_log_name="mine")
        model.learn(5, tb_log_name="mine", reset_num_timesteps=False)
        return sorted(path.name for path in folder.iterdir())

    assert compare(run, tmp_path) == ["DDPG_1", "mine_1", "mine_2"]


@both
def test_log_interval_none_logs_nothing(cls: Any, tmp_path: Path) -> None:
    model = make(cls)
    model.set_logger(configure(str(tmp_path), ["json"]))
    model.learn(85, log_interval=None)
    model.logger.close()
    assert (tmp_path / "progress.json").read_text() == ""


def test_another_env_of_the_same_shape_can_be_set(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> Any:
        first, second = pendulum(), pendulum(steps=7)
        model = make(cls, first).learn(25)
        assert model.get_env() is first
        model.set_env(second)
        assert model.get_env() is second
        model.learn(14, reset_num_timesteps=False)
        return model.num_timesteps, model._episode_num, [info["l"] for info in model.ep_info_buffer]

    assert compare(run, tmp_path) == (39, 4, [10, 10, 7, 7])


@both
def test_another_number_of_envs_cannot_be_set(cls: Any) -> None:
    model = make(cls)
    with pytest.raises(AssertionError, match="number of environments"):
        model.set_env(pendulum(2))
    with pytest.raises(ValueError, match="spaces do not match"):
        model.set_env(make_vec_env("MountainCarContinuous-v0"))


def test_a_loaded_model_has_no_env_until_it_gets_one(tmp_path: Path) -> None:
    make(DDPG).learn(25).save(tmp_path / "model")
    model = DDPG.load(tmp_path / "model")
    assert model.get_env() is None
    model.set_env(pendulum())
    assert model.learn(10, reset_num_timesteps=False).num_timesteps == 35


def test_evaluation_episodes_leave_the_training_as_it_is(tmp_path: Path) -> None:
    def run(cls: Any, _: Path) -> Any:
        options = {"action_noise": NormalActionNoise(np.zeros(1), 0.1 * np.ones(1))}
        plain = make(cls, **options).learn(60)
        evaluated = make(cls, **options)
        evaluated.learn(60, callback=EvalCallback(pendulum(), eval_freq=20, n_eval_episodes=2, verbose=0))
        pairs = zip(plain.policy.parameters(), evaluated.policy.parameters(), strict=True)
        return [bool((a == b).all()) for a, b in pairs]

    assert all(compare(run, tmp_path))
