import csv
import importlib.util
import os
import shlex
import signal
import subprocess
import sys
import time
import zipfile
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import yaml
from helpers import Ddpg
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.cli.signals import Signals
from sb3_ddpg_custom.cli.training import prepare as training
from sb3_ddpg_custom.wrappers import load_statistics

PendulumRun = tuple[Path, subprocess.CompletedProcess[str]]


def monitor_returns(folder: Path) -> list[float]:
    """Read what SB3's Monitor wrote (SB3's own reader wants pandas): a line of JSON, then comma-separated values."""
    lines = (folder / "0.monitor.csv").read_text().splitlines()
    assert lines[0].startswith("#{")
    return [float(row["r"]) for row in csv.DictReader(lines[1:])]


def test_the_run_folder_is_complete(pendulum_run: PendulumRun) -> None:
    folder, _ = pendulum_run
    names = {path.name for path in folder.iterdir() if not path.name.startswith("events.out.tfevents.")}
    assert names == {
        *("config.yml", "best.zip", "final.zip", "checkpoints", "rewards.npz", "evaluations.npz"),
        *("0.monitor.csv", "videos", "curve.png", "report.html", "state", "status.json"),
    }
    steps = sorted(path.name for path in (folder / "checkpoints").iterdir())
    assert steps == ["step_000000300.zip", "step_000000600.zip"]
    videos = sorted(path.name for path in (folder / "videos").iterdir())
    assert videos == ["episode-000000.mp4", "episode-000001.mp4", "trained-000000.mp4"]
    assert all((folder / "videos" / name).stat().st_size > 1000 for name in videos)
    assert len(monitor_returns(folder)) == 3


def test_the_film_shows_the_best_policy(ddpg: Ddpg, pendulum_run: PendulumRun) -> None:
    """Its episode is the first of the evaluations, played by best.zip: reset and 200 steps."""
    folder, printed = pendulum_run
    with av.open(folder / "videos" / "trained-000000.mp4") as film:
        assert sum(1 for _ in film.decode(video=0)) == 201
    assert f"best policy's film  {folder / 'videos' / 'trained-000000.mp4'}" in printed.stdout
    assert f"learning curve      {folder / 'curve.png'}" in printed.stdout


def test_a_curve_or_film_that_fails_costs_a_line_only(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any) -> None:
        raise OSError("no room for pictures")

    monkeypatch.setattr("sb3_ddpg_custom.cli.figures.curve.draw_learning_curve", fail)
    printed = ddpg("train", "Tiny-v0", "--out", tmp_path, *small, curve=True)
    assert "no curve: no room for pictures" in printed.stderr
    assert "learning curve" not in printed.stdout
    assert (tmp_path / "Tiny-v0" / "1" / "final.zip").exists()


@pytest.mark.parametrize(("update", "said"), [("auto", True), ("analytic", False), ("autograd", False)])
def test_numba_is_named_where_it_would_help(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, update: str, said: bool
) -> None:
    find_spec = importlib.util.find_spec
    without = lambda name, *rest: None if name == "numba" else find_spec(name, *rest)  # noqa: E731
    monkeypatch.setattr("sb3_ddpg_custom.cli.training.model.find_spec", without)
    printed = ddpg("train", "Tiny-v0", "--out", tmp_path, *small, "--set", f"update={update}").stderr
    assert ("faster with Numba" in printed) == said


def test_the_config_has_everything(pendulum_run: PendulumRun) -> None:
    folder, _ = pendulum_run
    document = yaml.safe_load((folder / "config.yml").read_text())
    settings, facts = document["Pendulum-v1"], document["run"]
    assert settings["n_timesteps"] == 600
    assert settings["policy_kwargs"] == {"net_arch": [16, 16]}
    assert settings["n_steps"] == 1  # a default, not in pendulum.yml
    assert facts["seed"] == 7
    assert facts["eval_every"] == 300
    assert facts["eval_episodes"] == 2
    packages = {"sb3-ddpg-custom", "stable-baselines3", "gymnasium", "torch", "numpy"}
    assert facts["versions"].keys() - {"numba"} == packages
    assert ("numba" in facts["versions"]) == (find_spec("numba") is not None)
    assert facts["versions"]["numpy"] == np.__version__
    with zipfile.ZipFile(folder / "final.zip") as archive:
        assert archive.read("config.yml").decode() == (folder / "config.yml").read_text()


def test_the_curves(pendulum_run: PendulumRun) -> None:
    folder, _ = pendulum_run
    with np.load(folder / "rewards.npz") as statistics:
        assert statistics["timesteps"].tolist() == [200, 400, 600]
        assert statistics["lengths"].tolist() == [200] * 3
        assert np.isfinite(statistics["qmax"]).all()
        rewards = statistics["rewards"].tolist()
    assert monitor_returns(folder) == pytest.approx(rewards, abs=1e-5)  # Monitor rounds
    with np.load(folder / "evaluations.npz") as evaluations:  # the format of SB3's EvalCallback
        assert evaluations["timesteps"].tolist() == [300, 600]
        assert evaluations["results"].shape == (2, 2)
        assert evaluations["ep_lengths"].tolist() == [[200, 200], [200, 200]]


