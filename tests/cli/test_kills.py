"""Real processes, really killed: ``benchmarks/kills.py`` with twenty kills instead of two hundred."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "kills.py"


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="forks, and SIGKILL")
@pytest.mark.timeout(480)
def test_twenty_kills_change_nothing() -> None:
    settings = ("--set", "replay_buffer_kwargs.priority_exponent=0.6", "--set", "normalize=true", "--set", "n_envs=2")
    ended = subprocess.run(
        [sys.executable, SCRIPT, "--kills", "20", "--steps", "1000", "--checkpoint-every", "50", *settings],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    counts = json.loads(ended.stdout)
    assert counts["faults"] == []
    assert counts["kills"] >= 20
    assert counts["while a checkpoint was written"] >= 5
