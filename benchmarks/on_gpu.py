"""What a graphics card makes of this package, in under five minutes: correctness first, then speed beside SB3's.

python benchmarks/on_gpu.py --json on_gpu.json

1. The tests that need CUDA.
2. Updates on the card, captured as a CUDA graph, beside the CPU's: the largest difference of a weight.
3. How often a training step waits for the card: once, where it reads its statistics; with priorities, which the
   processor keeps, once more.
4. Env steps per second, updates and samples alone, for C1 to C3 with one env and with 64, one update per env step;
   ours and SB3's take turns, each on the card. And the card's memory that each took.
"""

import json
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Annotated, Any

import numpy as np
import stable_baselines3 as sb3
import torch as th
import typer
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import NormalActionNoise

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.cli.bench.cases import CASES, Case, is_available

ROOT = Path(__file__).resolve().parent.parent
TESTS = ("tests/updates/test_capture.py", "tests/replay/test_device_records.py", "tests/checkpoint/test_zips.py")
_COMPARED_UPDATES = 20
WAITS: dict[str, dict[str, Any]] = {
    "one step": {},
    "three steps": {"n_steps": 3},
    "by priority": {"replay_buffer_kwargs": {"priority_exponent": 0.6}},
}


@dataclass(frozen=True, kw_only=True)
class Speed:
    """One contender on one case.

    :param case: its name
    :param envs: side by side
    :param contender: ours or SB3's
    :param steps: env steps per second, with as many updates
    :param updates: per second, sampling included, without env steps
    :param samples: batches per second that are only drawn
    :param megabytes: most of the card's memory that its tensors took
    """

    case: str
    envs: int
    contender: str
    steps: float
    updates: float
    samples: float
    megabytes: float


class Contender:
    """A model in training.

    :param algorithm: SB3's DDPG or ours
    :param case: environment, network and batch
    :param envs: side by side
    :param device: to compute on
    """

    def __init__(self, algorithm: type[Any], case: Case, envs: int, device: str) -> None:
        _forget_peak(device)
        self.device = device
        self.case, self.envs = case, envs
        self.model = algorithm(
            "MlpPolicy",
            make_vec_env(case.env_id, envs),
            buffer_size=100_000,
            learning_starts=max(100, 2 * envs),
            batch_size=case.batch_size,
            gradient_steps=-1,
            action_noise=NormalActionNoise(np.zeros(case.action_dim), np.full(case.action_dim, 0.1)),
            policy_kwargs={"net_arch": list(case.net_arch)},
            seed=0,
            device=device,
        )
        self.model.set_logger(Logger(None, []))
        self.steps(max(200, 4 * envs))

    def steps(self, count: int) -> None:
        """Go on training."""
        self.model.learn(count, reset_num_timesteps=False)
        _wait(self.device)

    def updates(self, count: int) -> None:
        """Update without env steps."""
        self.model.train(gradient_steps=count, batch_size=self.case.batch_size)
        _wait(self.device)

    def samples(self, count: int) -> None:
        """Draw batches, and do nothing with them."""
        buffer, size = self.model.replay_buffer, self.case.batch_size
        batches = getattr(buffer, "batches", None)
        for _ in batches(count, size) if batches else (buffer.sample(size) for _ in range(count)):
            pass
        _wait(self.device)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        th.cuda.synchronize()


def _forget_peak(device: str) -> None:
    if device.startswith("cuda"):
        th.cuda.reset_peak_memory_stats()


def _peak(device: str) -> float:
    return th.cuda.max_memory_allocated() / 1e6 if device.startswith("cuda") else 0.0


def rate(work: Callable[[int], None], seconds: float, unit: int) -> float:
    """Tell how many of something a second makes.

    :param work: does so many
    :param seconds: to work for, about
    :param unit: least number to ask for
    """
    count, took = unit, 0.0
    while True:
        began = time.perf_counter()
        work(count)
        took = time.perf_counter() - began
        if took >= seconds / 3:
            return count / took
        count *= 2 if took == 0 else max(2, int(seconds / 2 / took))


def measure(name: str, envs: int, device: str, seconds: float, rounds: int) -> list[Speed]:
    """Measure ours and SB3's in turns.

    :param name: of the case
    :param envs: side by side
    :param device: to compute on
    :param seconds: of each piece of work
    :param rounds: that the medians are over
    """
    case = CASES[name]
    peaks: dict[str, float] = {}
    contenders: dict[str, Contender] = {}
    for label, algorithm in (("ours", DDPG), ("SB3", sb3.DDPG)):
        contenders[label] = Contender(algorithm, case, envs, device)
        peaks[label] = _peak(device)
    rates: dict[str, list[list[float]]] = {label: [] for label in contenders}
    for _ in range(rounds):
        for label, one in contenders.items():
            work = ((one.steps, 4 * envs), (one.updates, 20), (one.samples, 20))
            rates[label].append([rate(kind, seconds, unit) for kind, unit in work])
    speeds = []
    for label, rows in rates.items():
        steps, updates, samples = (median(column) for column in zip(*rows, strict=True))
        megabytes = peaks[label]
        speeds.append(
            Speed(
                case=name,
                envs=envs,
                contender=label,
                steps=steps,
                updates=updates,
                samples=samples,
                megabytes=megabytes,
            )
        )
    for one in contenders.values():
        one.model.get_env().close()
    return speeds


