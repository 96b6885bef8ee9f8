"""What all workers of `benchmarks/peers.py` share: the cases, the threads, and the loop that answers the parent.

Standard library only: each worker runs in the environment of its own library.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

BUFFER_SIZE = 1_000_000
LEARNING_STARTS = 100
# Further steps with updates before a worker says that it is ready: compilers and caches are warm by then.
WARM_UP_STEPS = 50
GAMMA = 0.99
TAU = 0.005
LEARNING_RATE = 1e-3
# Standard deviation of the Gaussian exploration noise, for actions in [-1, 1].
NOISE_SIGMA = 0.1
SEED = 0


@dataclass(frozen=True)
class Case:
    """One row of the benchmark: an environment, the batch of an update, and the hidden layers of both networks."""

    env_id: str
    batch_size: int
    net: tuple[int, ...]


CASES = {
    "C1": Case("Pendulum-v1", 64, (64, 64)),
    "C2": Case("Pendulum-v1", 128, (400, 300)),
    "C3": Case("HalfCheetah-v5", 256, (400, 300)),
}


class Worker(Protocol):
    """One implementation of DDPG, at work on one case."""

    name: str
    version: str

    def steps(self, count: int) -> None:
        """Train for so many env steps, each followed by one update, and wait until all is computed."""

    def updates(self, count: int) -> None:
        """Make so many updates, sampling included, without env steps, and wait until all is computed."""

    def updates_made(self) -> int:
        """Count the updates so far, as the critic's optimiser has counted them."""

    def bytes_per_transition(self) -> float | None:
        """Memory that the replay buffer holds for one transition; None where that cannot be told."""


def threads() -> int:
    """Read how many threads the parent grants."""
    return int(os.environ.get("OMP_NUM_THREADS", "1"))


def jax_thread_settings() -> dict[str, str]:
    """Give the environment variables that hold JAX to the granted threads; to be set before JAX is imported.

    The pool of XLA's CPU client has as many threads (named tf_XLAEigen) as PJRT_NPROC, formerly NPROC, says. With one,
    the flags keep XLA from parting a product. Python's own thread comes on top: it prepares the next call meanwhile.
    """
    count = threads()
    settings = {"PJRT_NPROC": str(count), "NPROC": str(count), "JAX_PLATFORMS": "cpu"}
    if count == 1:
        settings["XLA_FLAGS"] = "--xla_cpu_multi_thread_eigen=false intra_op_parallelism_threads=1"
    return settings


def resident_bytes() -> int | None:
    """Measure the resident memory of this process; None where the system has no /proc."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    except OSError:
        return None
    return pages * os.sysconf("SC_PAGE_SIZE")


def answer(worker: Worker, line: str) -> dict[str, Any]:
    """Do what one line asks for."""
    command, _, argument = line.partition(" ")
    if command == "memory":
        return {"rss_bytes": resident_bytes(), "bytes_per_transition": worker.bytes_per_transition()}
    if command not in ("steps", "updates"):
        return {"error": f"Unknown command {line!r}; the commands are steps N, updates N, memory and quit."}
    count, before = int(argument), worker.updates_made()
    began = time.perf_counter()
    (worker.steps if command == "steps" else worker.updates)(count)
    seconds = time.perf_counter() - began
    result = {"seconds": seconds, "updates": worker.updates_made() - before}
    return result | {"steps": count} if command == "steps" else result


def serve(build: Callable[[Case], Worker]) -> None:
    """Build the worker of the case that the command line names, then answer line by line until `quit`."""
    if len(sys.argv) != 2 or sys.argv[1] not in CASES:
        sys.exit(f"usage: {Path(sys.argv[0]).name} {'|'.join(CASES)}")
    # What libraries print must not come between the answers.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(message: dict[str, Any]) -> None:
        print(json.dumps(message), file=answers, flush=True)

    worker = build(CASES[sys.argv[1]])
    worker.steps(WARM_UP_STEPS)
    worker.updates(2)
    say({"ready": True, "name": worker.name, "version": worker.version, "device": "cpu"})
    for line in map(str.strip, sys.stdin):
        if line == "quit":
            break
        if line:
            say(answer(worker, line))
