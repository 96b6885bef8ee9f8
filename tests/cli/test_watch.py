"""The screen of a training, and of runs that other processes make."""

import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Ddpg
from rich.console import Console

from sb3_ddpg_custom.cli.status import STATUS_FILE, Status, read_status, write_status
from sb3_ddpg_custom.cli.watching.live_facts import LiveFacts
from sb3_ddpg_custom.cli.watching.panel import bars, panel
from sb3_ddpg_custom.cli.watching.watch import screen_of, watch

WHOLE = Status(
    state="training",
    step=45_000,
    total_steps=200_000,
    steps_per_second=1240.0,
    last_return=1234.5,
    evaluation=1310.0,
    evaluated_at=40_000,
    best_evaluation=1402.0,
    returns=(10.0, None, 600.0, 1234.5),
    q_mean=312.0,
    q_realised=290.0,
    critic_loss=62.1,
    actor_loss=-312.0,
    film="videos/episode-000027.mp4",
    warning="q-overestimates: Q promises 480 where 240 came of it; try n_steps=3",
)


def drawn(what: Any, width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width, highlight=False, markup=False)
    console.print(what)
    lines: list[str] = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    return [line.rstrip() for line in lines]


def test_a_run_in_lines() -> None:
    assert drawn(panel(WHOLE, width=100), 100) == [
        "steps     45,000 of 200,000  ━━━━━━━━━━━━━━━━━━━━━━━━ 22 %  1,240 steps/s  2:05 left",
        "return    ▁▁▄█  1,234",
        "evaluated 1,310 at step 40,000, best 1,402",
        "Q         312.0, realised 290.0   losses Q 62.1  μ -312",
        "film      videos/episode-000027.mp4",
        "doctor    q-overestimates: Q promises 480 where 240 came of it",
        "          try n_steps=3",
    ]


@pytest.mark.parametrize("width", [20, 40, 80, 120])
def test_it_keeps_to_the_terminals_width(width: int) -> None:
    named = {"film": "[red]" + "x" * 300, "warning": "a\x1b[31mb\n" * 100}
    for status in (WHOLE, Status(state="starting"), Status(**{**vars(WHOLE), **named})):
        lines = drawn(panel(status, width=width), width)
        assert len(lines) in (5, 6, 7)
        assert all(len(line) <= width for line in lines)
        assert not any("\x1b" in line for line in lines)


def test_bars_of_equal_numbers_and_of_none() -> None:
    assert bars([2.0, 2.0]) == "▁▁"
    assert bars([None, float("inf")]) == "  "


def test_a_status_of_an_older_release_is_read(tmp_path: Path) -> None:
    write_status(tmp_path, WHOLE)
    status = read_status(tmp_path)
    assert status is not None
    assert (status.returns, status.warning) == (WHOLE.returns, WHOLE.warning)
    values = json.loads((tmp_path / STATUS_FILE).read_text())
    for name in ("returns", "q_mean", "film", "warning"):
        del values[name]
    (tmp_path / STATUS_FILE).write_text(json.dumps(values))
    status = read_status(tmp_path)
    assert status is not None
    assert (status.step, status.returns, status.film) == (45_000, (), None)


@pytest.mark.parametrize("wrong", [{"step": "many"}, {"returns": [[]]}, {"state": 3}, {"film": 3}, {"updated": True}])
def test_a_status_of_the_wrong_kind_is_none(tmp_path: Path, wrong: dict[str, Any]) -> None:
    write_status(tmp_path, WHOLE)
    values = json.loads((tmp_path / STATUS_FILE).read_text())
    (tmp_path / STATUS_FILE).write_text(json.dumps({**values, **wrong}))
    assert read_status(tmp_path) is None


def test_many_runs_are_a_table(tmp_path: Path) -> None:
    statuses = {
        tmp_path / "hopper" / name / "seed-0": Status(**{**vars(WHOLE), "state": state, "updated": updated})
        for name, state, updated in (
            ("plain", "done", 0.0),
            ("n3", "training", time.time()),
            ("all", "training", time.time() - 90),
            ("[red]", "failed", 0.0),
        )
    }
    lines = drawn(screen_of(statuses, width=140, height=40), 140)
    assert [line.split("  ")[0] for line in lines[:5]] == [
        *("run", "n3/seed-0", "all/seed-0", "plain/seed-0", "[red]/seed-0"),
    ]
    assert "silent for 1:30" in lines[2]
    assert "22 %" in lines[1]
    assert lines[1].endswith("▁▁▄█")
    short = drawn(screen_of(statuses, width=140, height=7), 140)
    assert "… 1 more" in short


def test_without_a_terminal_there_is_a_line_for_each_run(
    ddpg: Ddpg, tiny_run: Path, tmp_path: Path, refused: Any
) -> None:
    (line,) = ddpg("watch", tiny_run).stdout.splitlines()
    assert line.startswith(f"{tiny_run}: done, 100 of 100")
    assert "says how far it is" in refused("watch", tmp_path)
    assert "is no folder" in refused("watch", tmp_path / "nowhere")


