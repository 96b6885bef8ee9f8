"""How commands end: signals at any moment, and what killed ones leave behind."""

import io
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Ddpg
from helpers.zips import assert_same_run

from sb3_ddpg_custom.checkpoint import replacing
from sb3_ddpg_custom.cli.app import main
from sb3_ddpg_custom.cli.environments.registry import make_env
from sb3_ddpg_custom.cli.signals import ENDING
from sb3_ddpg_custom.cli.training.callbacks import Evaluation


@pytest.fixture
def no_signal_is_ignored() -> Any:
    """Whoever runs the tests in the background may have told them to ignore some."""
    before = {number: signal.signal(number, signal.default_int_handler) for number in ENDING}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.usefixtures("no_signal_is_ignored")
def test_a_signal_while_environments_are_built_leaves_no_folder(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    """SIGTERM used to leave an empty run folder, and Ctrl-C not a word."""

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(number)
        return make_env(*arguments)

    monkeypatch.setattr("sb3_ddpg_custom.cli.environments.vectorised.make_env", interrupted)
    printed = ddpg("train", "Tiny-v0", "--video=none", "--out", tmp_path, *small, code=128 + number)
    assert printed.stderr == f"ddpg: interrupted by {signal.Signals(number).name}\n"
    assert list((tmp_path / "Tiny-v0").iterdir()) == []


@pytest.mark.parametrize("number", ENDING)
@pytest.mark.usefixtures("no_signal_is_ignored")
def test_a_signal_while_evaluating_is_one_line(
    ddpg: Ddpg, tiny_run: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    monkeypatch.setattr("sb3_ddpg_custom.cli.evaluation.evaluate.play", lambda *_, **__: signal.raise_signal(number))
    printed = ddpg("evaluate", "--checkpoint", tiny_run, code=128 + number)
    assert printed.stderr == f"ddpg: interrupted by {signal.Signals(number).name}\n"
    assert printed.stdout == ""


def start(arguments: list[str], folder: Path, **kwargs: Any) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "sb3_ddpg_custom.cli", *arguments]
    return subprocess.Popen(command, cwd=folder, stdin=subprocess.DEVNULL, text=True, **kwargs)


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


LONG = ["train", "pendulum", "--steps=1000000", "--video=none", "--set=learning_starts=999999", "--eval-every=1000"]


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows closes terminals in another way")
def test_a_terminal_that_is_closed_costs_nothing(tmp_path: Path) -> None:
    """It used to end the training: nothing saved, nothing said."""
    main, terminal = os.openpty()
    process = start(
        LONG,
        tmp_path,
        stdout=terminal,
        stderr=terminal,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_DFL),  # who runs the tests may ignore it
    )
    try:
        os.close(terminal)
        run = tmp_path / "runs" / "Pendulum-v1" / "1"
        wait_for(lambda: (run / "best.zip").exists())
        os.close(main)  # from here on, printing fails
        process.send_signal(signal.SIGHUP)
        assert process.wait(60) == 128 + signal.SIGHUP
    finally:
        process.kill()
    steps = [int(path.stem.removeprefix("step_")) for path in (run / "checkpoints").iterdir()]
    assert any(step % 1000 for step in steps)  # the model as it was, beside those of the evaluations


