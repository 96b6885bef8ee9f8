import gc
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from helpers.counting_env import COLUMNS, Countdown, names, play
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv

from sb3_ddpg_custom.wrappers import StatsMonitor, load_statistics

pytestmark = pytest.mark.usefixtures("no_log_stays_open")


def test_one_row_per_episode(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "rewards.npz"
    env = StatsMonitor(Countdown(), path)
    play(env, episodes=3)
    env.close()
    with np.load(path, allow_pickle=False) as file:
        assert sorted(file.files) == sorted(COLUMNS)
        assert file["rewards"].tolist() == [2.5, 5.0, 7.5]
        assert file["lengths"].tolist() == [1, 2, 3]
        assert file["timesteps"].tolist() == [1, 3, 6]
        assert file["env"].tolist() == [0, 0, 0]
        assert np.isnan(file["qmax"]).tolist() == [True, True, True]
        assert (np.diff(file["seconds"], prepend=0) >= 0).all()
        kinds = {name: str(file[name].dtype) for name in COLUMNS}
    floats, integers = ("rewards", "seconds", "qmax"), ("lengths", "timesteps", "env")
    assert kinds == dict.fromkeys(floats, "float64") | dict.fromkeys(integers, "int64")
    assert names(path.parent) == ["rewards.npz"]


def test_answers_pass_through_unchanged(tmp_path: Path) -> None:
    countdown = Countdown()
    env = StatsMonitor(countdown, tmp_path / "rewards.npz")
    assert env.reset(seed=4, options={"level": 1}) == (0, {"reset": True})
    assert countdown.resets == [(4, {"level": 1})]
    assert env.step(2) == (1, 2.5, True, False, {"steps": 1})
    env.close()
    env.close()
    assert countdown.closes == 1


def test_a_reset_in_mid_episode_discards_the_episode(tmp_path: Path) -> None:
    env = StatsMonitor(Countdown(), tmp_path / "rewards.npz")
    play(env)
    env.reset()
    env.step(4)  # the second episode would take two steps
    play(env)
    env.close()
    statistics = load_statistics(tmp_path / "rewards.npz")
    assert statistics["rewards"].tolist() == [2.5, 7.5]
    assert statistics["timesteps"].tolist() == [1, 5]  # the discarded step was taken all the same


def test_a_truncated_episode_counts(tmp_path: Path) -> None:
    env = StatsMonitor(TimeLimit(Countdown(), 2), tmp_path / "rewards.npz")
    play(env, episodes=4)
    env.close()
    assert load_statistics(tmp_path / "rewards.npz")["lengths"].tolist() == [1, 2, 2, 2]


def test_the_suffix_is_added_as_numpy_does(tmp_path: Path) -> None:
    env = StatsMonitor(Countdown(), str(tmp_path / "run.v1"))
    play(env)
    env.close()
    assert names(tmp_path) == ["run.v1.npz"]
    assert load_statistics(tmp_path / "run.v1")["rewards"].tolist() == [2.5]


def test_annotations_add_columns(tmp_path: Path) -> None:
    env = StatsMonitor(Countdown(), tmp_path / "rewards.npz")
    play(env)
    env.annotate_episode(qmax=1.5)
    play(env)
    env.annotate_episode(qmax=np.float32(2.5), **{"train/loss": 7})
    env.annotate_episode(qmax=3)  # replaces
    env.annotate_episode()
    play(env)
    env.close()
    statistics = load_statistics(tmp_path / "rewards.npz")
    np.testing.assert_equal(statistics["qmax"], [1.5, 3.0, np.nan])
    np.testing.assert_equal(statistics["train/loss"], [np.nan, 7.0, np.nan])
    assert statistics["rewards"].tolist() == [2.5, 5.0, 7.5]


def test_an_episode_that_was_reset_half_way_is_not_mistaken_for_the_one_before(tmp_path: Path) -> None:
    env = StatsMonitor(Countdown(), tmp_path / "rewards.npz")
    play(env)
    assert env.annotate_episode(qmax=1.0)
    env.reset()
    env.step(0)
    env.reset()
    assert not env.annotate_episode(qmax=2.0)
    env.close()
    assert load_statistics(tmp_path / "rewards.npz")["qmax"].tolist() == [1.0]


def test_bad_annotations_are_refused_and_change_nothing(tmp_path: Path) -> None:
    env = StatsMonitor(Countdown(), tmp_path / "rewards.npz")
    assert not env.annotate_episode(qmax=1.0)
    play(env)
    for name in ("rewards", "lengths", "timesteps", "seconds", "env"):
        with pytest.raises(ValueError, match=f"'{name}' is measured by StatsMonitor itself"):
            env.annotate_episode(qmax=1.0, **{name: 1.0})
    bad_values: list[Any] = ["1.5", None, 1j, [1.0], np.ones(1), np.ones(3)]
    for value in bad_values:
        with pytest.raises(TypeError, match=r"loss is .*: pass one number per statistic"):
            env.annotate_episode(qmax=1.0, loss=value)
    for name in ("", "a\nb", "a\\b", "a.npy"):
        with pytest.raises(ValueError, match="cannot name a column"):
            env.annotate_episode(**{name: 1.0})
    env.close()
    with pytest.raises(RuntimeError, match="StatsMonitor is closed"):
        env.annotate_episode(qmax=1.0)
    np.testing.assert_equal(load_statistics(tmp_path / "rewards.npz")["qmax"], [np.nan])


def test_an_earlier_run_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "rewards.npz"
    env = StatsMonitor(Countdown(), path)
    play(env)
    env.close()
    before = path.read_bytes()
    with pytest.raises(FileExistsError, match=r"rewards\.npz already holds .* existing='continue'"):
        StatsMonitor(Countdown(), path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["rewards.npz"]


def test_continue_goes_on_from_the_last_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rewards.npz"
    for session in range(2):
        env = StatsMonitor(Countdown(), path, existing="continue")
        env._log._begin -= 100.0  # type: ignore[union-attr]  # as if the session had begun 100 s ago
        play(env, episodes=2)
        env.annotate_episode(**{f"session_{session}": 1.0})
        env.close()
    statistics = load_statistics(path)
    assert statistics["rewards"].tolist() == [2.5, 5.0, 2.5, 5.0]
    assert statistics["timesteps"].tolist() == [1, 3, 4, 6]
    np.testing.assert_allclose(statistics["seconds"], [100, 100, 200, 200], atol=10)
    np.testing.assert_equal(statistics["session_0"], [np.nan, 1, np.nan, np.nan])
    np.testing.assert_equal(statistics["session_1"], [np.nan, np.nan, np.nan, 1])


def bad_files() -> dict[str, Callable[[Path], Any]]:
    good = {name: np.zeros(2, "int64") for name in COLUMNS}

    def savez(path: Path, **columns: Any) -> None:
        np.savez(path, **columns)

    return {
        "text": lambda path: path.write_text("rewards, lengths\n"),
        "empty": lambda path: path.touch(),
        "array": lambda path: np.save(path.open("wb"), np.zeros(3)),
        "other npz": lambda path: savez(path, x=np.zeros(3)),
        "unequal columns": lambda path: savez(path, **(good | {"rewards": np.zeros(3)})),
        "two-dimensional": lambda path: savez(path, **(good | {"qmax": np.zeros((2, 1))})),
        "text column": lambda path: savez(path, **(good | {"note": np.array(["a", "b"])})),
        "pickle": lambda path: savez(path, **(good | {"note": np.array([{}, {}])})),
        "float lengths": lambda path: savez(path, **(good | {"lengths": np.zeros(2)})),
    }


@pytest.mark.filterwarnings("ignore:unclosed file")  # np.save(path.open())
@pytest.mark.parametrize("kind", bad_files())
def test_a_foreign_file_is_refused_and_kept(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "rewards.npz"
    bad_files()[kind](path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match=r"rewards\.npz is not a file of episode statistics"):
        StatsMonitor(Countdown(), path, existing="continue")
    with pytest.raises(ValueError, match=r"rewards\.npz is not a file of episode statistics"):
        load_statistics(path)
    with pytest.raises(FileExistsError):
        StatsMonitor(Countdown(), path)
    assert path.read_bytes() == before
    assert names(tmp_path) == ["rewards.npz"]


def test_other_bad_arguments(tmp_path: Path) -> None:
    existing: Any = "overwrite"
    with pytest.raises(ValueError, match="existing is 'overwrite': pass 'refuse' or 'continue'"):
        StatsMonitor(Countdown(), tmp_path / "rewards.npz", existing=existing)
    (tmp_path / "folder.npz").mkdir()
    with pytest.raises(IsADirectoryError, match="is a folder: name the file"):
        StatsMonitor(Countdown(), tmp_path / "folder.npz")
    with pytest.raises(FileNotFoundError, match=r"no episode statistics at .*absent\.npz"):
        load_statistics(tmp_path / "no" / "absent.npz")
    assert names(tmp_path) == ["folder.npz"]


def test_monitors_of_one_process_share_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rewards.npz"
    first, second = StatsMonitor(Countdown(), path), StatsMonitor(Countdown(), path)
    play(first)
    play(second)
    first.annotate_episode(qmax=1.0)  # its own last row, not the last row of the file
    first.close()
    play(second)
    assert len(load_statistics(path)["rewards"]) == 3
    second.close()
    statistics = load_statistics(path)
    assert statistics["env"].tolist() == [0, 1, 1]
    assert statistics["timesteps"].tolist() == [1, 2, 4]
    np.testing.assert_equal(statistics["qmax"], [1.0, np.nan, np.nan])
    assert names(tmp_path) == ["rewards.npz"]


def test_a_forgotten_monitor_closes_its_file(tmp_path: Path) -> None:
    env = StatsMonitor(Countdown(), tmp_path / "rewards.npz")
    play(env, episodes=3)
    del env
    gc.collect()
    assert names(tmp_path) == ["rewards.npz"]
    with np.load(tmp_path / "rewards.npz", allow_pickle=False) as file:
        assert file["lengths"].tolist() == [1, 2, 3]


def test_dummy_vec_env_and_env_method(tmp_path: Path) -> None:
    envs = make_vec_env(
        lambda: TimeLimit(Countdown(), 2),
        n_envs=2,
        wrapper_class=lambda env: TimeLimit(StatsMonitor(env, tmp_path / "rewards.npz"), 50),
    )
    assert isinstance(envs, DummyVecEnv)
    envs.reset()
    envs.step(np.array([2, 2]))
    envs.env_method("annotate_episode", indices=[1], qmax=1.5)
    envs.close()
    statistics = load_statistics(tmp_path / "rewards.npz")
    assert statistics["env"].tolist() == [0, 1]
    np.testing.assert_equal(statistics["qmax"], [np.nan, 1.5])


def test_a_file_that_only_looks_numbered_is_not_merged(tmp_path: Path) -> None:
    for name in ("seed.npz", "seed-1.npz"):
        env = StatsMonitor(Countdown(), tmp_path / name)
        play(env)
        env.close()
    assert load_statistics(tmp_path / "seed.npz")["rewards"].tolist() == [2.5]


def test_the_same_run_writes_the_same_rewards(tmp_path: Path) -> None:
    files = []
    for name in ("a.npz", "b.npz"):
        env = StatsMonitor(gym.make("Pendulum-v1", max_episode_steps=30), tmp_path / name)
        env.action_space.seed(1)
        for seed in range(3):
            env.reset(seed=seed)
            for _ in range(30):
                env.step(env.action_space.sample())
        env.close()
        with zipfile.ZipFile(tmp_path / name) as archive:
            files.append(archive.read("rewards.npy"))
    assert files[0] == files[1]


def test_statistics_can_travel_between_processes(tmp_path: Path) -> None:
    env = StatsMonitor(Countdown(), tmp_path / "rewards.npz")
    play(env)
    env.close()
    statistics = load_statistics(tmp_path / "rewards.npz")
    assert pickle.loads(pickle.dumps(statistics))["rewards"].tolist() == [2.5]
    statistics["rewards"] += 1  # arrays of the caller's own
