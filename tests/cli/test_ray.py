"""A Ray cluster of two nodes, of which one dies in the midst of a study."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from conftest import SMALL
from helpers.studies import SETTING, steps_of, wait_until
from helpers.zips import assert_same_run

from sb3_ddpg_custom.cli.status import read_status

pytest.importorskip("ray")
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc, and kills")
RUNS = Path("Pendulum-v1", SETTING)
COMMAND = [
    *(sys.executable, "-W", "ignore", "-m", "sb3_ddpg_custom.cli", "train", "pendulum", "--seeds", "0-2"),
    *(
        "--steps",
        "4000",
        "--eval-episodes",
        "2",
        "--eval-max-steps",
        "20",
        "--checkpoint-every",
        "200",
        *SMALL,
        "--out",
    ),
]


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    monkeypatch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    monkeypatch.setenv("RAY_DISABLE_MEMORY_MONITOR", "1")
    monkeypatch.setenv("RAY_worker_niceness", "0")  # it steps back behind other tests by itself
    from ray.cluster_utils import Cluster

    cluster: Any = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    yield cluster
    cluster.shutdown()


@pytest.mark.long
@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_a_node_that_dies_costs_nothing(cluster: Any, tmp_path: Path) -> None:
    node = cluster.add_node(num_cpus=1)
    cluster.wait_for_nodes()
    process = subprocess.Popen(
        [*COMMAND, tmp_path / "ray", "--on", f"ray:{cluster.address}"],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    runs = [tmp_path / "ray" / RUNS / f"seed-{seed}" for seed in range(3)]
    wait_until(lambda: sum(steps_of(run) > 500 for run in runs) == 2 or process.poll() is not None)
    raylets = {one.process.pid for one in node.all_processes["raylet"]}
    pids = [status.pid for run in runs if (status := read_status(run)) is not None and status.state == "training"]
    there = [pid for pid in pids if raylets & set(_ancestors(pid))]
    assert (len(pids), len(there)) == (2, 1), process.communicate()
    cluster.remove_node(node, allow_graceful=False)
    # On a machine of its own, what ran on the node would be gone with it: the task, and the run that it waits for.
    for pid in (next(_ancestors(there[0])), there[0]):
        os.kill(pid, signal.SIGKILL)
    out, _ = process.communicate(timeout=150)
    assert process.returncode == 0, out
    assert "raylet" not in out
    assert sum("from step" in (run / "log.txt").read_text() for run in runs) == 1
    subprocess.run([*COMMAND, tmp_path / "here"], check=True, capture_output=True)
    for run in runs:
        assert_same_run(tmp_path / "here" / RUNS / run.name, run)


def _ancestors(pid: int) -> Iterator[int]:
    while pid > 1:
        pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        yield pid