def test_it_ends_with_the_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And shows those that begin meanwhile."""
    (tmp_path / "x").mkdir()
    write_status(tmp_path / "x", WHOLE)
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 2:
            (tmp_path / "y").mkdir()
            write_status(tmp_path / "y", WHOLE)
        if len(looks) == 4:
            for name in ("x", "y"):
                write_status(tmp_path / name, Status(**{**vars(WHOLE), "state": "done"}))

    monkeypatch.setattr("sb3_ddpg_custom.cli.watching.watch.time.sleep", sleep)
    monkeypatch.setattr("sb3_ddpg_custom.cli.watching.watch._SCAN_SECONDS", 0.0)
    console = Console(file=io.StringIO(), force_terminal=True, width=100, height=30)
    watch([tmp_path], console)
    assert len(looks) == 4
    shown = console.file.getvalue()  # type: ignore[attr-defined]
    assert "done" in shown
    assert "y" in shown


@pytest.mark.skipif(os.name != "posix", reason="asks for a process as POSIX does")
def test_a_killed_run_is_told_and_not_waited_for(
    ddpg: Ddpg, tiny_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    later = time.time() + 6
    shutil.copytree(tiny_run, tmp_path / "a")
    config = (tmp_path / "a" / "config.yml").read_text()
    (tmp_path / "a" / "config.yml").write_text(config.replace("imports: []", "imports: [os]"))
    for name, changes in {"a": {}, "b": {"state": "done"}, "c": {"state": "starting"}}.items():
        (tmp_path / name).mkdir(exist_ok=True)
        write_status(tmp_path / name, Status(**{**vars(WHOLE), "pid": dead.pid, **changes}))
    assert read_status(tmp_path / "a").now == "training"  # type: ignore[union-attr]  # it has only just said so
    monkeypatch.setattr("sb3_ddpg_custom.cli.status.time.time", lambda: later)
    shown = ddpg("watch", tmp_path).stdout
    assert f"{tmp_path / 'a'}: killed, 45,000 of 200,000" in shown
    assert f"{tmp_path / 'b'}: done" in shown
    assert shown.endswith(
        f"to go on with what was killed:\n  ddpg resume {tmp_path / 'a'} --import os\n"
        "killed before anything was saved: 1\n"
    )
    (tmp_path / "c" / "config.yml").write_text(config)
    said = ddpg("resume", tmp_path / "c", code=2).stderr
    assert "cannot go on, for there is no state in it; ddpg train begins it anew" in said


@pytest.mark.parametrize(
    "changes",
    [
        *({"pid": os.getpid()}, {"host": "elsewhere"}, {"pid": 10**30}, {"pid": -1}, {"pid": 0.5}),
        *({"pid": None}, {"pid": float("nan")}, {"updated": None}),
    ],
)
def test_what_may_be_alive_is_not_called_killed(monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any]) -> None:
    status = Status(**{**vars(WHOLE), "pid": 2**22 + 1, "updated": time.time() - 60, **changes})
    assert (status.now, status.is_under_way) == ("training", True)


def test_the_doctor_says_what_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    facts = LiveFacts({"noise_type": "normal", "noise_std": 0.1}, total_steps=5000)
    for step in range(100, 5001, 100):
        wrong = step <= 400 or step > 2000  # four checks, then none, then for good
        facts.write({"diagnosis/largest_input": 100.0 if wrong else 1.0, "train/other": 1.0}, {}, step)
        if 400 < step <= 2000:
            facts._points["diagnosis/largest_input"].clear()
        found = facts.sure_of(step)
        assert (found is not None) == (step >= 2500), step
    assert facts.sure_of(5000) is found
    assert found is not None
    assert found.rule == "observations-out-of-scale"
    assert facts.latest("train/other") is None


def test_a_doctor_who_stumbles_ends_no_training(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr("sb3_ddpg_custom.cli.watching.live_facts.findings", fails)
    printed = ddpg("train", "Tiny-v0", *small, "--out", tmp_path)
    assert "ZeroDivisionError" not in printed.stderr
    status = read_status(tmp_path / "Tiny-v0" / "1")
    assert status is not None
    assert (status.state, status.step, status.warning) == ("done", 100, None)


def test_a_training_says_what_is_wrong_and_keeps_its_returns(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path
) -> None:
    options = ("--steps", "400", "--set", "noise_type=null", "--out", tmp_path)
    seen: list[Status] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sb3_ddpg_custom.cli.watching.training_progress._STATUS_SECONDS", 0.0)
        patch.setattr(
            "sb3_ddpg_custom.cli.watching.training_progress.write_status", lambda _, status: seen.append(status)
        )
        printed = ddpg("train", "Tiny-v0", *small, *options)
    assert printed.stderr.count("doctor: nothing-explores: nothing new is tried: no noise is set") == 1
    warned = [status.warning is not None for status in seen]
    assert not any(warned[:30])
    assert warned[-3]
    last = seen[-1]
    assert (last.state, len(last.returns)) == ("done", 50)
    assert last.evaluated_at == 400
    with np.load(tmp_path / "Tiny-v0" / "1" / "rewards.npz") as file:
        assert last.returns[2] == pytest.approx(file["rewards"][0])  # 20 steps of 400
