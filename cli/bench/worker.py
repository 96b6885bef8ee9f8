"""One contender of `ddpg bench` in a process of its own, told what to do by lines on stdin.

Each line gets one line of JSON on stdout; whatever else is printed goes to stderr.

    steps N      N env steps of the ordinary training loop, one update each   {"seconds": …, "steps": N}
    updates N    N updates, sampling included, without env steps              {"seconds": …}
    memory                                               {"rss_bytes": …, "bytes_per_transition": …}
    quit         (or the end of stdin) ends the process

The first answer, {"ready": true, …}, comes by itself when the contender can update. What it cannot answer is null.
"""

import json
import os
import sys
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import stable_baselines3 as sb3
import torch as th
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise

from sb3_ddpg_custom import DDPG, __version__
from sb3_ddpg_custom.cli.bench.cases import CASES, Case
from sb3_ddpg_custom.cli.bench.floor import fastest, update_products

_LEARNING_STARTS_STEPS = 100
_FIRST_UPDATES = 20  # so that what is made at the first update exists when the clock starts


class Contender(Protocol):
    """What can be timed."""

    name: str
    version: str

    def steps(self, count: int) -> float | None:
        """Take env steps with one update each; how long that took, seconds."""

    def updates(self, count: int) -> float | None:
        """Make updates without env steps; how long that took, seconds."""

    def bytes_per_transition(self) -> float | None:
        """Memory that the replay buffer holds, per transition of its capacity."""


class _Agent:
    """SB3's DDPG or ours.

    :param algorithm: the class
    :param name: for the reader
    :param options: keywords beside those that all share
    """

    def __init__(self, algorithm: type[Any], name: str, number: str, case: Case, **options: Any) -> None:
        self.name, self.version = name, number
        self.case = case
        self.model = algorithm(
            "MlpPolicy",
            case.env_id,
            learning_rate=1e-3,
            buffer_size=1_000_000,
            learning_starts=_LEARNING_STARTS_STEPS,
            batch_size=case.batch_size,
            tau=0.005,
            gamma=0.99,
            train_freq=1,
            gradient_steps=1,
            action_noise=NormalActionNoise(np.zeros(case.action_dim), 0.1 * np.ones(case.action_dim)),
            policy_kwargs={"net_arch": list(case.net_arch)},
            seed=0,
            device="cpu",
            verbose=0,
            **options,
        )
        # As SB3's own logger when nothing is to be shown, but without an empty folder for each learn().
        self.model.set_logger(Logger(None, []))
        self.steps(_LEARNING_STARTS_STEPS + _FIRST_UPDATES)

    def steps(self, count: int) -> float:
        """Go on training."""
        start = time.perf_counter()
        self.model.learn(count, reset_num_timesteps=False)
        return time.perf_counter() - start

    def updates(self, count: int) -> float:
        """Call ``train()`` as the training loop calls it, inside of ``learn()``, which takes no step then."""
        updates = _Updates(count, self.case.batch_size)
        self.model.learn(0, callback=updates, reset_num_timesteps=False)
        return updates.seconds

    def bytes_per_transition(self) -> float:
        """Ask our buffer, or add up the arrays of SB3's."""
        buffer = self.model.replay_buffer
        arrays = [held.nbytes for held in vars(buffer).values() if isinstance(held, np.ndarray)]
        return float(getattr(buffer, "nbytes", sum(arrays)) / buffer.buffer_size)


class _Updates(BaseCallback):
    """Time updates at the beginning of a training.

    :param count: how many
    :param batch_size: transitions per update
    """

    def __init__(self, count: int, batch_size: int) -> None:
        super().__init__()
        self.count = count
        self.batch_size = batch_size
        self.seconds = 0.0

    def _on_training_start(self) -> None:
        model: Any = self.model
        start = time.perf_counter()
        for _ in range(self.count):
            model.train(gradient_steps=1, batch_size=self.batch_size)
        self.seconds = time.perf_counter() - start

    def _on_step(self) -> bool:
        return True


class _Floor:
    """The matrix products of an update alone.

    :param dtype: of all tensors
    """

    def __init__(self, case: Case, dtype: th.dtype) -> None:
        self.name, self.version = "floor", version("torch")
        products = update_products(
            observation_dim=case.observation_dim,
            action_dim=case.action_dim,
            net_arch=case.net_arch,
            batch_size=case.batch_size,
            dtype=dtype,
        )
        self.operations = [fastest(product) for product in products]

    def steps(self, count: int) -> None:
        """There is no environment."""

    def updates(self, count: int) -> float:
        """Multiply."""
        start = time.perf_counter()
        for _ in range(count):
            for multiply in self.operations:
                multiply()
        return time.perf_counter() - start

    def bytes_per_transition(self) -> None:
        """There is no replay buffer."""


CONTENDERS: dict[str, Callable[[Case], Contender]] = {
    "ours": lambda case: _Agent(DDPG, "sb3-ddpg-custom", __version__, case),
    "ours, not compiled": lambda case: _Agent(DDPG, "sb3-ddpg-custom", __version__, case, update="analytic"),
    "ours, bfloat16": lambda case: _Agent(DDPG, "sb3-ddpg-custom", __version__, case, precision="bfloat16"),
    "SB3": lambda case: _Agent(sb3.DDPG, "SB3 DDPG", version("stable-baselines3"), case),
    "floor": lambda case: _Floor(case, th.float32),
    "floor, bfloat16": lambda case: _Floor(case, th.bfloat16),
}


def main(contender: str, case: str) -> None:
    """Serve requests until there are no more.

    :param contender: one of ``CONTENDERS``
    :param case: one of ``CASES``
    """
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())

    def say(**answer: object) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    th.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
    subject = CONTENDERS[contender](CASES[case])
    say(ready=True, name=subject.name, version=subject.version, device="cpu")
    for line in iter(sys.stdin.readline, ""):
        match line.split():
            case ["steps", count]:
                say(seconds=subject.steps(int(count)), steps=int(count))
            case ["updates", count]:
                say(seconds=subject.updates(int(count)))
            case ["memory"]:
                say(rss_bytes=_resident_bytes(), bytes_per_transition=subject.bytes_per_transition())
            case ["quit"]:
                return
            case _:
                say(error=f"unknown request {line.strip()!r}")


def _resident_bytes() -> int | None:
    statm = Path("/proc/self/statm")
    if statm.exists():
        return int(statm.read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    try:
        import psutil
    except ImportError:
        return None
    return psutil.Process().memory_info().rss
