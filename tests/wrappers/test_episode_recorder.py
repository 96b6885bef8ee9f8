"""One file for environments in other processes is the file that monitors in this one would write."""

from pathlib import Path
from typing import Any

import pytest
from gymnasium.wrappers import TimeLimit
from helpers.counting_env import Countdown

from sb3_ddpg_custom.wrappers import EpisodeRecorder, StatsMonitor, load_statistics
from sb3_ddpg_custom.wrappers.finished_episodes import FinishedEpisodes


def take_steps(envs: list[Any], count: int) -> list[int]:
    """Step all envs in turn, as a VecEnv does; how many episodes ended in each round."""
    ended = []
    for _ in range(count):
        ends = [env.step(2)[2:4] for env in envs]
        ended.append(sum(map(any, ends)))
        for env, end in zip(envs, ends, strict=True):
            if any(end):
                env.reset()
    return ended


def test_the_file_is_that_of_monitors_in_one_process(tmp_path: Path) -> None:
    monitors = [StatsMonitor(TimeLimit(Countdown(), limit), tmp_path / "here") for limit in (2, 3)]
    kept = [FinishedEpisodes(env) for env in (0, 1)]
    remote = [StatsMonitor(TimeLimit(Countdown(), limit), kept[env]) for env, limit in ((0, 2), (1, 3))]
    recorder = EpisodeRecorder(tmp_path / "there", 2)
    for env in (*monitors, *remote):
        env.reset()
    for step in range(20):
        take_steps(monitors, 1)
        take_steps(remote, 1)
        recorder.stepped([one.take() for one in kept])
        assert monitors[1].annotate_episode(qmax=step) == recorder.annotate(1, qmax=step)
    for env in (*monitors, *remote):
        env.close()
    recorder.close()
    recorder.close()
    here, there = load_statistics(tmp_path / "here"), load_statistics(tmp_path / "there")
    assert len(here["rewards"]) > 10
    for name in ("rewards", "lengths", "timesteps", "env"):
        assert here[name].tolist() == there[name].tolist()
    assert str(here["qmax"].tolist()) == str(there["qmax"].tolist())
    assert sorted(path.name for path in tmp_path.iterdir()) == ["here.npz", "there.npz"]


def test_it_goes_back_and_on(tmp_path: Path) -> None:
    kept = FinishedEpisodes(0)
    env = StatsMonitor(Countdown(), kept)
    recorder = EpisodeRecorder(tmp_path / "rewards", 1)
    env.reset()
    states = []
    for _ in range(6):  # the second episode ends with the third step, the third with the sixth
        take_steps([env], 1)
        recorder.stepped([kept.take()])
        states.append(recorder.record_state())
    assert [state["rows"] for state in states] == [1, 1, 2, 2, 2, 3]
    assert recorder.annotate(0, qmax=1)
    recorder.restore_record(states[2])
    assert recorder.record_state()["rows"] == 2
    assert not recorder.annotate(0, qmax=1)
    recorder.close()
    assert load_statistics(tmp_path / "rewards")["timesteps"].tolist() == [1, 3]
    again = EpisodeRecorder(tmp_path / "rewards", 1, existing="continue")
    assert again.record_state()["rows"] == 2
    again.close()


def test_what_only_the_recorder_knows(tmp_path: Path) -> None:
    kept = FinishedEpisodes(3)
    env = StatsMonitor(Countdown(), kept)
    env.reset()
    take_steps([env], 1)
    assert [tuple(one) for one in kept.take()] == [(2.5, 1)]
    assert kept.take() == []
    assert env.record_state() == {}
    assert not env.annotate_episode(qmax=1.0)
    recorder = EpisodeRecorder(tmp_path / "rewards", 1)
    with pytest.raises(ValueError, match="'lengths' is measured by StatsMonitor itself"):
        recorder.annotate(0, lengths=1)
    recorder.close()
