"""What is on the disk when a run is killed, forks, ends without closing, or cannot write."""

import inspect
import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.counting_env import COLUMNS, Countdown, names, play
from hypothesis import given, settings
from hypothesis import strategies as st
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import SubprocVecEnv

from sb3_ddpg_custom.wrappers import StatsMonitor, episode_log, load_statistics, statistics_file
from sb3_ddpg_custom.wrappers.episode_log import EpisodeLog, open_log
from sb3_ddpg_custom.wrappers.owned_file import OwnedFile

pytestmark = pytest.mark.usefixtures("no_log_stays_open")


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
        env._log._rewrite_seconds = 0.0  # type: ignore[union-attr]  # the next row makes a rewrite due
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
    env._log._rewrite_seconds = 1e9  # type: ignore[union-attr]  # journal only
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
