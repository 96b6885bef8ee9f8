"""Many runs: which there are, that none is made twice, and how one ends is no matter of the others."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import SMALL
from helpers import Ddpg
from helpers.zips import assert_same_run

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.experiments.board import Board, duration
from sb3_ddpg_custom.cli.experiments.options import read_seeds
from sb3_ddpg_custom.cli.experiments.plan import Job, name_of_setting, read_job
from sb3_ddpg_custom.cli.run_folder import is_done
from sb3_ddpg_custom.cli.screen import screen
from sb3_ddpg_custom.cli.status import Status, read_status, write_status
from sb3_ddpg_custom.cli.training.options import TrainRequest

SHORT = ("--steps", 300, "--eval-episodes", 2, "--eval-every", 150, *SMALL)
SETTING = name_of_setting(None, [word.removeprefix("--set=") for word in SMALL])
SCRIPTS = Path(__file__).parents[2] / "benchmarks"
# Seed 1 fails once it has made 120 steps, until somebody puts a file beside it.
BREAKS = """
import gymnasium as gym, pathlib
from gymnasium.envs.classic_control import PendulumEnv

class Breaks(PendulumEnv):
    steps = 0

    def reset(self, *, seed=None, options=None):
        self.bad = seed == 1 or getattr(self, "bad", False)
        return super().reset(seed=seed, options=options)

    def step(self, action):
        self.steps += 1
        if self.bad and self.steps > 120 and not pathlib.Path("mended").exists():
            raise RuntimeError("a wire came off")
        return super().step(action)

