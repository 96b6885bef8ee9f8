"""What the options of ``ddpg train`` do."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import Ddpg

from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.cli.training import prepare as training
from sb3_ddpg_custom.cli.training.options import TrainRequest
from sb3_ddpg_custom.cli.training.run import TrainResult

MODULE = """
import gymnasium as gym
import numpy as np

class Line(gym.Env):
    metadata = {"render_modes": []}
    observation_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    def reset(self, *, seed=None, options=None):
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 1).astype(np.float32), {}
    def step(self, action):
        return np.zeros(1, np.float32), float(action[0]), False, False, {}

gym.register("third_party/Line-v0", Line, max_episode_steps=10)
"""


def test_three_environments(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    ddpg("train", "Tiny-v0", "--n-envs", 3, "--out", tmp_path, *small, "--steps", 180)
    folder = tmp_path / "Tiny-v0" / "1"
    assert sorted(path.name for path in folder.glob("*.csv")) == [f"{i}.monitor.csv" for i in range(3)]
    assert sorted(path.name for path in folder.glob("*.npz")) == ["evaluations.npz", "rewards.npz"]
    with np.load(folder / "rewards.npz") as statistics:
        assert sorted(statistics["env"].tolist()) == [0, 0, 0, 1, 1, 1, 2, 2, 2]
        assert len(set(statistics["rewards"].tolist())) == 9
    with np.load(folder / "evaluations.npz") as evaluations:
        assert evaluations["timesteps"].tolist() == [51, 102, 150, 180]


@pytest.mark.parametrize(
    ("noise", "kind"),
    [
        (("--set=noise_type=adaptive-param", "--set=noise_std=0.3"), "ParameterNoise"),
        (("--set=noise_type=normal", "--set=noise_std=[0.05,0.4]", "--n-envs=2"), "PerEnvActionNoise"),
    ],
)
def test_noise_of_its_own_kind_reaches_the_model_and_evaluate_needs_none_of_it(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, noise: tuple[str, ...], kind: str
) -> None:
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *noise)
    final = tmp_path / "Tiny-v0" / "1" / "final.zip"
    attributes = read_checkpoint(final).attributes
    held = attributes["parameter_noise" if kind == "ParameterNoise" else "action_noise"]
    assert kind in held[":type:"]
    ddpg("evaluate", "--checkpoint", final, "--episodes", 2)
    repeated = tmp_path / "Tiny-v0" / "1" / "config.yml"
    ddpg("train", "Tiny-v0", "--out", tmp_path, "--config", repeated, *small)


def test_a_seed_is_drawn_shown_and_recorded(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    at = small.index("--seed")
    unseeded = (*small[:at], *small[at + 2 :], "--steps", "20")
    seeds = []
    for number in ("1", "2"):
        printed = ddpg("train", "Tiny-v0", "--out", tmp_path, *unseeded)
        seed = yaml.safe_load((tmp_path / "Tiny-v0" / number / "config.yml").read_text())["run"]["seed"]
        assert f"seed {seed}" in printed.stderr
        assert str(seed) in printed.stdout
        seeds.append(seed)
    assert seeds[0] != seeds[1]


def test_quiet_says_nothing(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    printed = ddpg("train", "Tiny-v0", "--quiet", "--out", tmp_path, *small, "--steps", 40)
    assert (printed.stdout, printed.stderr) == ("", "")
    assert (tmp_path / "Tiny-v0" / "1" / "final.zip").exists()


def test_a_name_is_taken_once(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    command = ("train", "Tiny-v0", "--name", "mine", "--out", tmp_path, *small, "--steps", 20)
    ddpg(*command)
    before = (tmp_path / "Tiny-v0" / "mine" / "final.zip").read_bytes()
    error = ddpg(*command, code=2).stderr
    assert "mine exists already" in error
    assert (tmp_path / "Tiny-v0" / "mine" / "final.zip").read_bytes() == before


def test_import_registers_third_party_environments(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "third_party_line.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    assert "unknown environment" in ddpg("train", "third_party/Line-v0", "--out", tmp_path, *small, code=2).stderr
    flag = ("--import", "third_party_line")
    printed = ddpg("train", "third_party/Line-v0", *flag, "--out", tmp_path, *small)
    folder = tmp_path / "third_party-Line-v0" / "1"
    assert f"  ddpg evaluate --checkpoint {folder} --import third_party_line" in printed.stdout.splitlines()
    assert "--import third_party_line" in yaml.safe_load((folder / "config.yml").read_text())["run"]["repeat_with"]
    assert "third_party/Line-v0" in ddpg("evaluate", "--checkpoint", folder, *flag, "--episodes", 2).stdout


def test_a_full_command_line_becomes_one_request(ddpg: Ddpg, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DISPLAY", ":99")  # for --render; nothing is shown
    requests: list[TrainRequest] = []

    def train(request: TrainRequest, console: Any) -> TrainResult:
        requests.append(request)
        return TrainResult(
            env_id="Pendulum-v1",
            folder=tmp_path,
            checkpoint=tmp_path / "final.zip",
            seed=3,
            steps=5,
            total_steps=5,
            seconds=1.0,
            episodes=0,
            last_return=float("nan"),
            best_return=float("-inf"),
            curve=None,
            film=None,
            signal=None,
        )

    monkeypatch.setattr(training, "train", train)
    ddpg("train", "pendulum")
    ddpg(
        *("train", "pendulum", "--steps", 5, "--seed", 3, "--config", "a.yml", "--set", "tau=1", "--set", "gamma=0.5"),
        *("--out", tmp_path, "--name", "n", "--device", "cpu", "--n-envs", 2, "--eval-every", 4, "--eval-episodes", 6),
        *("--video", "25", "--render", "--from", "b.zip", "--import", "os", "--import", "re", "--quiet"),
        *("--eval-max-steps", 9),
    )
    ddpg("train", "pendulum", "--video", "none")
    assert requests == [
        TrainRequest(env="pendulum"),
        TrainRequest(
            env="pendulum",
            steps=5,
            seed=3,
            config=Path("a.yml"),
            overrides=("tau=1", "gamma=0.5"),
            out=tmp_path,
            name="n",
            device="cpu",
            n_envs=2,
            eval_every=4,
            eval_episodes=6,
            eval_max_steps=9,
            video=25,
            render=True,
            imports=("os", "re"),
            start_from=Path("b.zip"),
        ),
        TrainRequest(env="pendulum", video="none"),
    ]
