"""``ddpg doctor``: what was done wrong on purpose is found in real runs; broken and hostile files are passed over."""

import json
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers import Ddpg


class Wrong(gym.Env[Any, Any]):
    """Push a point to the origin; what is wrong with it is chosen.

    :param observed: factor of the observation
    :param rewarded: factor of the reward
    :param length: of each episode, which the env calls its own end
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (Gymnasium's declaration)
    observation_space = gym.spaces.Box(-np.inf, np.inf, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, observed: float = 1.0, rewarded: float = 1.0, length: int = 0) -> None:
        self.observed, self.rewarded, self.length = observed, rewarded, length

    def _observation(self) -> Any:
        return np.array([self.place * self.observed], np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.place, self.steps = float(self.np_random.uniform(-1, 1)), 0
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.place, self.steps = float(np.clip(self.place + 0.2 * action[0], -2, 2)), self.steps + 1
        return self._observation(), -abs(self.place) * self.rewarded, self.steps == self.length, False, {}


@pytest.fixture(autouse=True, scope="module")
def _wrong_envs() -> Any:
    gym.register("Wrong-v0", Wrong, max_episode_steps=20)  # type: ignore[arg-type]  # called by name
    yield
    del gym.registry["Wrong-v0"]


def found(ddpg: Ddpg, *paths: Path) -> Any:
    return json.loads(ddpg("doctor", *paths, "--json").stdout)


def rules(ddpg: Ddpg, path: Path) -> set[str]:
    return {finding["rule"] for run in found(ddpg, path)["runs"] for finding in run["findings"]}


@pytest.mark.parametrize(
    ("options", "rule"),
    [
        ((), None),
        (("--set", "noise_type=null"), "nothing-explores"),
        (("--set", "learning_starts=1500"), "learning-never-starts"),
        (("--set", "env_kwargs.rewarded=1000"), "rewards-out-of-scale"),
        (("--set", "env_kwargs.observed=100"), "observations-out-of-scale"),
        (("--set", "env_kwargs.length=20"), "time-limit-is-terminal"),
        (("--set", "train_freq=20"), "replay-ratio-is-off"),
        (("--set", "learning_rate=0.5"), "tanh-saturates"),
    ],
)
def test_what_was_done_wrong_is_found(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, options: tuple[str, ...], rule: str | None
) -> None:
    ddpg("train", "Wrong-v0", *small, "--steps", 1500, "--eval-every", 150, *options, "--out", tmp_path)
    seen = rules(ddpg, tmp_path)
    assert seen == set() if rule is None else rule in seen


def test_of_what_is_not_there_nothing_is_said(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    """Empty, with half of its files, and without an episode."""
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.yml").write_bytes((tiny_run / "config.yml").read_bytes())
    (tmp_path / "alone").mkdir()
    (tmp_path / "alone" / "evaluations.npz").write_bytes((tiny_run / "evaluations.npz").read_bytes())
    one, two = sorted(found(ddpg, tmp_path)["runs"], key=lambda run: str(run["run"]))
    assert one["unseen"] == "no curves of what went on inside, no training episodes, no settings"
    assert two["unseen"] == "no curves of what went on inside, no evaluations, no training episodes"
    assert one["findings"] == two["findings"] == []
    printed = ddpg("doctor", tmp_path).stdout
    assert printed.count("nothing is wrong that can be seen; there are no curves") == 2


def test_hostile_files_are_passed_over(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    folder = tmp_path / "[red]\x1b[31mname"
    folder.mkdir()
    (folder / "evaluations.npz").write_bytes((tiny_run / "evaluations.npz").read_bytes())
    random = np.random.default_rng(0)
    events = next(tiny_run.glob("events.*")).read_bytes()
    for number in range(20):  # broken somewhere
        broken = bytearray(events)
        for place in random.integers(0, len(broken), 5):
            broken[place] = random.integers(0, 256)
        (folder / f"events.out.tfevents.{number}").write_bytes(broken)
    (folder / "events.out.tfevents.long").write_bytes(b"\xff" * 12 + events)
    (folder / "rewards.npz").write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    printed = ddpg("doctor", folder)
    assert "\x1b[31m" not in printed.stdout + printed.stderr
    assert "[red]" in printed.stdout
    assert "rewards.npz cannot be read" in printed.stderr


def test_what_cannot_be_asked_for_is_a_sentence(refused: Any, tmp_path: Path) -> None:
    assert "does not exist" in refused("doctor", tmp_path / "nowhere")
    assert "no run in" in refused("doctor", tmp_path)


def test_it_is_said_in_words(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    ddpg("train", "Wrong-v0", *small, "--set", "noise_type=null", "--out", tmp_path)
    printed = ddpg("doctor", tmp_path).stdout
    assert "nothing-explores: nothing new is tried: no noise is set" in printed
    assert "try: noise_type=normal with noise_std=0.1" in printed
    assert "after Lillicrap et al. 2016" in printed
