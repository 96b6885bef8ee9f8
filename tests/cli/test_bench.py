import os
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess
from typing import Any
from unittest import mock

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from helpers.bench_figures import NOT_COMPILED, measured

from sb3_ddpg_custom.cli.bench import floor as bench_floor
from sb3_ddpg_custom.cli.bench import measure as benchmark
from sb3_ddpg_custom.cli.bench.cases import CASES
from sb3_ddpg_custom.cli.bench.figures import Spread, next_count, rotated, summarise
from sb3_ddpg_custom.cli.bench.floor import fastest, update_products
from sb3_ddpg_custom.cli.bench.process import Worker
from sb3_ddpg_custom.cli.bench.rounds import _floor_of, compare
from sb3_ddpg_custom.cli.errors import RunError

# A row of the table where Numba is installed.


Ddpg = Callable[..., CompletedProcess[str]]


# Takes 1 ms for a step and 0.5 ms for an update, or what FACTOR makes of that, and writes down what it was asked.
pytestmark = pytest.mark.usefixtures("a_processor_that_is_used_well")


FAKE = """
import json, os, sys
factor, log, case = float(sys.argv[1]), sys.argv[2], sys.argv[3]
print("warming up", file=sys.stderr)
def say(**answer):
    print(json.dumps(answer), flush=True)
say(ready=True, name="fake", version=os.environ["OMP_NUM_THREADS"], device="cpu")
with open(log, "a") as asked:
    for line in sys.stdin:
        asked.write(f"{sys.argv[1]} {line}")
        asked.flush()
        kind, *number = line.split()
        if kind == "memory":
            say(rss_bytes=2**20, bytes_per_transition=None)
        elif kind == "steps":
            say(seconds=0.001 * factor * int(number[0]), steps=int(number[0]))
        else:
            say(seconds=None if factor == 4 else 0.0005 * factor * int(number[0]))
"""


@pytest.fixture
def script(tmp_path: Path) -> Callable[[str], list[str]]:
    """Write a worker's program; gives its command line."""

    def write(program: str) -> list[str]:
        path = tmp_path / f"worker{len(list(tmp_path.glob('worker*')))}.py"
        path.write_text(textwrap.dedent(program))
        return [sys.executable, str(path)]

    return write


def test_the_floor_of_a_small_net_is_these_products() -> None:
    products = update_products(observation_dim=3, action_dim=1, net_arch=[4, 2], batch_size=5, dtype=th.float32)
    sizes = [(*product.left.shape, product.right.shape[1]) for product in products]
    actor, critic = [(5, 3, 4), (5, 4, 2), (5, 2, 1)], [(5, 4, 4), (5, 4, 2), (5, 2, 1)]
    assert sizes == [
        *(actor + critic),  # the targets'
        *critic,
        *[(4, 5, 4), (2, 5, 4), (1, 5, 2)],  # ∂L/∂W of the critic, (outputs, batch, inputs)
        *[(5, 2, 4), (5, 1, 2)],  # ∂L/∂x of its upper layers, (batch, outputs, inputs)
        *(actor + critic),
        *[(5, 2, 4), (5, 1, 2), (5, 4, 1)],  # down to the action, one column of the first layer
        *[(4, 5, 3), (2, 5, 4), (1, 5, 2)],
        *[(5, 2, 4), (5, 1, 2)],
    ]
    assert [product.multiply_adds for product in products[:6]] == [60, 40, 10, 80, 40, 10]
    assert sum(product.multiply_adds for product in products) == 1020


def test_the_floor_multiplies() -> None:
    products = update_products(observation_dim=2, action_dim=2, net_arch=[3], batch_size=4, dtype=th.float32)
    for product in products:
        result = th.as_tensor(fastest(product)())
        th.testing.assert_close(result, product.left @ product.right)


