import gc
import inspect
import json
import os
import pickle
import signal
import subprocess
import sys
import tempfile
import textwrap
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from gymnasium.wrappers import TimeLimit
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_ddpg_custom.wrappers import StatsMonitor, episode_log, load_statistics, statistics_file
from sb3_ddpg_custom.wrappers.episode_log import EpisodeLog, open_log
from sb3_ddpg_custom.wrappers.owned_file import OwnedFile

COLUMNS = ["rewards", "lengths", "timesteps", "seconds", "env", "qmax"]


class Countdown(gym.Env[Any, Any]):
    """Episodes of 1, 2, 3, ... steps; the reward of a step is 0.5 plus the action."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_space = gym.spaces.Discrete(100)
    action_space = gym.spaces.Discrete(5)

    def __init__(self) -> None:
        self.render_mode = None
        self.episodes = 0
        self.steps = 0
        self.resets: list[Any] = []
        self.closes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        self.resets.append((seed, options))
        self.episodes += 1
        self.steps = 0
        return 0, {"reset": True}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.steps, 0.5 + action, self.steps == self.episodes, False, {"steps": self.steps}

    def close(self) -> None:
        self.closes += 1


def play(env: gym.Env[Any, Any], episodes: int = 1) -> None:
    for _ in range(episodes):
        env.reset()
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(2)
            over = terminated or truncated


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(autouse=True)
def no_log_stays_open() -> Iterator[None]:
    yield
    gc.collect()  # a test that leaves its monitor to the garbage collector
    assert episode_log._open_logs == []


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
        env._log._begin -= 100.0  # as if the session had begun 100 s ago
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


def test_processes_write_files_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "rewards.npz"
    envs = make_vec_env(
        "Pendulum-v1",
        n_envs=2,
        env_kwargs={"max_episode_steps": 2},
        wrapper_class=lambda env, **kwargs: StatsMonitor(env, **kwargs),
        wrapper_kwargs={"path": path},
        vec_env_cls=SubprocVecEnv,
    )
    envs.reset()
    for _ in range(4):
        envs.step(np.zeros((2, 1), np.float32))
    envs.env_method("annotate_episode", indices=[1], qmax=1.5)
    envs.close()
    statistics = load_statistics(path)
    assert statistics["lengths"].tolist() == [2, 2, 2, 2]
    assert (np.diff(statistics["seconds"]) >= 0).all()
    assert sorted(statistics["env"].tolist()) == [0, 0, 1, 1]
    assert sorted(statistics["timesteps"].tolist()) == [2, 2, 4, 4]
    assert np.isfinite(statistics["qmax"]).sum() == 1

    first = StatsMonitor(Countdown(), path, existing="continue")  # takes rewards.npz ...
    body = "play(env); env.close()"
    assert run(body, path, existing="continue").returncode == 0  # ... so that this goes on in rewards-1.npz
    play(first)
    first.close()
    assert sorted(load_statistics(path)["env"].tolist()) == [0, 0, 0, 1, 1, 1]
    assert sorted(load_statistics(path)["timesteps"].tolist()) == [2, 2, 4, 4, 5, 5]
    assert names(tmp_path) == ["rewards-1.npz", "rewards.npz"]
    with pytest.raises(FileExistsError):
        StatsMonitor(Countdown(), path)
    path.unlink()
    with pytest.raises(FileExistsError, match=r"rewards-1\.npz already holds"):
        StatsMonitor(Countdown(), path)  # or load_statistics would mix two runs


def test_a_file_that_only_looks_numbered_is_not_merged(tmp_path: Path) -> None:
    for name in ("seed.npz", "seed-1.npz"):
        env = StatsMonitor(Countdown(), tmp_path / name)
        play(env)
        env.close()
    assert load_statistics(tmp_path / "seed.npz")["rewards"].tolist() == [2.5]


SCRIPT = f"""
import os, signal, sys
from typing import Any
import gymnasium as gym
from sb3_ddpg_custom.wrappers import StatsMonitor
{inspect.getsource(Countdown)}
{inspect.getsource(play)}
path = sys.argv[1]
env = StatsMonitor(Countdown(), path, existing=sys.argv[2])
"""  # the sources, since importing this module would import torch in every process


def run(body: str, path: Path, existing: str = "refuse") -> subprocess.CompletedProcess[str]:
    code = SCRIPT + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", code, str(path), existing], capture_output=True, text=True, timeout=60)


def test_a_kill_loses_the_running_episode_only(tmp_path: Path) -> None:
    path = tmp_path / "rewards.npz"
    killed = run(
        """
        play(env, episodes=30)
        env.annotate_episode(qmax=0.1 + 0.2, loss=float("inf"))
        env.reset()
        env.step(2)
        os.kill(os.getpid(), signal.SIGKILL)
        """,
        path,
    )
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    with (tmp_path / "rewards.npz.journal").open("ab") as journal:
        journal.write(b'[30, {"rewards": 1')  # a line that a kill cut off
    statistics = load_statistics(path)
    assert statistics["lengths"].tolist() == list(range(1, 31))
    assert statistics["qmax"][-1] == 0.1 + 0.2
    with pytest.raises(FileExistsError):
        StatsMonitor(Countdown(), path)
    env = StatsMonitor(Countdown(), path, existing="continue")  # the dead process's lock does not count
    assert not (tmp_path / "rewards.npz.journal").exists()
    play(env)
    env.close()
    statistics = load_statistics(path)
    assert statistics["lengths"].tolist() == [*range(1, 31), 1]
    assert statistics["timesteps"][-1] == 30 * 31 // 2 + 1
    assert statistics["loss"][29] == np.inf
    assert names(tmp_path) == ["rewards.npz"]


def test_a_run_that_just_ends_closes_its_file(tmp_path: Path) -> None:
    ended = run("play(env, episodes=9)", tmp_path / "rewards.npz")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(tmp_path) == ["rewards.npz"]
    assert len(load_statistics(tmp_path / "rewards.npz")["rewards"]) == 9


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_monitor_belongs_to_its_process(tmp_path: Path) -> None:
    path = tmp_path / "rewards.npz"
    ended = run(
        """
        play(env)
        if not os.fork():
            try:
                play(env)
            except RuntimeError as error:
                assert "build the environment and its monitor inside the process" in str(error)
                env.close()
                own = StatsMonitor(Countdown(), path)  # not the parent's: a file of its own
                play(own, episodes=2)
                own.close()
                sys.exit(0)
            sys.exit("no error")
        assert os.wait()[1] == 0
        play(env)
        """,
        path,
    )
    assert (ended.returncode, ended.stderr) == (0, "")
    assert names(tmp_path) == ["rewards-1.npz", "rewards.npz"]
    statistics = load_statistics(path)
    assert sorted(statistics["lengths"].tolist()) == [1, 1, 2, 2]


def test_a_process_that_refuses_does_not_push_the_others_aside(tmp_path: Path) -> None:
    """Workers start together: while one holds the lock only to refuse, the others must wait and refuse too."""
    path = tmp_path / "rewards.npz"
    env = StatsMonitor(Countdown(), path)
    env.close()
    command = [sys.executable, "-c", SCRIPT, str(path), "refuse"]
    workers = [subprocess.Popen(command, stderr=subprocess.PIPE, text=True) for _ in range(3)]
    for worker in workers:
        assert "FileExistsError" in worker.communicate(timeout=60)[1]
    assert names(tmp_path) == ["rewards.npz"]


def test_a_failed_rewrite_keeps_the_old_file_and_the_new_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rewards.npz"
    env = StatsMonitor(Countdown(), path)
    play(env)
    before = path.read_bytes()

    def full(source: Path, target: Path) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "replace", full)
        env._log._rewrite_seconds = 0.0  # the next row makes a rewrite due
        with pytest.raises(OSError, match="No space left"):
            play(env)
        assert path.read_bytes() == before
        assert names(tmp_path) == [".rewards.npz.lock", "rewards.npz", "rewards.npz.journal"]
        assert load_statistics(path)["lengths"].tolist() == [1, 2]
    env.close()
    assert load_statistics(path)["lengths"].tolist() == [1, 2]
    assert names(tmp_path) == ["rewards.npz"]


def test_a_failed_line_leaves_no_torn_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "rewards.npz"
    env = StatsMonitor(Countdown(), path)
    play(env)
    env._log._rewrite_seconds = 1e9  # journal only
    play(env)
    write = OwnedFile.write

    def full(self: OwnedFile, data: Any, /) -> int:
        write(self, data[:10])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(OwnedFile, "write", full)
        with pytest.raises(OSError, match="No space left"):
            play(env)
    play(env)
    lines = (tmp_path / "rewards.npz.journal").read_text().splitlines()
    assert [json.loads(line)[0] for line in lines] == [1, 2]
    assert load_statistics(path)["lengths"].tolist() == [1, 2, 4]
    env.close()


def test_a_line_torn_in_the_middle_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "rewards.npz"
    env = StatsMonitor(Countdown(), path)
    play(env)
    env.close()
    journal = tmp_path / "rewards.npz.journal"
    for text in ('[1, {"rew\n[0, {"qmax": 1.0}]\n', '[7, {"qmax": 1.0}]\n', '[1, {"qmax": 1.0}]\n', "3\n"):
        journal.write_text(text)
        with pytest.raises(ValueError, match=r"journal is not the journal of rewards\.npz \(line 1: .*move it"):
            load_statistics(path)
        with pytest.raises(ValueError, match="is not the journal"):
            StatsMonitor(Countdown(), path, existing="continue")
        assert journal.read_text() == text


def test_rewriting_stays_cheap_for_100_000_episodes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An episode takes 1 ms of a fake clock, a rewrite 1 ms and 1 us per row."""
    now, rewrites = 0.0, []

    def write_table(table: statistics_file.StatisticsTable, path: Path) -> None:
        nonlocal now
        rewrites.append(0.001 + len(table) * 1e-6)
        now += rewrites[-1]

    monkeypatch.setattr(episode_log, "write_table", write_table)
    log = EpisodeLog(tmp_path / "rewards.npz", existing="refuse", clock=lambda: now)
    episodes = 100_000
    for _ in range(episodes):
        now += 0.001
        log.record(reward=1.0, length_steps=1, env=0)
    # Rewrites every 50 to 5,050 episodes: the file with n rows is rewritten once in 50 * (1 + n / 1000)
    # episodes, so about 20 * ln(101) = 92 times. Rewriting always would be 100,000 times.
    assert 80 < len(rewrites) < 105
    assert sum(rewrites) < 0.021 * now
    log._users, episode_log._open_logs[:] = 1, [log]
    log.leave()
    assert len(log._table) == episodes


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("record"), st.floats(), st.integers(0, 2**62)),
        st.tuples(st.just("annotate"), st.floats(), st.sampled_from(["qmax", "loss", "a/b", "é"])),
        st.tuples(st.just("rewrite"), st.just(0.0), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0.0), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(OPERATIONS)
def test_the_disk_always_holds_what_a_list_of_rows_would(operations: list[tuple[str, float, Any]]) -> None:
    rows: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "rewards.npz"
        log = open_log(path, existing="refuse")
        log.join()
        for kind, value, detail in operations:
            log._rewritten = float("inf")  # only the operations decide when to rewrite
            if kind == "record":
                log.record(reward=value, length_steps=detail, env=0)
                rows.append({"rewards": value, "lengths": detail})
            elif kind == "annotate" and rows:
                log.put(len(rows) - 1, {detail: value})
                rows[-1][detail] = value
            elif kind == "rewrite":
                log.rewrite()
            elif kind == "reopen":
                log.leave()
                log = open_log(path, existing="continue")
                log.join()
            if rows:
                statistics = load_statistics(path)
                for name in ("rewards", "lengths", "qmax", *(set(statistics) - set(COLUMNS))):
                    np.testing.assert_equal(
                        statistics[name].tolist(), [row.get(name, np.nan) for row in rows], err_msg=name
                    )
        log.leave()


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
