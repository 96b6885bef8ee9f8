"""Speed of this package's DDPG beside SB3's, the arithmetic floor, and other libraries' DDPG, in one interleaved run.

python benchmarks/peers.py --peer sbx=peers/jax/bin/python --peer tianshou=peers/tianshou/bin/python --case C1

Each peer works in an environment of its own, which is made once. Wherever torch is needed it is installed first and
pinned: a looser demand may fetch gigabytes of CUDA libraries.

    python -m venv peers/jax                                                    (sbx, cleanrl-jax)
    peers/jax/bin/pip install torch==2.13.0
    peers/jax/bin/pip install sbx-rl==0.28.0 "gymnasium[mujoco]"
    python -m venv peers/tianshou                                               (tianshou)
    peers/tianshou/bin/pip install torch==2.13.0
    peers/tianshou/bin/pip install tianshou==2.0.1 "gymnasium[mujoco]"
    python -m venv peers/torchrl                                                (torchrl)
    peers/torchrl/bin/pip install torch==2.13.0
    peers/torchrl/bin/pip install torchrl==0.14.1 "gymnasium[mujoco]"
    python -m venv peers/torch                                                  (cleanrl-torch)
    peers/torch/bin/pip install torch==2.13.0
    peers/torch/bin/pip install stable-baselines3==2.9.2 "gymnasium[mujoco]"

Only C3 needs mujoco. cleanrl-torch also runs in the environment that this package is installed in. CPU only.
"""

import difflib
import json
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer
from rich.console import Console

from sb3_ddpg_custom.cli.bench.cases import CASES, check_cases, is_available
from sb3_ddpg_custom.cli.errors import RunError, UsageError, one_line
from sb3_ddpg_custom.cli.training.threads import check_threads

WORKERS = Path(__file__).resolve().parent / "peer_workers"

# For the peer's interpreter: prints which of the named modules cannot be found outside the current folder.
FIND = """
import importlib.util, sys
sys.path = [folder for folder in sys.path if folder]
print(*(module for module in sys.argv[1:] if not importlib.util.find_spec(module)))
"""


@dataclass(frozen=True)
class Peer:
    """One other implementation.

    :param label: its row in the table
    :param worker: file in `peer_workers`
    :param packages: what its environment must hold, by module name: what to ask pip for
    """

    label: str
    worker: str
    packages: dict[str, str]


TORCH = {"torch": "torch==2.13.0", "gymnasium": "gymnasium"}
SB3 = {**TORCH, "stable_baselines3": "stable-baselines3"}
JAX = {**SB3, "jax": "jax", "flax": "flax", "optax": "optax"}
PEERS = {
    "sbx": Peer("SBX", "sbx_worker.py", {**JAX, "sbx": "sbx-rl"}),
    "cleanrl-torch": Peer("CleanRL-style, torch", "cleanrl_torch_worker.py", SB3),
    "cleanrl-jax": Peer("CleanRL-style, JAX", "cleanrl_jax_worker.py", JAX),
    "tianshou": Peer("Tianshou", "tianshou_worker.py", {**TORCH, "tianshou": "tianshou"}),
    "torchrl": Peer("TorchRL", "torchrl_worker.py", {**TORCH, "torchrl": "torchrl"}),
}


def parse_peer(text: str) -> tuple[str, str]:
    """Split `NAME=PYTHON`.

    :raises UsageError: if it is not of this form, or there is no such peer
    """
    name, _, python = text.partition("=")
    if name not in PEERS:
        close = difflib.get_close_matches(name, PEERS, n=1)
        hint = f"did you mean {close[0]}?" if close else f"choose from {', '.join(PEERS)}"
        raise UsageError(f"--peer {name} does not exist; {hint}")
    if not python:
        raise UsageError(f"--peer {text} names no interpreter; write --peer {name}=path/to/bin/python")
    return name, python


def check_environment(name: str, python: str, also: set[str]) -> None:
    """Ask a peer's interpreter whether it can find what the peer's worker imports.

    :param name: of the peer
    :param python: its interpreter
    :param also: further modules, which the cases' environments need
    :raises UsageError: if the interpreter does not run, or lacks a package
    """
    packages = PEERS[name].packages | {module: f'"gymnasium[{module}]"' for module in also}
    try:
        found = subprocess.run([python, "-c", FIND, *packages], capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"--peer {name}={python} cannot be run: {one_line(error)}") from error
    if found.returncode:
        raise UsageError(f"--peer {name}={python} is no working Python: {one_line(found.stderr[-200:])}")
    missing = found.stdout.split()
    if missing:
        wanted = " ".join(packages[module] for module in missing)
        raise UsageError(
            f"--peer {name}: its environment lacks {', '.join(missing)}; run {python} -m pip install {wanted}"
        )


def main(
    peer: Annotated[list[str] | None, typer.Option(metavar="NAME=PYTHON", help=f"{', '.join(PEERS)}.")] = None,
    case: Annotated[list[str] | None, typer.Option(help="C1, C2, C3; default: all that can run.")] = None,
    threads: Annotated[int, typer.Option(min=1, help="Threads that each contender computes with.")] = 1,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that the medians are over.")] = 5,
    segment_seconds: Annotated[
        float, typer.Option(min=0.01, help="Time of a contender's env steps in each round, and again of its updates.")
    ] = 1.0,
    precision: Annotated[str, typer.Option(help="float32, or bfloat16: ours and the floor in it too.")] = "float32",
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures of all rounds there.")] = None,
) -> None:
    """Measure the peers in turns with our DDPG and SB3's, and print the table."""
    pairs = dict(parse_peer(text) for text in peer or [])
    if precision not in ("float32", "bfloat16"):
        raise UsageError(f"--precision {precision} is neither float32 nor bfloat16")

    cases = check_cases(case or [name for name in CASES if is_available(name)])
    also = {needs for name in cases if (needs := CASES[name].needs)}
    for name, python in pairs.items():
        check_environment(name, python, also)
    check_threads(threads)

    # These import torch: what was asked for is checked by now.
    from sb3_ddpg_custom.cli.bench.measure import measure
    from sb3_ddpg_custom.cli.bench.report import BenchProgress, print_table

    wanted: Literal["float32", "bfloat16"] = "bfloat16" if precision == "bfloat16" else "float32"
    with BenchProgress(Console(stderr=True, highlight=False)) as progress:
        result = measure(
            cases=cases,
            threads=threads,
            rounds=rounds,
            extra={PEERS[name].label: [python, str(WORKERS / PEERS[name].worker)] for name, python in pairs.items()},
            segment_seconds=segment_seconds,
            precision=wanted,
            watch=progress,
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 110  # the peers' names are long
    print_table(result, console)
    if json_file is not None:
        try:
            json_file.write_text(json.dumps(asdict(result), indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise RunError(f"--json {json_file} cannot be written: {one_line(error)}") from error


if __name__ == "__main__":
    try:
        typer.run(main)
    except (UsageError, RunError) as error:
        print(f"peers: {error}", file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)