@pytest.mark.parametrize(
    ("times", "fastest_of_all"),
    [([0.1, 0.2, 0.3], th.mm), ([0.2, 0.1, 0.3], th.ops.mkldnn._linear_pointwise), ([0.3, 0.2, 0.1], np.dot)],
)
def test_the_floor_is_through_the_fastest_library(
    times: list[float], fastest_of_all: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter(times)
    monkeypatch.setattr(bench_floor, "_seconds", lambda operation: next(seconds))
    monkeypatch.setattr(th, "get_num_threads", lambda: 1)
    (product, *_) = update_products(observation_dim=2, action_dim=2, net_arch=[3], batch_size=4, dtype=th.float32)
    chosen: Any = fastest(product)
    assert chosen.func is fastest_of_all


@pytest.mark.parametrize("name", CASES)
def test_the_cases_know_their_environments(name: str) -> None:
    case = CASES[name]
    if case.needs is not None:
        pytest.importorskip(case.needs)
    env = gym.make(case.env_id)
    assert env.observation_space.shape == (case.observation_dim,)
    assert env.action_space.shape == (case.action_dim,)
    env.close()


def test_medians_and_the_ratios_of_the_same_round() -> None:
    # The machine is half as fast in the second round, for all.
    ours = measured("ours", [0.001, 0.002, 0.0016], [0.0005, 0.001, 0.0004])
    sb3 = measured("SB3", [0.004, 0.008, 0.004], [0.002, 0.004, 0.002])
    floor = measured("floor", [None, None, None], [0.0001, 0.0002, 0.0001])
    figures = summarise(ours, baseline=sb3, floor=floor)
    assert figures.steps_per_second == pytest.approx(625)
    assert figures.update_ms == pytest.approx(0.5)
    assert figures.times_baseline == Spread(median=4.0, low=2.5, high=4.0)
    assert figures.floor_fraction == pytest.approx(0.2)
    assert (figures.name, figures.rss_bytes, figures.rounds) == ("ours", 2**20, ours.rounds)


def test_what_is_unknown_stays_unknown() -> None:
    floor = measured("floor", [None, None], [0.5, 0.25])
    figures = summarise(floor, baseline=measured("SB3", [1.0, 1.0], [1.0, 1.0]), floor=floor)
    assert (figures.steps_per_second, figures.times_baseline, figures.floor_fraction) == (None, None, 1.0)
    assert figures.update_ms == 375
    alone = summarise(measured("ours", [0.5], [None]), baseline=None, floor=None)
    assert (alone.steps_per_second, alone.update_ms, alone.times_baseline, alone.floor_fraction) == (
        2,
        None,
        None,
        None,
    )


def test_segments_adapt_and_rounds_rotate() -> None:
    assert next_count(20, 0.01, 1.0) == 2000
    assert next_count(20, 100.0, 1.0) == 1
    assert next_count(20, 0.0, 1.0) == 200
    assert [rotated("abc", number) for number in range(4)] == [list("abc"), list("bca"), list("cab"), list("abc")]


def test_contenders_take_turns(script: Callable[[str], list[str]], tmp_path: Path) -> None:
    command, log = script(FAKE), tmp_path / "log"
    told: list[str] = []
    figures = compare(
        "C1",
        {name: [*command, factor, str(log)] for name, factor in (("SB3", "2"), ("ours", "1"), ("slow", "4"))},
        threads=3,
        rounds=2,
        segment_seconds=0.1,
        tell=told.append,
    )
    first = [f"{factor} {request}" for factor in (2, 1, 4) for request in ("steps 20", "updates 20", "memory")]
    two, one, four = ["2 steps 50", "2 updates 100"], ["1 steps 100", "1 updates 200"], ["4 steps 25", "4 updates 20"]
    asked = log.read_text().splitlines()
    assert asked == [*first, *(two + one + four), *(two + one + four), *(one + four + two)]
    assert told == ["starting", *["SB3", "ours", "slow"] * 2, "ours", "slow", "SB3"]

    by_name = {one.name: one for one in figures}
    assert list(by_name) == ["SB3", "ours", "slow"]
    assert by_name["ours"].times_baseline == Spread(median=2.0, low=2.0, high=2.0)
    assert by_name["ours"].steps_per_second == pytest.approx(1000)
    assert by_name["ours"].update_ms == pytest.approx(0.5)
    assert by_name["ours"].version == "3"  # the fake's word for OMP_NUM_THREADS
    assert (by_name["slow"].update_ms, by_name["slow"].floor_fraction) == (None, None)
    assert [one.position for one in by_name["SB3"].rounds] == [0, 2]
    assert by_name["SB3"].rounds[0].steps == 50


@pytest.mark.parametrize(
    ("program", "sentence"),
    [
        ("import no_such_module", "ended with exit code 1: ModuleNotFoundError: No module named 'no_such_module'"),
        ("import os; os.kill(os.getpid(), 9)", "died of signal 9 and said nothing"),
        ("print('hello')", "answered hello"),
        (
            "import sys; print('{}', flush=True); sys.stdin.readline(); sys.exit('out of\\n\\nmemory')",
            "ended with exit code 1: memory",
        ),
    ],
)
def test_a_worker_that_dies_is_one_sentence(
    program: str, sentence: str, script: Callable[[str], list[str]], tmp_path: Path
) -> None:
    commands = {"good": [*script(FAKE), "1", str(tmp_path / "log")], "bad": script(program)}
    workers: list[Worker] = []

    def remember(*args: Any, **kwargs: Any) -> Worker:
        workers.append(Worker(*args, **kwargs))
        return workers[-1]

    with (
        mock.patch("sb3_ddpg_custom.cli.bench.rounds.Worker", remember),
        pytest.raises(RunError) as caught,
    ):
        compare("C2", commands, threads=1, rounds=1, segment_seconds=0.1, tell=lambda _: None)
    assert str(caught.value) == f"the worker of 'bad' on C2 {sentence}"
    for worker in workers:
        assert worker._process.returncode is not None


def os_kill(process: Any) -> None:
    os.kill(process.pid, 9)


def test_ctrl_c_ends_the_workers(script: Callable[[str], list[str]], tmp_path: Path) -> None:
    commands = {name: [*script(FAKE), "1", str(tmp_path / "log")] for name in "ab"}

    def interrupt(text: str) -> None:
        if text != "starting":
            raise KeyboardInterrupt

    with (
        mock.patch("subprocess.Popen.kill", autospec=True, side_effect=os_kill) as kill,
        pytest.raises(KeyboardInterrupt),
    ):
        compare("C1", commands, threads=1, rounds=1, segment_seconds=0.1, tell=interrupt)
    assert [call.args[0].returncode for call in kill.call_args_list] == [-9, -9]


def test_a_command_that_is_not_there() -> None:
    with pytest.raises(RunError, match=r"the worker of 'nobody' cannot be started: .*no/such/python"):
        compare("C1", {"nobody": ["no/such/python"]}, threads=1, rounds=1, segment_seconds=0.1, tell=lambda _: None)


def test_a_failure_in_a_worker_leaves_by_the_error_boundary(ddpg: Ddpg, script: Callable[[str], list[str]]) -> None:
    dying = script("raise SystemExit('no luck')")
    with mock.patch.object(benchmark, "own_command", return_value=dying):
        printed = ddpg("bench", "--case", "C1", code=1)
    assert printed.stderr.splitlines()[-1] == "ddpg: the worker of 'ours' on C1 ended with exit code 1: no luck"
    assert printed.stdout == ""


def test_extra_contenders_and_bfloat16(script: Callable[[str], list[str]], tmp_path: Path) -> None:
    command = [*script(FAKE), "1", str(tmp_path / "log")]
    seen: list[tuple[str, str, int, int]] = []
    with mock.patch.object(benchmark, "own_command", return_value=command):
        result = benchmark.measure(
            cases=["c1", "C2", "C1"],
            rounds=1,
            segment_seconds=0.01,
            precision="bfloat16",
            extra={"Peer": command},
            watch=lambda *told: seen.append(told),
        )
        with pytest.raises(ValueError, match="'SB3' is taken"):
            benchmark.measure(cases=["C1"], extra={"SB3": command})
    assert [case.name for case in result.cases] == ["C1", "C2"]
    names = ["ours", *NOT_COMPILED, "ours, bfloat16", "SB3", "floor", "floor, bfloat16", "Peer"]
    assert [[one.name for one in case.contenders] for case in result.cases] == [names, names]
    turns = 2 * (1 + 2 * len(names))
    assert seen[0] == ("C1", "starting", 0, turns)
    assert [done for _, _, done, _ in seen] == list(range(turns))


def test_the_floor_of_a_contender_is_in_its_precision() -> None:
    both = {name: measured(name, [None], [1.0]) for name in ("floor", "floor, bfloat16")}
    found = [_floor_of(name, both) for name in ("ours", "ours, bfloat16", "SB3")]
    assert found == [both["floor"], both["floor, bfloat16"], both["floor"]]
