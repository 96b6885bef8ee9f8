"""``ddpg bench`` as a command: options, table, errors."""

import importlib.util
import io
import json
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
import torch as th
from helpers import Ddpg
from helpers.bench_figures import NOT_COMPILED, measured
from rich.console import Console

from sb3_ddpg_custom.cli.bench import measure as benchmark
from sb3_ddpg_custom.cli.bench.figures import summarise
from sb3_ddpg_custom.cli.bench.report import print_table
from sb3_ddpg_custom.cli.errors import UsageError

pytestmark = pytest.mark.usefixtures("a_processor_that_is_used_well")


@pytest.mark.long
def test_a_real_run(ddpg: Ddpg, tmp_path: Path) -> None:
    path = tmp_path / "new" / "bench.json"
    options = ("--case", "C1", "--rounds", 1, "--segment-seconds", 0.02)
    printed = ddpg("bench", *options, "--json", path)
    result = json.loads(path.read_text())
    assert list(result) == ["machine", "threads", "rounds", "segment_seconds", "cases"]
    assert result["machine"].keys() >= {"processor", "cpus", "torch", "stable-baselines3", "sb3-ddpg-custom"}
    assert (result["threads"], result["rounds"], result["segment_seconds"]) == (1, 1, 0.02)
    (case,) = result["cases"]
    assert (case["name"], case["description"]) == ("C1", "Pendulum-v1, batch 64, net [64, 64]")
    ours, *others, sb3, floor = case["contenders"]
    assert [one["name"] for one in case["contenders"]] == ["ours", *NOT_COMPILED, "SB3", "floor"]
    for agent in (ours, *others, sb3):
        assert agent["rss_bytes"] > 2**20
        assert agent["steps_per_second"] > 0
        assert agent["floor_fraction"] > 0
        assert agent["rounds"][0].keys() == {"position", "steps", "steps_seconds", "updates", "updates_seconds"}
    # Of a Pendulum transition: s, s' of 3 floats, a, r of one; two flags, which SB3 keeps as floats.
    assert (ours["bytes_per_transition"], sb3["bytes_per_transition"]) == (36, 40)
    assert sb3["times_baseline"] == {"median": 1.0, "low": 1.0, "high": 1.0}
    assert (floor["steps_per_second"], floor["times_baseline"], floor["floor_fraction"]) == (None, None, 1.0)
    assert len(floor["rounds"]) == 1
    assert printed.stderr == "measuring C1\n"
    for word in ("ours", "SB3", "floor", "C1: Pendulum-v1, batch 64, net [64, 64]", f"torch {th.__version__}"):
        assert word in printed.stdout


def fake_result(**options: Any) -> benchmark.BenchResult:
    one = summarise(measured("ours", [0.001], [0.0005]), baseline=None, floor=None)
    case = benchmark.CaseResult(name="C1", description="something", contenders=[one])
    return benchmark.BenchResult(
        machine=benchmark._machine(), threads=options["threads"], rounds=1, segment_seconds=1.0, cases=[case]
    )


def test_what_the_options_become(ddpg: Ddpg) -> None:
    with mock.patch.object(benchmark, "measure", side_effect=fake_result) as called:
        printed = ddpg("bench", "--case", "c2", "--threads", 2, "--precision", "bfloat16", "--json", "-")
    expected = {"threads": 2, "rounds": 5, "segment_seconds": 1.0, "precision": "bfloat16"}
    assert called.call_args.kwargs.items() >= {"cases": ["C2"], **expected}.items()
    assert json.loads(printed.stdout)["cases"][0]["contenders"][0]["steps_per_second"] == pytest.approx(1000)


def test_the_table_has_these_cells() -> None:
    sb3 = measured("SB3", [0.004, 0.012, 0.004], [0.002, 0.002, 0.002])
    ours = measured("ours", [0.001, 0.001, 0.002], [0.0005, 0.0005, 0.0005])
    floor = measured("floor", [None] * 3, [0.0001, 0.0002, 0.0003])
    contenders = [summarise(one, baseline=sb3, floor=floor) for one in (ours, sb3, floor)]
    case = benchmark.CaseResult(name="C1", description="a small one", contenders=contenders)
    machine = {"processor": "Z80", "cpus": 1, "torch": "2", "stable-baselines3": "3", "sb3-ddpg-custom": "4"}
    result = benchmark.BenchResult(machine=machine, threads=1, rounds=3, segment_seconds=1.0, cases=[case])
    console = Console(width=80, file=io.StringIO())
    with console.capture() as capture:
        print_table(result, console)
    lines = capture.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert [" ".join(line.split()) for line in lines[2:7]] == [
        "C1 ours 1,000 4.00 (2.00–12.0) 0.500 40 % 1 36",  # noqa: RUF001
        "SB3 250 1.00 (1.00–1.00) 2.000 10 % 1 36",  # noqa: RUF001
        "floor – – 0.200 100 % 1 36",  # noqa: RUF001
        "",
        "C1: a small one",
    ]
    assert lines[-1] == "Z80, 1 CPU, 1 thread each; torch 2, stable-baselines3 3, sb3-ddpg-custom 4"


def test_without_mujoco_one_line_says_how_to_get_it(ddpg: Ddpg) -> None:
    def find(name: str) -> object:
        return None if name == "mujoco" else importlib.util.find_spec(name)

    remedy = "C3 (HalfCheetah-v5) needs mujoco: pip install 'sb3-ddpg-custom[mujoco]'"
    with (
        mock.patch("sb3_ddpg_custom.cli.bench.cases.find_spec", find),
        mock.patch.object(benchmark, "measure", side_effect=fake_result) as called,
    ):
        assert ddpg("bench").stderr == f"left out: {remedy}\n"
        assert called.call_args.kwargs["cases"] == ["C1", "C2"]
        assert ddpg("bench", "--case", "C3", code=2).stderr == f"ddpg: {remedy}\n"


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--case", "C9"], "--case C9 does not exist; choose from C1, C2, C3"),
        (["--precision", "float16"], "--precision float16 is neither float32 nor bfloat16"),
        (["--segment-seconds", "0"], "--segment-seconds is 0.0; it must be above 0"),
        (["--segment-seconds", "nan"], "--segment-seconds is nan"),
        (["--threads", "0"], "--threads 0 is out of range"),
        (["--json", ""], "--json is empty"),
        (["--json", "."], "--json . is a folder"),
    ],
)
def test_what_cannot_be_done_is_one_sentence(ddpg: Ddpg, arguments: list[str], part: str) -> None:
    printed = ddpg("bench", *arguments, code=2)
    assert printed.stderr.startswith(f"ddpg: {part}")
    assert printed.stderr.count("\n") == 1


def test_a_file_that_cannot_be_written_comes_after_the_table(ddpg: Ddpg, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with mock.patch.object(benchmark, "measure", side_effect=fake_result):
        printed = ddpg("bench", "--case", "C1", "--json", tmp_path / "file" / "bench.json", code=1)
    assert "cannot be written" in printed.stderr
    assert "1,000" in printed.stdout


def test_cases_are_checked_before_anything_starts() -> None:
    with pytest.raises(UsageError, match="C9"):
        benchmark.measure(cases=["C9"])