gym.register("Breaks-v0", Breaks, max_episode_steps=50)
"""


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (3,)), ("0-3", (0, 1, 2, 3)), ("5,0-1", (5, 0, 1)), (" 1 , 2-2", (1, 2))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert read_seeds(text) == seeds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "is no list of seeds"),
        ("a", "is no list of seeds"),
        ("-3", "is no list of seeds"),
        ("1,,2", "is no list of seeds"),
        ("3-1", "counts downwards; write 1-3"),
        ("0-10000", "more than 10,000"),
        ("0-99999999999", "more than 10,000"),
        ("1,0-2", "names a seed twice"),
    ],
)
def test_what_are_no_seeds(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_seeds(text)


def test_names_of_settings() -> None:
    assert name_of_setting(None, ()) == "default"
    assert name_of_setting(Path("a/mine.yml"), ("n_steps=3",)) == "mine,n_steps=3"
    assert name_of_setting(None, ("policy_kwargs.net_arch=[64, 64]",)) == "policy_kwargs.net_arch=_64,64_-9a4863e4"
    assert name_of_setting(None, ("x=[64,64]",)) != name_of_setting(None, ("x=(64,64)",))


def test_durations() -> None:
    assert [duration(seconds) for seconds in (None, 5, 75, 3600, 8000, 200_000)] == [
        *("", "0:05", "1:15"),
        *("1 h 00 min", "2 h 13 min", "2 d 7 h"),
    ]


def test_each_run_is_one_of_its_own_and_none_is_made_twice(ddpg: Ddpg, tmp_path: Path) -> None:
    command = ("train", "pendulum", "--seeds", "0-1", "--compare", "default", "n_steps=3", *SHORT, "--out", tmp_path)
    printed = ddpg(*command)
    runs = sorted(path.parent for path in tmp_path.rglob("config.yml"))
    assert [str(run.relative_to(tmp_path)) for run in runs] == [
        f"Pendulum-v1/{setting}/seed-{seed}" for setting in ("default", "n_steps=3") for seed in (0, 1)
    ]
    assert "4 runs, " in printed.stderr
    assert [line.split()[:4] for line in printed.stdout.splitlines()[1:3]] == [
        ["Pendulum-v1", "default", "2", "2"],
        ["Pendulum-v1", "n_steps=3", "2", "2"],
    ]
    assert yaml.safe_load((runs[2] / "config.yml").read_text())["Pendulum-v1"]["n_steps"] == 3
    # A single training with the same seed comes out the same.
    ddpg("train", "pendulum", "--seed", 1, *SHORT, "--out", tmp_path / "single", "--video", "none", "--threads", 1)
    assert_same_run(tmp_path / "single" / "Pendulum-v1" / "1", runs[1])
    # Any other command reads it.
    ddpg("evaluate", "--checkpoint", runs[0], "--episodes", 1)

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = json.loads(ddpg(*command, "--json").stdout)["runs"]
    assert [run["state"] for run in again] == ["made before"] * 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # One more seed is the only one that is made.
    more = json.loads(ddpg(*(str(word).replace("0-1", "0-2") for word in command), "--json").stdout)["runs"]
    assert [run["state"] for run in more] == ["made before", "made before", "done"] * 2
    assert all(run["steps"] == run["total_steps"] == 300 for run in more)

    error = ddpg(*command[:4], *SHORT, "--set", "gamma=0.5", "--out", tmp_path, "--name", ".", code=2).stderr
    assert "--name '.' is no name" in error
    changed = ddpg(*command, "--eval-episodes", 3, code=2).stderr
    assert "seed-0 is a run with --eval-episodes 2, not 3; choose another --name" in changed


def test_the_command_that_is_stopped_goes_on(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "sb3_ddpg_custom.cli", "train", "pendulum", "--seeds", "0-2", "--jobs", "2"),
        *("--steps", "6000", "--eval-episodes", "2", "--checkpoint-every", "50", "--out", str(tmp_path), *SMALL),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    folder = tmp_path / "Pendulum-v1" / SETTING
    until = time.monotonic() + 60
    while time.monotonic() < until and not all(_steps(folder / f"seed-{seed}") > 100 for seed in (0, 1)):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "saving 2 runs" in err
    assert "to go on where this stopped:" in out
    assert "ddpg train pendulum --steps 6000" in out
    for seed in (0, 1):
        status = read_status(folder / f"seed-{seed}")
        assert status is not None
        assert status.state == "stopped"
        assert list((folder / f"seed-{seed}" / "state").glob("step-*.json"))
    assert not (folder / "seed-2" / "config.yml").exists()
    ended = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert [run["state"] for run in json.loads(ended.stdout)["runs"]] == ["done"] * 3
    assert "from step" in (folder / "seed-0" / "log.txt").read_text()


def _steps(run: Path) -> int:
    status = read_status(run)
    return 0 if status is None else status.step


def test_a_run_that_fails_stops_no_other(ddpg: Ddpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("breaks.py").write_text(BREAKS)
    command = ("train", "Breaks-v0", "--import", "breaks", "--seeds", "0-2", *SHORT, "--checkpoint-every", 30)
    printed = ddpg(*command, code=1)
    why = "training stopped at step 120: a wire came off (RuntimeError in breaks.py, line 15)"
    assert f"Breaks-v0 {SETTING} seed 1 failed: {why}" in printed.stderr
    assert f"failed: Breaks-v0 {SETTING} seed 1: {why}" in printed.stdout
    runs = [Path("runs/Breaks-v0", SETTING) / f"seed-{seed}" for seed in range(3)]
    assert [is_done(run, 300) for run in runs] == [True, False, True]
    assert why in (runs[1] / "log.txt").read_text()

    tried = json.loads(ddpg(*command, "--retry", 1, "--json", code=1).stdout)["runs"]
    assert [(run["state"], run["attempts"]) for run in tried] == [("made before", 0), ("failed", 2), ("made before", 0)]
    Path("mended").touch()
    ddpg(*command)
    ddpg("train", "Breaks-v0", "--import", "breaks", "--seed", 1, *SHORT, "--video", "none", "--threads", 1)
    assert_same_run(Path("runs/Breaks-v0/1"), runs[1])


def test_a_request_that_cannot_be_met_is_not_tried_again(
    ddpg: Ddpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    command = ("train", "CartPole-v1", "--seeds", "0", "--retry", 3, "--json")
    (run,) = json.loads(ddpg(*command, code=1).stdout)["runs"]
    assert run["attempts"] == 1
    assert "CartPole-v1" in run["reason"]


def test_a_killed_process_is_said_and_gone_on_with(tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "sb3_ddpg_custom.cli", "train", "pendulum", "--seeds", "0", "--steps", "6000"),
        *("--eval-episodes", "2", "--out", str(tmp_path), "--retry", "1", "--json", *SMALL),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = tmp_path / "Pendulum-v1" / SETTING / "seed-0"
    until = time.monotonic() + 60
    while time.monotonic() < until and _steps(run) < 100:
        time.sleep(0.05)
    status = read_status(run)
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert "its process was killed by SIGKILL; was the memory full?" in err
    assert json.loads(out)["runs"][0]["attempts"] == 2


@pytest.mark.skipif(sys.platform != "linux", reason="SIGKILL to a process group")
@pytest.mark.timeout(240)
def test_a_study_that_is_killed_ends_as_if_nobody_had() -> None:
    script = str(SCRIPTS / "study_kills.py")
    command = [sys.executable, script, "--kills", "3", "--runs", "3", "--steps", "1000"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = json.loads(ended.stdout)
    assert counts["faults"] == []
    assert counts["kills"] == 3


STUDY = """
envs: [pendulum]
seeds: [4, 2]
settings:
  plain:
  fast: {learning_rate: 1e-2, policy_kwargs: {net_arch: [8]}}
  other: other.yml
