"""``--vec-env subproc``: the same results as in one process, the same sentences, and no process that stays behind."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import yaml
from helpers import Ddpg
from helpers.zips import assert_same_run

from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.processes.order import orders
from sb3_ddpg_custom.cli.environments.single import TrainingEnv
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.wrappers import load_statistics

WALK = ("Walk-v0", "--import", "helpers.process_envs", "--n-envs", 2, "--video", "none", "--checkpoint-every", 20)
ON_STEP = "sb3_ddpg_custom.cli.watching.training_progress.TrainingProgress._on_step"
Train = Callable[..., Path]


@pytest.fixture
def train(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> Train:
    """Train on ``Walk-v0`` in two envs; the run folder, with what was printed in ``printed``."""

    def call(name: str, *options: object, code: int = 0) -> Path:
        printed = ddpg("train", *WALK, "--out", tmp_path, *small, "--name", name, *options, code=code)
        folder = tmp_path / "Walk-v0" / name
        if folder.exists():
            (folder / "printed").write_text(printed.stderr)
        return folder

    return call


def assert_same_files(one: Path, other: Path) -> None:
    assert_same_run(one, other)
    ours, theirs = load_statistics(one / "rewards.npz"), load_statistics(other / "rewards.npz")
    for name in ("rewards", "lengths", "timesteps", "env", "qmax"):
        np.testing.assert_array_equal(ours[name], theirs[name])
    assert monitored(one) == monitored(other)
    assert len(monitored(one)) > 1
    assert sorted(path.name for path in one.glob("rewards*")) == ["rewards.npz"]


def monitored(run: Path) -> list[list[str]]:
    lines = [path.read_text().splitlines()[1:] for path in sorted(run.glob("*.monitor.csv"))]
    return [[line.rpartition(",")[0] for line in file] for file in lines]


@pytest.mark.parametrize(
    "options",
    [
        (),
        ("--n-envs", 3, "--set", "normalize=true", "--set", "frame_stack=2", "--set", "n_steps=3"),
        ("--set", "env_wrapper=gymnasium.wrappers.TimeAwareObservation", "--set", "vec_env_wrapper=stable_baselines3."
         "common.vec_env.VecCheckNan"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:.*Box (low|high)'s precision lowered")
def test_the_results_are_those_of_one_process(train: Train, options: tuple[object, ...]) -> None:
    assert_same_files(train("dummy", *options), train("subproc", "--vec-env", "subproc", *options))


@pytest.mark.parametrize(("began", "goes_on"), [("subproc", "subproc"), ("dummy", "subproc"), ("subproc", "dummy")])
def test_a_killed_run_goes_on_either_way(
    ddpg: Ddpg, train: Train, monkeypatch: pytest.MonkeyPatch, began: str, goes_on: str
) -> None:
    def stop(progress: Any) -> bool:
        if progress.num_timesteps >= 73:
            raise RuntimeError("out of memory, say")
        return True

    with monkeypatch.context() as patch:
        patch.setattr(ON_STEP, stop)
        run = train("killed", "--vec-env", began, "--set", "normalize=true", code=1)
    other = () if began == goes_on else ("--vec-env", goes_on)
    assert "not exactly" not in ddpg("resume", run, "--import", "helpers.process_envs", *other).stderr
    assert yaml.safe_load((run / "config.yml").read_text())["run"]["vec_env"] == goes_on
    assert_same_files(train("whole", "--set", "normalize=true"), run)


def test_a_run_whose_process_was_killed_goes_on(ddpg: Ddpg, train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    def kill(progress: Any) -> bool:
        if progress.num_timesteps == 72:
            progress.training_env.unwrapped._envs[1].process.kill()
        return True

    with monkeypatch.context() as patch:
        patch.setattr(ON_STEP, kill)
        run = train("killed", "--vec-env", "subproc", code=1)
    error = (run / "printed").read_text().splitlines()[-1]
    assert error.startswith(
        "ddpg: training stopped at step 72: the process of env 1 was ended by SIGKILL; the model as"
    )
    ddpg("resume", run, "--import", "helpers.process_envs")
    assert_same_files(train("whole"), run)


@pytest.mark.parametrize("fails", ["raise", "eof", "exit", "nan"])
def test_an_error_is_the_sentence_of_one_process(train: Train, fails: str) -> None:
    options = ("--set", f"env_kwargs.fails={fails}", "--set", "env_kwargs.at=40")
    errors = []
    for kind in ("dummy", "subproc"):
        run = train(kind, "--vec-env", kind, *options, code=1)
        errors.append((run / "printed").read_text().splitlines()[-1].replace(str(run), "RUN"))
        assert len(load_statistics(run / "rewards.npz")["rewards"]) == 3  # two, and the one that ended before
    assert errors[0] == errors[1]
    assert errors[0].startswith("ddpg: training stopped at step 78: ")


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [
        ("os._exit", "the process of env 1 ended by itself, with exit code 3;"),
        ("info", "what an environment answers has to reach another process with --vec-env subproc, and this cannot ("),
    ],
)
def test_what_only_processes_can_do_wrong(train: Train, fails: str, sentence: str) -> None:
    options = ("--set", f"env_kwargs.fails={fails}", "--set", "env_kwargs.at=30")
    run = train("run", "--vec-env", "subproc", *options, code=1)
    assert (run / "printed").read_text().splitlines()[-1].startswith(f"ddpg: training stopped at step 58: {sentence}")


def test_an_env_that_cannot_be_made_there_leaves_no_folder(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    options = ("--out", tmp_path, *small, "--vec-env", "subproc", "--set", "env_kwargs.fails=make")
    error = ddpg("train", *WALK, *options, code=2).stderr
    assert "cannot be made with env_kwargs {'fails': 'make'} (there is one simulator only (RuntimeError in " in error
    assert "process_envs.py, line " in error
    assert error.count("\n") == 1
    assert list((tmp_path / "Walk-v0").iterdir()) == []


def test_films_are_made_there_and_their_end_is_told(train: Train) -> None:
    films = []
    for kind in ("dummy", "subproc"):
        run = train(kind, "--vec-env", kind, "--video", 1)
        films.append({path.name for path in (run / "videos").iterdir()})
    assert films[0] == films[1] > {"episode-000000.mp4", "episode-000001.mp4"}
    options = ("--video", 1, "--set", "env_kwargs.fails=render", "--set", "env_kwargs.at=30")
    printed = (train("failing", "--vec-env", "subproc", *options) / "printed").read_text()
    assert printed.count("no videos from here on: drawing failed (no screen (OSError in ") == 1


def test_an_env_that_fails_to_close_is_told(train: Train) -> None:
    printed = (train("run", "--vec-env", "subproc", "--set", "env_kwargs.fails=close") / "printed").read_text()
    assert "could not be closed: the simulator is lost (ValueError in " in printed


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    class Here(gym.Env[Any, Any]):
        observation_space = action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

        def __init__(self, size: Any = None, render_mode: str | None = None) -> None:
            self.render_mode = render_mode

        def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
            super().reset(seed=seed)
            return np.zeros(1, np.float32), {}

        def step(self, action: Any) -> Any:
            return np.zeros(1, np.float32), 0.0, False, False, {}

    gym.register("Here-v0", lambda **kwargs: Here(**kwargs), max_episode_steps=5, disable_env_checker=True)
    lock = threading.Lock()  # what cannot be pickled
    gym.register("Locked-v0", lambda **_: Here(lock), max_episode_steps=5, disable_env_checker=True)

    def elsewhere(**_: Any) -> Any:
        return Here()

    elsewhere.__module__, elsewhere.__qualname__ = "nowhere_else", "elsewhere"
    monkeypatch.setitem(sys.modules, "nowhere_else", ModuleType("nowhere_else"))
    monkeypatch.setattr(sys.modules["nowhere_else"], "elsewhere", elsewhere, raising=False)
    gym.register("Elsewhere-v0", elsewhere, max_episode_steps=5, disable_env_checker=True)
    yield
    del gym.registry["Here-v0"], gym.registry["Locked-v0"], gym.registry["Elsewhere-v0"]


@pytest.mark.usefixtures("here")
def test_envs_that_only_this_process_knows(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    options = ("--vec-env", "subproc", "--n-envs", 2, "--video", "none", "--out", tmp_path, *small)
    ddpg("train", "Here-v0", *options)
    error = ddpg("train", "Locked-v0", *options, code=2).stderr
    assert error.startswith("ddpg: --vec-env subproc: Locked-v0 cannot be sent to another process (")
    error = ddpg("train", "Elsewhere-v0", *options, code=2).stderr
    assert "Elsewhere-v0 is registered where the training runs, and not in the processes of --vec-env subproc" in error


def test_settings_that_cannot_be_sent(tmp_path: Path) -> None:
    settings = Settings(n_timesteps=1)
    env = TrainingEnv(
        env_id="Walk-v0", settings=settings, folder=tmp_path, video=lambda _: True, render=False, goes_on=False
    )
    with pytest.raises(UsageError, match="--vec-env subproc: Walk-v0 cannot be sent to another process with these set"):
        orders(env, 2, imports=("helpers.process_envs",), seed=0)


def test_the_option_is_kept_and_repeated(ddpg: Ddpg, train: Train) -> None:
    assert "--vec-env forked is neither dummy nor subproc" in ddpg("train", *WALK, "--vec-env", "forked", code=2).stderr
    run = train("run", "--vec-env", "subproc", "--steps", 40)
    facts = yaml.safe_load((run / "config.yml").read_text())["run"]
    assert facts["vec_env"] == "subproc"
    assert "--vec-env subproc" in facts["repeat_with"]


def started(folder: Path, *options: object) -> "subprocess.Popen[str]":
    """Begin a training in a process group of its own, as a shell does, and wait for a checkpoint."""
    command = [sys.executable, "-m", "sb3_ddpg_custom.cli", "train", *WALK, "--vec-env", "subproc", "--seed", 7]
    process = subprocess.Popen(
        [*map(str, command), "--steps", "100000", "--eval-every", "100000", "--name", "run", *map(str, options)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not any((folder / "runs/Walk-v0/run/state").glob("step-*.json")):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.02)
    return process


def descendants(pid: int) -> set[int]:
    parents = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found = {pid}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {pid}


def are_gone(pids: set[int], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while any(Path(f"/proc/{pid}/stat").exists() for pid in pids) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not any(Path(f"/proc/{pid}/stat").exists() for pid in pids)


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_ctrl_c_reaches_every_process_and_the_state_is_saved(tmp_path: Path) -> None:
    """The terminal's SIGINT goes to the whole group: SB3's processes end with it, and their episodes with them."""
    process = started(tmp_path)
    try:
        processes = descendants(process.pid)
        assert len(processes) >= 4  # a server, what cleans up behind it, two envs
        os.killpg(process.pid, signal.SIGINT)
        printed, _ = process.communicate(timeout=60)
        assert process.returncode == 130
        assert "ddpg resume runs/Walk-v0/run --import helpers.process_envs" in printed
        assert "Traceback" not in printed
        assert are_gone(processes, 10)
    finally:
        process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_no_process_outlives_a_killed_training(tmp_path: Path) -> None:
    """Not in the midst of a slow step either, which would write into files that somebody goes on with."""
    process = started(tmp_path, "--checkpoint-every", 2, "--set", "env_kwargs.fails=slow", "--set", "env_kwargs.at=10")
    time.sleep(1)  # it is in that step by now
    processes = descendants(process.pid)
    process.kill()
    assert are_gone(processes, 5)
    printed, _ = process.communicate(timeout=10)
    assert "Traceback" not in printed
