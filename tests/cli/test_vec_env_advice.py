"""A training's first steps tell whether envs should step in one process or in several."""

from collections.abc import Callable
from pathlib import Path

import pytest
from helpers import Ddpg

from sb3_ddpg_custom.cli.environments.advice import FirstSteps, advice_for_one_process, advice_for_processes


@pytest.fixture
def printed(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> Callable[..., str]:
    """What a training on ``Walk-v0`` in two envs prints."""

    def call(*options: object) -> str:
        walk = ("Walk-v0", "--import", "helpers.process_envs", "--n-envs", 2, "--video", "none", "--out", tmp_path)
        return ddpg("train", *walk, *small, *options).stderr

    return call


def test_envs_in_turn() -> None:
    assert advice_for_one_process(1, 2, 0.1) is None
    assert advice_for_one_process(2, 1, 0.1) is None
    assert advice_for_one_process(2, 2, 0.001) is None
    told = advice_for_one_process(4, 2, 0.005)
    assert told is not None
    assert told.startswith("a step of an env takes 5.0 ms, and 4 envs step in turn; --vec-env subproc")


def test_envs_in_processes() -> None:
    assert "with one env only" in str(advice_for_processes(1, 2, 0.1, 0.1, 0.1))
    told = advice_for_processes(2, 2, 0.0003, 0.00005, 0.00005)
    assert told is not None
    assert "does not pay here: a step of 2 envs takes 0.3 ms, and about 0.05 ms in one process" in told
    assert advice_for_processes(2, 2, 0.0053, 0.010, 0.010) is None
    assert "keeps this machine's 2 cores busy" in str(advice_for_processes(4, 2, 0.010, 0.02, 0.02))
    assert advice_for_processes(4, 2, 0.010, 0.04, 0.0) is None  # they wait for something else than a core


def test_it_is_said_once_after_as_many_steps_as_it_takes() -> None:
    said: list[str] = []
    steps = FirstSteps("dummy", 2, said.append)
    assert [steps.add(0.02, 0.02) for _ in range(100)] == [False] * 99 + [True]
    assert len(said) == 1
    steps = FirstSteps("dummy", 2, said.append)
    assert [steps.add(3.0, 3.0) for _ in range(5)] == [False] * 4 + [True]
    assert len(said) == 2


def test_quick_envs_in_processes_are_told(printed: Callable[..., str]) -> None:
    assert printed("--vec-env", "subproc", "--steps", 240).count("--vec-env subproc does not pay here") == 1


def test_slow_envs_in_turn_are_told(printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_ddpg_custom.cli.environments.advice.cores", lambda: 2)
    monkeypatch.setattr("sb3_ddpg_custom.cli.environments.advice._MOST_STEPS", 10)
    told = printed("--set", "env_kwargs.seconds=0.004", "--steps", 40)
    assert told.count(" ms, and 2 envs step in turn; --vec-env subproc steps them side by side") == 1


def test_filmed_steps_tell_nothing(printed: Callable[..., str], monkeypatch: pytest.MonkeyPatch) -> None:
    """A film takes longer than the steps that it shows, and it is over soon."""
    monkeypatch.setattr("sb3_ddpg_custom.cli.environments.advice._LEAST_STEPS", 1)
    monkeypatch.setattr("sb3_ddpg_custom.cli.environments.advice._MOST_STEPS", 1)
    monkeypatch.setattr("sb3_ddpg_custom.cli.environments.advice.cores", lambda: 2)
    slow = ("--set", "env_kwargs.seconds=0.004", "--steps", 60)  # 30 steps each, 20 of them in the first episode
    assert "step in turn" not in printed(*slow, "--video", 1)
    assert "step in turn" in printed(*slow, "--video", 100)