def test_a_pipe_without_a_reader_costs_nothing(tmp_path: Path) -> None:
    """``ddpg train … 2>&1 | head`` used to end the training with the pipe."""
    process = start([*LONG, "--steps=3000"], tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    assert process.stderr is not None
    process.stderr.readline()
    process.stderr.close()
    assert process.wait(60) == 0
    assert (tmp_path / "runs" / "Pendulum-v1" / "1" / "final.zip").exists()


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_a_report_that_cannot_be_printed_names_the_model(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = start([*LONG, "--steps=300"], tmp_path, stdout=full, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors.splitlines()[-1].startswith("ddpg: the training is over and the model is in ")
    assert "final.zip" in errors.splitlines()[-1]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has it")
def test_what_cannot_be_printed_at_all_is_a_sentence(tmp_path: Path) -> None:
    with Path("/dev/full").open("w") as full:
        process = start(["config", "pendulum"], tmp_path, stdout=full, stderr=subprocess.PIPE)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == 1
    assert errors == "ddpg: No space left on device: the disk, or whatever the output goes to, is full\n"


def test_where_a_terminal_lacks_a_sign_the_result_is_printed_all_the_same(
    tiny_run: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All episodes used to be played, and their result lost."""
    ascii_only = io.TextIOWrapper(io.BytesIO(), "ascii")
    monkeypatch.setattr(sys, "stdout", ascii_only)
    monkeypatch.setattr(sys, "argv", ["ddpg", "evaluate", "--checkpoint", str(tiny_run), "--episodes", "2"])
    with pytest.raises(SystemExit) as left:
        main()
    assert left.value.code == 0
    ascii_only.flush()
    printed = ascii_only.buffer.getvalue().decode("ascii")
    assert re.search(r"mean return +-\d+\.\d+ \? \d", printed)


@pytest.mark.usefixtures("no_signal_is_ignored")
def test_the_command_to_go_on_goes_on_exactly_with_every_option(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps = 0

    def interrupt(_: Any) -> bool:
        nonlocal steps
        steps += 1
        if steps == 30:
            signal.raise_signal(signal.SIGTERM)
        return True

    monkeypatch.setattr("sb3_ddpg_custom.cli.watching.training_progress.TrainingProgress._on_step", interrupt)
    options = ["--eval-every=50", "--eval-episodes=2", "--eval-max-steps=15", "--video=none", "--device=cpu"]
    asked = ["train", "Tiny-v0", "--out", tmp_path, *small, *options, "--threads=1", "--import=string", "--name=x"]
    printed = ddpg(*asked, code=143).stdout
    go_on = next(line for line in printed.splitlines() if " resume " in line)
    run = tmp_path / "Tiny-v0" / "x"
    assert go_on.split() == ["ddpg", "resume", str(run), "--import", "string"]
    monkeypatch.undo()
    ddpg(*go_on.split()[1:])
    ddpg(*asked[:-1], "--name=whole")
    assert_same_run(tmp_path / "Tiny-v0" / "whole", run)


def test_what_a_killed_run_left_half_written_goes_with_the_next_command(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path
) -> None:
    killed = tmp_path / "Tiny-v0" / "1"
    (killed / "checkpoints").mkdir(parents=True)
    (killed / "videos").mkdir()
    (killed / "state").mkdir()
    left = [
        killed / ".best.zip.999999999.partial",
        killed / "checkpoints" / ".step_000000050.zip.999999999.partial",
        killed / ".rewards.npz.tmp",
        killed / ".rewards.npz.lock",
        killed / ".run.lock",
        killed / "state" / ".state-100.zip.999999999.partial",
        killed / "videos" / ".episode-000000.999999999-0.partial.mp4",
    ]
    kept = [killed / "rewards.npz.journal", killed / ".notes.partial", killed / "best.zip"]
    for path in (*left, *kept):
        path.write_bytes(b"half")
        os.utime(path, (0, 0))
    ddpg("train", "Tiny-v0", "--out", tmp_path, "--quiet", *small)
    assert [path for path in left if path.exists()] == []
    assert [path for path in kept if not path.exists()] == []


@pytest.mark.skipif(sys.platform == "win32", reason="an open file cannot be deleted there")
def test_what_a_live_process_is_writing_stays(tmp_path: Path) -> None:
    script = (
        "import sys, time, pathlib\n"
        "from sb3_ddpg_custom.checkpoint import replacing\n"
        "with replacing(pathlib.Path('model.zip')) as file:\n"
        "    file.write(b'whole'); file.flush(); print('writing', flush=True); sys.stdin.readline()\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script], cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "writing\n"
    partial = next(tmp_path.glob(".model.zip.*.partial"))
    os.utime(partial, (0, 0))
    with replacing(tmp_path / "other") as file:
        file.write(b"")
    assert partial.exists()
    writer.communicate("\n")
    assert (tmp_path / "model.zip").read_bytes() == b"whole"


@pytest.mark.parametrize("brief", [0.0, 100.0])
@pytest.mark.parametrize("at", [50, 100])
@pytest.mark.parametrize("options", [(), ("--n-envs", 2, "--set", "train_freq=3")])
def test_a_signal_in_the_middle_of_an_evaluation_loses_nothing(
    ddpg: Ddpg,
    small: tuple[str, ...],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[object, ...],
    at: int,
    brief: float,
) -> None:
    """The command to go on used to be printed where no state had been saved."""

    step = Evaluation._on_evaluation_step

    def interrupted(evaluation: Any, finished: int) -> None:
        if evaluation.num_timesteps >= at and evaluation.signals.received is None:
            signal.raise_signal(signal.SIGTERM)
        step(evaluation, finished)

    train = ("train", "Tiny-v0", "--out", tmp_path, *small, *options)
    with monkeypatch.context() as patch:
        patch.setattr(Evaluation, "_on_evaluation_step", interrupted)
        patch.setattr("sb3_ddpg_custom.cli.training.callbacks._BRIEF_SECONDS", brief)
        printed = ddpg(*train, "--name", "stopped", code=128 + signal.SIGTERM).stdout
    stopped, whole = tmp_path / "Tiny-v0" / "stopped", tmp_path / "Tiny-v0" / "whole"
    assert f"the run is saved. To go on with it:\n  ddpg resume {stopped}" in printed
    ddpg("resume", stopped)
    ddpg(*train, "--name", "whole")
    assert_same_run(whole, stopped)
    with np.load(stopped / "evaluations.npz") as own, np.load(whole / "evaluations.npz") as other:
        for name in other.files:
            np.testing.assert_array_equal(own[name], other[name])


def test_where_nothing_was_saved_nothing_is_promised(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Evaluation, "_evaluate", lambda self: signal.raise_signal(signal.SIGTERM))
    episodes = ("--set", "train_freq=[1, episode]", "--eval-every", 5)
    shown = ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *episodes, code=128 + signal.SIGTERM).stdout
    assert "stopped early by SIGTERM, before there was a state to go on from" in shown
    assert "ddpg resume" not in shown