train: {steps: 200, eval_episodes: 1, eval_every: 100}
"""


def test_a_study_from_a_file(ddpg: Ddpg, tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("tau: 0.5\nn_timesteps: 7\nlearning_starts: 20")
    (tmp_path / "mine.yml").write_text(STUDY)
    runs = json.loads(ddpg("study", tmp_path / "mine.yml", "--out", tmp_path, "--json").stdout)["runs"]
    assert [(run["setting"], run["seed"], run["state"]) for run in runs] == [
        (setting, seed, "done") for setting in ("plain", "fast", "other") for seed in (4, 2)
    ]
    folder = tmp_path / "mine" / "Pendulum-v1"
    entry = yaml.safe_load((folder / "fast" / "seed-2" / "config.yml").read_text())["Pendulum-v1"]
    assert (entry["learning_rate"], entry["policy_kwargs"], entry["n_timesteps"]) == (0.01, {"net_arch": [8]}, 200)
    assert yaml.safe_load((folder / "other" / "seed-4" / "config.yml").read_text())["Pendulum-v1"]["tau"] == 0.5
    job = read_job(folder / "plain" / "seed-4")
    assert (job.env_id, job.setting, job.seed, job.total_steps) == ("Pendulum-v1", "plain", 4, 200)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"env": ["pendulum"]}, "`mine.yml`: unknown key 'env'; did you mean 'envs'?"),
        ({"envs": "pendulum"}, "`mine.yml`: envs is 'pendulum'; write a list such as [hopper, walker2d]"),
        ({"envs": ["pendulun"]}, "unknown environment 'pendulun'; did you mean 'pendulum'?"),
        ({"envs": ["pendulum", "Pendulum-v1"]}, "Pendulum-v1 with the setting default is there twice; name each once"),
        ({"seeds": "x"}, "`mine.yml`: seeds x is no list of seeds; write such as 0-9 or 0,3,5-7"),
        ({"seeds": None}, "`mine.yml`: seeds is missing; write such as 0-9 or 0,3,5-7"),
        ({"settings": {"a/b": {}}}, "setting 'a/b' is no name for a folder; leave out slashes"),
        ({"settings": {"a": 3}}, "`mine.yml`: settings.a is 3; write hyper-parameters, or a configuration's path"),
        ({"settings": {"a": {"tao": 3}}}, "`mine.yml`: tao: unknown key 'tao'; did you mean 'tau'?"),
        ({"settings": {"a": {"tau": 3}}}, "`mine.yml`: tau is 3; expected a number above 0 and at most 1"),
        ({"settings": {"a": "no.yml"}}, "no.yml"),
        ({"train": {"steps": -3}}, "`mine.yml`: train.steps is -3; expected a whole number of at least 1"),
        ({"train": {"step": 3}}, "`mine.yml`: unknown key train.step; did you mean 'steps'?"),
        ({"train": {"eval_episodes": 0}}, "`mine.yml`: train.eval_episodes is 0; it should be at least 1"),
        ({"train": {"video": "all"}}, "`mine.yml`: train.video is 'all'; --video all is neither none, cubic nor"),
        ({"train": {"seed": 3}}, "`mine.yml`: unknown key train.seed"),
        ({"name": "../x"}, "`mine.yml`: name '../x' is no name for a folder"),
        (None, "`mine.yml` holds None; a study has the keys name, envs, seeds, settings, train"),
    ],
)
def test_what_is_wrong_in_a_study_is_a_sentence(
    refused: Any, tmp_path: Path, change: dict[str, Any] | None, sentence: str
) -> None:
    document = None if change is None else {"envs": ["pendulum"], "seeds": "0-1", **change}
    path = tmp_path / "here" / ".." / "mine.yml"
    path.write_text(yaml.safe_dump(document))
    assert sentence in refused("study", path).replace("../mine.yml", "mine.yml")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("hopper",), "hopper is a second environment, and several need --seeds"),
        (("--jobs", "2"), "--jobs is for many runs; add --seeds, such as --seeds 0-4"),
        (("--compare", "a.yml"), "--compare is for many runs; add --seeds"),
        (("--seeds", "0", "--seed", "1"), "--seed 1 and --seeds 0 are both there; leave one of them out"),
        (("--seeds", "0", "--render"), "--render shows one run in a window"),
        (("--seeds", "0", "--jobs", "0"), "--jobs 0 is neither auto nor a whole number of at least 1"),
        (("--seeds", "0", "--on", "rey"), "--on rey is no place to compute; did you mean 'ray'?"),
        (("--seeds", "0", "--slurm", "partition=x"), "--slurm is for --on slurm; add that, or leave it out"),
        (("--seeds", "0", "--on", "slurm:local", "--slurm", "x"), "--slurm x is not such as partition=gpu"),
        (("--seeds", "4294967296"), "--seed 4294967296 is out of range"),
        (("--seeds", "0", "--compare", "x"), "--compare x is neither a .yml file, KEY=VALUE nor default"),
        (("--seeds", "0", "--compare", "a=1"), "--set a: unknown key 'a'"),
        (("--seeds", "0", "--compare", "x.yml", "--config", "y.yml"), "are both files; leave out --config"),
        (("--seeds", "0", "--name", "a/b"), "--name 'a/b' is no name for a folder"),
        (("--seeds", "0", "--set", "gamma=2"), "--set gamma is 2; expected a number from 0 to 1"),
    ],
)
def test_what_cannot_be_asked_for_is_a_sentence(refused: Any, options: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused("train", "pendulum", *options)


def test_a_folder_of_something_else_is_left_alone(ddpg: Ddpg, tmp_path: Path) -> None:
    run = tmp_path / "Pendulum-v1" / "default" / "seed-0"
    run.mkdir(parents=True)
    (run / "thesis.txt").write_text("precious")
    error = ddpg("train", "pendulum", "--seeds", "0", "--out", tmp_path, code=2).stderr
    assert "holds something else than a run of a study; choose another --name" in error
    (run / "job.json").write_text("[" * 100_000)
    assert (
        "is not what a study has written" in ddpg("train", "pendulum", "--seeds", "0", "--out", tmp_path, code=2).stderr
    )
    assert (run / "thesis.txt").read_text() == "precious"


def test_a_run_with_other_settings_inside_is_not_gone_on_with(ddpg: Ddpg, tmp_path: Path) -> None:
    """Its config.yml may have come from anywhere, and name classes to import."""
    command = ("train", "pendulum", "--seeds", "0", *SHORT, "--out", tmp_path)
    ddpg(*command)
    run = tmp_path / "Pendulum-v1" / SETTING / "seed-0"
    (run / "state" / "done").unlink()
    config = yaml.safe_load((run / "config.yml").read_text())
    config["Pendulum-v1"]["callback"] = ["antigravity.Fly"]
    (run / "config.yml").write_text(yaml.safe_dump(config))
    (ended,) = json.loads(ddpg(*command, "--json", code=1).stdout)["runs"]
    assert "has other settings than the study" in ended["reason"]


def test_the_board_fits_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "12")
    jobs = [
        Job(
            env_id="Pendulum-v1",
            setting="default",
            seed=seed,
            entry={"n_timesteps": 1000},
            source="pendulum.yml",
            folder=tmp_path / f"seed-{seed}",
            request=TrainRequest(env="pendulum"),
            start_folder=tmp_path,
        )
        for seed in range(20)
    ]
    for job in jobs:
        job.folder.mkdir()
    running = Status(state="training", step=250, total_steps=1000, steps_per_second=50.0, last_return=-3.25)
    write_status(jobs[7].folder, running)
    console = screen()
    board = Board(console, jobs)
    board._last_look = -100.0
    board.look([jobs[7]])
    with console.capture() as caught:
        console.print(board._table({jobs[7].folder}))
    lines = caught.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 12
    assert lines[1].split() == ["7", "running", "250", "25", "%", "-3.2", "50", "0:15"]
    assert "… 14 more" in lines[-2]
    assert lines[-1].strip() == "20 runs: 1 running, 19 waiting; about 6:35 left"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"state": 3', "[" * 50_000, "\xff"])
def test_a_damaged_status_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path) is None


def test_slurm_by_way_of_processes_here(ddpg: Ddpg, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    command = ("train", "pendulum", "--seeds", "0-1", *SHORT, "--json")
    ended = json.loads(ddpg(*command, "--on", "slurm:local", "--out", tmp_path / "slurm").stdout)["runs"]
    assert [run["state"] for run in ended] == ["done", "done"]
    ddpg(*command, "--out", tmp_path / "here")
    for seed in (0, 1):
        run = Path("Pendulum-v1", SETTING, f"seed-{seed}")
        assert_same_run(tmp_path / "here" / run, tmp_path / "slurm" / run)
    shutil.rmtree(tmp_path / "slurm")