def largest_difference(case: Case, device: str) -> float:
    """Make the same updates on the CPU and on a device; give the largest difference of a weight.

    :param case: network and batch
    :param device: to compare
    """
    models: list[Any] = []
    for where, update in (("cpu", "auto"), (device, "analytic")):
        options: dict[str, Any] = {"policy_kwargs": {"net_arch": list(case.net_arch)}, "batch_size": case.batch_size}
        model = DDPG("MlpPolicy", case.env_id, seed=0, device=where, learning_starts=300, update=update, **options)
        models.append(model.learn(300))
    one, other = models
    other.policy.load_state_dict(one.policy.state_dict())
    for _ in range(_COMPARED_UPDATES):
        state = np.random.get_state()
        for model in models:
            np.random.set_state(state)
            model.train(1, case.batch_size)
    pairs = zip(one.policy.parameters(), other.policy.parameters(), strict=True)
    return max(float((a - b.cpu()).abs().max().detach()) for a, b in pairs)


def waits_of_a_step(device: str, **options: Any) -> int | None:
    """Count how often one training step waits for the card; None where there is none."""
    model: Any = DDPG("MlpPolicy", "Pendulum-v1", seed=0, device=device, learning_starts=100, **options).learn(110)
    if not device.startswith("cuda"):
        return None
    with warnings.catch_warnings(record=True) as waits:
        warnings.simplefilter("always")
        th.cuda.set_sync_debug_mode("warn")
        try:
            model.train(1, 256)
        finally:
            th.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(one.message) for one in waits)


def show(console: Console, speeds: list[Speed]) -> None:
    """Print a line for each contender, and how many times SB3's ours is."""
    table = Table("case", "envs", "", "env steps/s", "updates/s", "samples/s", "MB on the card", box=None)
    for place, one in enumerate(speeds):
        figures = [f"{value:,.0f}" for value in (one.steps, one.updates, one.samples, one.megabytes)]
        table.add_row(one.case, str(one.envs), one.contender, *figures)
        if place % 2:
            ours = speeds[place - 1]
            ratios = [ours.steps / one.steps, ours.updates / one.updates, ours.samples / one.samples]
            table.add_row("", "", "ratio", *(f"{ratio:.1f}" for ratio in ratios), "")
    console.print(table)


def main(
    device: Annotated[str, typer.Option(help="cuda, cuda:1, …; cpu tries the script.")] = "cuda",
    case: Annotated[list[str] | None, typer.Option(help="C1, C2, C3; default: all that can run.")] = None,
    envs: Annotated[list[int] | None, typer.Option(help="Envs side by side; default: 1 and 64.")] = None,
    seconds: Annotated[float, typer.Option(min=0.01, help="Of each piece of work in a round.")] = 1.0,
    rounds: Annotated[int, typer.Option(min=1, help="Rounds that the medians are over.")] = 3,
    tests: Annotated[bool, typer.Option(help="Run the tests that need CUDA.")] = True,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures here.")] = None,
) -> None:
    """Try and measure this package on a graphics card."""
    console = Console(highlight=False, width=100)
    if device.startswith("cuda") and not th.cuda.is_available():
        raise typer.BadParameter("torch sees no CUDA device here; --device cpu tries the script")
    card = th.cuda.get_device_name(device) if device.startswith("cuda") else "cpu"
    console.print(f"{card}, torch {th.__version__}, Python {sys.version.split()[0]}")
    found: dict[str, Any] = {"card": card, "torch": th.__version__}
    if tests:
        line = [sys.executable, "-m", "pytest", "-q", *TESTS]
        found["tests"] = subprocess.run(line, cwd=ROOT, capture_output=True, text=True).stdout.strip().splitlines()[-1]
        console.print(f"tests: {found['tests']}")
    names = [name.upper() for name in case or CASES if is_available(name.upper())]
    found["differences"] = {name: largest_difference(CASES[name], device) for name in names}
    worst = ", ".join(f"{name} {value:.1e}" for name, value in found["differences"].items())
    console.print(f"largest difference of a weight from the CPU's after {_COMPARED_UPDATES} updates: {worst}")
    found["waits"] = {name: waits_of_a_step(device, **options) for name, options in WAITS.items()}
    waits = ", ".join(f"{count} ({name})" for name, count in found["waits"].items())
    console.print(f"times that a training step waits for the card: {waits}")
    speeds: list[Speed] = []
    for name in names:
        for count in envs or (1, 64):
            speeds += measure(name, count, device, seconds, rounds)
            found["speeds"] = [asdict(one) for one in speeds]
            if json_file is not None:
                json_file.write_text(json.dumps(found, indent=1))
    show(console, speeds)


if __name__ == "__main__":
    typer.run(main)