def test_tensorboard(pendulum_run: PendulumRun) -> None:
    folder, _ = pendulum_run
    events = EventAccumulator(str(folder))
    events.Reload()
    assert set(events.Tags()["scalars"]) >= {
        *("rollout/ep_rew_mean", "time/fps", "eval/mean_reward", "episode/reward", "episode/qmax"),
        *("train/actor_loss", "train/critic_loss", "train/q_mean", "train/q_max", "train/td_error"),
        *("train/grad_norm_actor", "train/grad_norm_critic"),
    }
    rewards = [event.value for event in events.Scalars("episode/reward")]
    assert rewards == pytest.approx(load_statistics(folder / "rewards.npz")["rewards"].tolist())
    hparams = events.SummaryMetadata("_hparams_/session_start_info").plugin_data
    assert hparams.plugin_name == "hparams"
    assert b"learning_rate" in hparams.content
    assert b"train/td_error" in events.Tensors("custom_scalars__config__")[0].tensor_proto.string_val[0]


def test_it_ends_with_the_commands_to_go_on(pendulum_run: PendulumRun) -> None:
    folder, printed = pendulum_run
    *_, title, evaluate, tensorboard = printed.stdout.splitlines()
    assert title == "next:"
    assert evaluate == f"  ddpg evaluate --checkpoint {folder}"
    assert tensorboard == f"  tensorboard --logdir {folder}"
    assert "seed 7" in printed.stderr


