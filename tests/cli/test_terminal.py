"""What comes out of the command in terminals and pipes, whatever the environment is like."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import gymnasium as gym
import pytest
from helpers import Ddpg


class Odd(gym.Wrapper[Any, Any, Any, Any]):
    """Pendulum that prints, and whose reward is huge on request."""

    def __init__(self, reward: float | None = None, render_mode: str | None = None) -> None:
        super().__init__(gym.make("Pendulum-v1", max_episode_steps=20, render_mode=render_mode))
        self.reward = reward

    def step(self, action: Any) -> Any:
        print("a line of the environment's own")  # noqa: T201
        observation, reward, *others = self.env.step(action)
        return (observation, reward if self.reward is None else self.reward, *others)


@pytest.fixture
def odd() -> Iterator[None]:
    for name, kwargs in (("Odd-v0", {}), ("Huge-v0", {"reward": -1e308})):
        gym.register(name, lambda kwargs=kwargs, **more: Odd(**kwargs, **more), disable_env_checker=True)
    yield
    for name in ("Odd-v0", "Huge-v0"):
        gym.registry.pop(name)


def test_standard_output_has_the_json_only(ddpg: Ddpg, small: tuple[str, ...], odd: None, tmp_path: Path) -> None:
    ddpg("train", "Odd-v0", "--out", tmp_path, "--quiet", *small)
    done = ddpg("evaluate", "--checkpoint", tmp_path / "Odd-v0" / "1", "--episodes", 2, "--json")
    assert json.loads(done.stdout)["episodes"] == 2
    assert "a line of the environment's own" in done.stderr


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning", "ignore:invalid value:RuntimeWarning")
def test_returns_that_overflow_are_null_in_strict_json(
    ddpg: Ddpg, small: tuple[str, ...], odd: None, tmp_path: Path
) -> None:
    ddpg("train", "Odd-v0", "--out", tmp_path, "--quiet", *small)
    run = tmp_path / "Odd-v0" / "1"
    done = ddpg("evaluate", "--checkpoint", run, "--env", "Huge-v0", "--episodes", 2, "--json")

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    figures = json.loads(done.stdout, parse_constant=refuse)
    assert figures["mean_return"] is None
    assert figures["returns"] == [None, None]
    assert "mean_return" in done.stderr
    assert "what is not finite is null" in done.stderr


def test_a_long_evaluation_says_how_far_it_is_where_there_is_no_terminal(
    ddpg: Ddpg, tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``evaluate --episodes 100`` of a slow environment used to be silent for minutes."""
    monkeypatch.setattr("sb3_ddpg_custom.cli.progress._SILENCE_SECONDS", 0.0)
    lines = ddpg("evaluate", "--checkpoint", tiny_run, "--episodes", 3).stderr.splitlines()
    assert lines[0] == "Tiny-v0: 0 of 3 episodes, 1 steps of each env"
    assert lines[-1] == "Tiny-v0: 3 of 3 episodes, 20 steps of each env"


def test_a_training_says_how_far_its_evaluation_is(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sb3_ddpg_custom.cli.watching.training_progress._SILENCE_SECONDS", 0.0)
    printed = ddpg("train", "Tiny-v0", "--out", tmp_path, *small).stderr
    assert "evaluating at step 50: 0 of 2 episodes\n" in printed
    assert "step 7 of 100" in printed


def test_brackets_in_names_and_paths_are_printed_as_they_are(
    ddpg: Ddpg, small: tuple[str, ...], odd: None, tmp_path: Path
) -> None:
    out = tmp_path / "runs [/usr/lib/dri]"
    done = ddpg("train", "Tiny-v0", "--out", out, "--name", "[bold]", *small)
    assert str(out / "Tiny-v0" / "[bold]") in done.stderr
    assert "[bold]" in done.stdout.replace("\n", "")
    played = ddpg("evaluate", "--checkpoint", out / "Tiny-v0" / "[bold]", "--episodes", 2)
    assert "[bold]" in played.stdout.replace("\n", "")


def test_a_module_of_the_current_folder_can_be_imported(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "module_of_this_folder.py").write_text(
        "import gymnasium\n"
        "gymnasium.register('Near-v0', gymnasium.spec('Pendulum-v1').entry_point, max_episode_steps=20)\n"
    )
    monkeypatch.chdir(tmp_path)
    ddpg("train", "Near-v0", "--import", "module_of_this_folder", "--out", tmp_path, "--quiet", *small)
    assert (tmp_path / "Near-v0" / "1" / "final.zip").exists()
    gym.registry.pop("Near-v0")
