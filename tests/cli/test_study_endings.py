"""How runs of many end: stopped, failed, killed, moved; and that they end as if nothing of it had happened."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import SMALL
from helpers import Ddpg
from helpers.studies import SETTING, SHORT, steps_of, wait_until
from helpers.zips import assert_same_run

from sb3_ddpg_custom.cli.experiments.engines.interface import Ended
from sb3_ddpg_custom.cli.experiments.plan import Setting, plan_jobs, write_job
from sb3_ddpg_custom.cli.run_folder import is_done
from sb3_ddpg_custom.cli.status import read_status
from sb3_ddpg_custom.cli.training.options import TrainRequest

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


@pytest.mark.long
@pytest.mark.parametrize("engine", ["local", "slurm:local", "ray"])
def test_the_command_that_is_stopped_goes_on(tmp_path: Path, engine: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was stopped on any engine goes on here."""
    monkeypatch.setenv("RAY_worker_niceness", "0")  # it steps back behind other tests by itself
    pytest.importorskip({"ray": "ray", "slurm:local": "submitit"}.get(engine, "sys"))
    command = [
        *(sys.executable, "-m", "sb3_ddpg_custom.cli", "train", "pendulum", "--seeds", "0-2", "--jobs", "2"),
        *("--steps", "3000", "--eval-episodes", "2", "--eval-max-steps", "20", "--checkpoint-every", "50"),
        *("--out", str(tmp_path), *SMALL),
    ]
    # Ctrl-C in a terminal reaches every process of the group.
    process = subprocess.Popen(
        [*command, "--on", engine], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    folder = tmp_path / "Pendulum-v1" / SETTING
    wait_until(lambda: all(steps_of(folder / f"seed-{seed}") > 100 for seed in (0, 1)))
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "saving 2 runs" in err
    assert "failed" not in err + out
    assert "to go on where this stopped:" in out
    assert "ddpg train pendulum --steps 3000" in out
    for seed in (0, 1):
        status = read_status(folder / f"seed-{seed}")
        assert status is not None
        assert status.state == "stopped"
        assert list((folder / f"seed-{seed}" / "state").glob("step-*.json"))
    assert not (folder / "seed-2" / "config.yml").exists()
    ended = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert [run["state"] for run in json.loads(ended.stdout)["runs"]] == ["done"] * 3
    assert "from step" in (folder / "seed-0" / "log.txt").read_text()


@pytest.mark.long
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
        *("--eval-episodes", "2", "--eval-max-steps", "20", "--out", str(tmp_path), "--retry", "1", "--json", *SMALL),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    run = tmp_path / "Pendulum-v1" / SETTING / "seed-0"
    wait_until(lambda: steps_of(run) > 100)
    status = read_status(run)
    assert status is not None
    os.kill(status.pid, signal.SIGKILL)
    out, err = process.communicate(timeout=100)
    assert process.returncode == 0, err
    assert "its process was killed by SIGKILL; was the memory full?" in err
    assert json.loads(out)["runs"][0]["attempts"] == 2


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="SIGKILL to a process group")
@pytest.mark.timeout(240)
def test_a_study_that_is_killed_ends_as_if_nobody_had() -> None:
    script = str(SCRIPTS / "study_kills.py")
    command = [sys.executable, script, "--kills", "3", "--runs", "2", "--steps", "800"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = json.loads(ended.stdout)
    assert counts["faults"] == []
    assert counts["kills"] == 3


@pytest.mark.long
def test_slurm_by_way_of_processes_here(ddpg: Ddpg, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    command = ("train", "pendulum", "--seeds", "0-1", *SHORT, "--json")
    ended = json.loads(ddpg(*command, "--on", "slurm:local", "--out", tmp_path / "slurm").stdout)["runs"]
    assert [run["state"] for run in ended] == ["done", "done"]
    ddpg(*command, "--out", tmp_path / "here")
    for seed in (0, 1):
        run = Path("Pendulum-v1", SETTING, f"seed-{seed}")
        assert_same_run(tmp_path / "here" / run, tmp_path / "slurm" / run)


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_job_that_slurm_preempts_goes_on_from_where_it_was(ddpg: Ddpg, tmp_path: Path) -> None:
    """The wait for the run used to hold a lock that stopping it wants, so that the job never came back."""
    pytest.importorskip("submitit")
    from sb3_ddpg_custom.cli.experiments.engines.slurm import Slurm

    overrides = tuple(word.removeprefix("--set=") for word in SMALL)
    template = TrainRequest(
        env="pendulum",
        out=tmp_path,
        steps=6000,
        video="none",
        checkpoint_every=200,
        eval_episodes=2,
        eval_max_steps=20,
        threads=1,
    )
    (job,) = plan_jobs(template, ["pendulum"], [Setting(name="small", overrides=overrides)], [0])
    write_job(job)
    engine = Slurm([], at_once=None, threads=1, local=True, logs=tmp_path / "slurm")
    engine.submit(job)
    wait_until(lambda: steps_of(job.folder) > 1000)
    status = read_status(job.folder)
    assert status is not None
    its_job = Path(f"/proc/{status.pid}/stat").read_text().rpartition(")")[2].split()[1]
    os.kill(int(its_job), signal.SIGUSR2)  # as Slurm does
    ended: list[Ended] = []

    def has_ended() -> bool:
        ended.extend(engine.ended())
        return bool(ended)

    wait_until(has_ended)
    engine.close()
    assert (ended[0].code, ended[0].reason) == (0, None)
    assert "from step" in (job.folder / "log.txt").read_text()
    options = (
        "--steps",
        6000,
        "--checkpoint-every",
        200,
        "--eval-episodes",
        2,
        "--eval-max-steps",
        20,
        "--threads",
        1,
        "--seed",
        0,
    )
    ddpg("train", "pendulum", *options, *SMALL, "--video", "none", "--out", tmp_path / "whole")
    assert_same_run(tmp_path / "whole" / "Pendulum-v1" / "1", job.folder)


IMMENSE = """
import gymnasium as gym
from gymnasium.envs.classic_control import PendulumEnv

class Immense(PendulumEnv):
    def reset(self, *, seed=None, options=None):
        self.factor = 1e30 if seed == 1 else getattr(self, "factor", 1.0)
        return super().reset(seed=seed)

    def step(self, action):
        observation, reward, *others = super().step(action)
        return observation, reward * self.factor, *others

gym.register("Immense-v0", Immense, max_episode_steps=50)
"""


def test_updates_that_come_out_as_no_numbers_fail_one_run(
    ddpg: Ddpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("immense.py").write_text(IMMENSE)
    command = ("train", "Immense-v0", "--import", "immense", "--seeds", "0-1", *SHORT, "--json")
    runs = json.loads(ddpg(*command, code=1).stdout)["runs"]
    assert [run["state"] for run in runs] == ["done", "failed"]
    assert "training stopped at step" in runs[1]["reason"]
    assert "the batch is in" in runs[1]["reason"]