def test_the_evaluate_line_works_when_pasted(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    out = tmp_path / "my runs"
    printed = ddpg("train", "Tiny-v0", "--out", out, "--name", "a b", *small)
    line = next(line for line in printed.stdout.splitlines() if "ddpg evaluate" in line)
    words = shlex.split(line)
    assert words[:3] == ["ddpg", "evaluate", "--checkpoint"]
    assert str(out / "Tiny-v0" / "a b" / "best.zip") in ddpg(*words[1:], "--episodes", 2).stdout


@pytest.mark.parametrize("is_fast", [True, False])
def test_a_precision_that_brings_nothing_is_remarked(
    is_fast: bool, ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sb3_ddpg_custom.updates.has_fast_bfloat16", lambda device: is_fast)
    done = ddpg("train", "Tiny-v0", "--out", tmp_path, *small, "--set", "precision=bfloat16")
    assert ("nothing here multiplies it faster than float32" in done.stdout + done.stderr) is not is_fast
    assert "precision: bfloat16" in (tmp_path / "Tiny-v0" / "1" / "config.yml").read_text()


@pytest.mark.parametrize(
    ("settings", "shape"),
    [
        (["normalize=true"], (1,)),
        (["frame_stack=3"], (3,)),
        (["env_wrapper={gymnasium.wrappers.RescaleAction: {min_action: -0.5, max_action: 0.5}}"], (1,)),
        (["normalize=true", "frame_stack=2", "env_wrapper=[gymnasium.wrappers.TimeAwareObservation]"], (4,)),
    ],
)
@pytest.mark.filterwarnings("ignore:.*Box (low|high)'s precision lowered")
def test_what_surrounds_the_environment_survives_into_evaluate(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, settings: list[str], shape: tuple[int, ...]
) -> None:
    flags = [f"--set={setting}" for setting in settings]
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, "--set", "env_kwargs={bound: 2.0}", *flags)
    folder = tmp_path / "Tiny-v0" / "1"
    assert tuple(read_checkpoint(folder / "best.zip").attributes["observation_space"]["_shape"]) == shape
    # The first two episodes of an evaluation with seed 0 are those that the training evaluated on.
    result = ddpg("evaluate", "--checkpoint", folder / "best.zip", "--episodes", 2, "--json").stdout
    with np.load(folder / "evaluations.npz") as evaluations:
        best = evaluations["results"][evaluations["results"].mean(axis=1).argmax()]
    assert yaml.safe_load(result)["returns"] == pytest.approx(best.tolist(), abs=1e-4)


def test_an_environment_may_become_trainable_by_a_wrapper(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    """The check used to look at the bare environment, so that its own advice to use env_wrapper did not help."""
    command = ("train", "CliffWalking-v1", "--out", tmp_path, *small, "--set", "env_wrapper=steering.Steer")
    command += ("--set", "env_kwargs.max_episode_steps=10", "--video", "none")
    (tmp_path / "steering.py").write_text(
        "import gymnasium as gym, numpy as np\n"
        "class Steer(gym.ActionWrapper):\n"
        "    def __init__(self, env):\n"
        "        super().__init__(env)\n"
        "        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)\n"
        "    def action(self, action):\n"
        "        return int(action[0] > 0)\n"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(tmp_path)
        ddpg(*command)
    assert (tmp_path / "CliffWalking-v1" / "1" / "final.zip").exists()


@pytest.mark.parametrize(
    ("n_timesteps", "evaluation_steps", "expected"),
    [
        (5000, 2000, 500),  # Pendulum: ten evaluations of ten episodes of 200 steps
        (300, 1000, 100),  # three of them take ten times the training
        (300, 10_000, 300),
        (10**6, 10_000, 10**5),
        (5, 1, 1),
    ],
)
def test_evaluations_do_not_dwarf_the_training(n_timesteps: int, evaluation_steps: int, expected: int) -> None:
    assert training.default_interval(n_timesteps, evaluation_steps) == expected


def test_two_runs_never_share_a_folder(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    from sb3_ddpg_custom.cli.run_folder import create_run_folder

    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: create_run_folder(tmp_path, "Tiny-v0", None), range(40)))
    assert sorted(int(folder.name) for folder in folders) == list(range(1, 41))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_training_with_a_saved_model(
    ddpg: Ddpg, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    if signal.getsignal(number) is signal.SIG_IGN:  # pytest itself runs in the background, and the child inherits that
        signal.signal(number, signal.SIG_DFL)
    command = [sys.executable, "-m", "sb3_ddpg_custom.cli", "train", "pendulum", "--video", "none", "--out", "my runs"]
    command += ["--set", "policy_kwargs.net_arch=[16,16]", "--eval-every", "1000000", "--eval-episodes", "1"]
    process = subprocess.Popen(
        [*command, "--steps", "1000000"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = tmp_path / "my runs" / "Pendulum-v1" / "1"
    try:
        deadline = time.monotonic() + 120
        monitor = folder / "0.monitor.csv"
        while not (monitor.exists() and len(monitor.read_text().splitlines()) > 3):
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == code
    assert "Traceback" not in out + err
    assert number.name in out
    (checkpoint,) = (folder / "checkpoints").iterdir()
    assert not (folder / "final.zip").exists()
    rewards = load_statistics(folder / "rewards.npz")["rewards"]
    assert len(rewards) >= 2
    assert np.isfinite(rewards).all()
    # The line that it prints really goes on, with the nets that --set had made smaller.
    words = shlex.split(next(line for line in out.splitlines() if " resume " in line))
    assert words == ["ddpg", "resume", str(folder.relative_to(tmp_path))]
    steps = int(checkpoint.stem.removeprefix("step_")) + 20
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        ddpg(*words[1:], "--steps", steps)
    assert (folder / "final.zip").exists()
    assert read_checkpoint(folder / "final.zip").attributes["num_timesteps"] == steps


def test_an_env_that_draws_slowly_is_not_filmed_unless_asked(
    ddpg: Ddpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training, "_SLOW_FRAME_SECONDS", 0.0)  # every env is slow now
    options = ("--steps=30", "--eval-episodes=1", "--eval-every=30", f"--out={tmp_path}")
    done = ddpg("train", "pendulum", *options, "--name=default")
    assert "no videos: drawing a frame of Pendulum-v1 takes" in done.stderr
    assert not (tmp_path / "Pendulum-v1" / "default" / "videos").exists()
    ddpg("train", "pendulum", *options, "--name=asked", "--video=cubic")
    assert list((tmp_path / "Pendulum-v1" / "asked" / "videos").glob("*.mp4"))


def test_a_signal_that_the_parent_ignores_stays_ignored() -> None:
    """``nohup`` and shells that put a job into the background start it that way."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        signals = Signals()
        with signals.caught():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
            assert callable(signal.getsignal(signal.SIGTERM))
            os.kill(os.getpid(), signal.SIGINT)
            assert signals.received is None
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("video", [(), ("--video", "1")])
def test_one_of_two_environments_is_filmed(
    ddpg: Ddpg, tmp_path: Path, video: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SB3 wants the same render mode in all envs, which used to end this training before it began."""
    monkeypatch.setattr(training, "_SLOW_FRAME_SECONDS", 60.0)  # a busy machine draws slowly
    options = ("--steps=60", "--eval-episodes=1", "--eval-every=60", f"--out={tmp_path}", "--threads=1")
    ddpg("train", "pendulum", "--n-envs", 2, *options, *video)
    folder = tmp_path / "Pendulum-v1" / "1"
    films = sorted(path.name for path in (folder / "videos").iterdir())
    assert films == ["episode-000000.mp4", "trained-000000.mp4"]
    words = shlex.split(yaml.safe_load((folder / "config.yml").read_text())["run"]["repeat_with"])
    assert words[words.index("--threads") + 1] == "1"
    assert words[words.index("--video") + 1 :][:1] == list(video[1:]) if video else "--video" not in words
    assert "--render" not in words
