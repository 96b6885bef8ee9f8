"""The peers' benchmark, with none of the peers installed but the one that runs in this environment."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sb3_ddpg_custom
from sb3_ddpg_custom.cli.bench.cases import CASES

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
WORKERS = BENCHMARKS / "peer_workers"


def run_peers(*arguments: str) -> tuple[int, str]:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / "peers.py", *arguments],
        capture_output=True,
        text=True,
        # The package that is tested here, wherever an editable install may point to.
        env={**os.environ, "PYTHONPATH": str(Path(sb3_ddpg_custom.__file__).parent.parent)},
    )
    assert done.stdout == ""
    return done.returncode, done.stderr


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"peer_workers_{path.stem}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("peer", "sentence"),
    [
        ("tianshu=python", "peers: --peer tianshu does not exist; did you mean tianshou?"),
        ("rllib=python", "choose from sbx, cleanrl-torch, cleanrl-jax, tianshou, torchrl"),
        ("sbx", "write --peer sbx=path/to/bin/python"),
        ("sbx=/no/such/python", "peers: --peer sbx=/no/such/python cannot be run"),
    ],
)
def test_a_peer_that_cannot_be_is_one_sentence(peer: str, sentence: str) -> None:
    code, said = run_peers("--peer", peer)
    assert code == 2
    assert sentence in said
    assert said.count("\n") == 1


def test_an_environment_without_the_package_is_one_sentence_with_the_remedy(tmp_path: Path) -> None:
    # -S: this interpreter without its installed packages.
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec "{sys.executable}" -I -S "$@"\n')
    bare.chmod(0o755)
    code, said = run_peers("--peer", f"tianshou={bare}", "--case", "C1")
    assert code == 2
    assert "lacks torch, gymnasium, tianshou; run" in said
    assert said.endswith("-m pip install torch==2.13.0 gymnasium tianshou\n")
    assert said.count("\n") == 1


def test_every_peer_has_its_worker() -> None:
    peers = load(BENCHMARKS / "peers.py")
    assert {peer.worker for peer in peers.PEERS.values()} == {path.name for path in WORKERS.glob("*_worker.py")}
    assert not [path.name for path in WORKERS.glob("*.py") if "sb3_ddpg_custom" in path.read_text()]


def test_the_workers_measure_the_same_cases_as_bench() -> None:
    theirs = load(WORKERS / "protocol.py").CASES
    assert {name: (case.env_id, case.batch_size, case.net) for name, case in theirs.items()} == {
        name: (case.env_id, case.batch_size, case.net_arch) for name, case in CASES.items()
    }


def test_a_worker_answers_and_makes_one_update_per_step() -> None:
    with subprocess.Popen(
        [sys.executable, WORKERS / "cleanrl_torch_worker.py", "C1"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
    ) as worker:
        assert worker.stdin is not None
        assert worker.stdout is not None

        def ask(line: str) -> dict[str, Any]:
            print(line, file=worker.stdin, flush=True)
            answer = json.loads(worker.stdout.readline())  # type: ignore[union-attr]
            assert isinstance(answer, dict)
            return answer

        ready = json.loads(worker.stdout.readline())
        assert ready["ready"] is True
        assert ready["device"] == "cpu"
        # 230 steps: an episode of 200 ends on the way.
        steps = ask("steps 230")
        assert (steps["steps"], steps["updates"]) == (230, 230)
        assert steps["seconds"] > 0
        assert ask("updates 5")["updates"] == 5
        assert ask("memory")["bytes_per_transition"] == 4 * (3 + 3 + 1 + 1 + 1 + 1)
        assert "Unknown" in ask("dance 3")["error"]
        print("quit", file=worker.stdin, flush=True)
        assert worker.wait(20) == 0
