"""Envs in turn in one process, or each in a process of its own: the speed of ddpg train with slow envs, in turns.

python benchmarks/vec_envs.py --n-envs 2
python benchmarks/vec_envs.py --n-envs 4 --waiting

A step of the env computes for so long (or waits, as for a simulator in another process); what is timed is the whole
training with its updates, from its first step to its last. Beside it stands what the machine had to give in the same
minute: the same work alone, in as many processes at once, against one.
"""

import json
import statistics
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from sb3_ddpg_custom.cli.environments.kinds import VecEnvKind
from sb3_ddpg_custom.cli.training.options import TrainRequest
from sb3_ddpg_custom.cli.training.prepare import train

KINDS: tuple[VecEnvKind, VecEnvKind] = ("dummy", "subproc")
_SMALL = ("policy_kwargs.net_arch=[64,64]", "batch_size=64", "learning_starts=100")


class Slow(gym.Env[Any, Any]):
    """Episodes whose steps do a fixed amount of work, or wait.

    :param loops: of the work
    :param seconds: to wait
    :param render_mode: Gymnasium's
    """

    observation_space = gym.spaces.Box(-1, 1, (3,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(self, *, loops: int = 0, seconds: float = 0.0, render_mode: str | None = None) -> None:
        self.loops, self.seconds, self.render_mode = loops, seconds, render_mode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        super().reset(seed=seed, options=options)
        return np.zeros(3, np.float32), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Work or wait, and go anywhere."""
        work(self.loops)
        if self.seconds:
            time.sleep(self.seconds)
        observation = self.np_random.uniform(-1, 1, 3).astype(np.float32)
        return observation, float(observation[0] * action[0]), False, False, {}


def work(loops: int) -> float:
    """Compute something."""
    total = 0.0
    for number in range(loops):
        total += number * 0.5
    return total


def loops_in(seconds: float) -> int:
    """Find how much work takes so much CPU time, where nothing else is in its way."""
    durations = []
    for _ in range(20):
        began = time.process_time()
        work(100_000)
        durations.append(time.process_time() - began)
    return int(100_000 * seconds / min(durations))


def main(
    n_envs: Annotated[int, typer.Option(min=1)] = 2,
    milliseconds: Annotated[float, typer.Option(help="Of a step.")] = 5.0,
    waiting: Annotated[bool, typer.Option("--waiting", help="Steps wait instead of computing.")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="Each trains once with either.")] = 5,
    steps: Annotated[int, typer.Option(help="Env steps of a training, all envs together.")] = 1000,
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object.")] = False,
) -> None:
    """Train with both in turns, and print env steps per second and their ratio."""
    gym.register("Slow-v0", lambda **kwargs: Slow(**kwargs), max_episode_steps=50)
    seconds = milliseconds / 1000
    argument = f"env_kwargs.seconds={seconds}" if waiting else f"env_kwargs.loops={loops_in(seconds)}"
    speeds: dict[VecEnvKind, list[float]] = {kind: [] for kind in KINDS}
    given = []
    with tempfile.TemporaryDirectory() as folder, ProcessPoolExecutor(n_envs) as pool:
        for kind in KINDS:  # compiles what is compiled once
            _speed(kind, n_envs, 300, argument, Path(folder))
        for _ in range(rounds):
            given.append(_given(pool, n_envs))
            for kind in KINDS:
                speeds[kind].append(_speed(kind, n_envs, steps, argument, Path(folder)))
    ratios = [ours / theirs for theirs, ours in zip(*speeds.values(), strict=True)]
    found = {
        "n_envs": n_envs,
        "step": f"{milliseconds:g} ms, {'waiting' if waiting else 'computing'}",
        **{f"{kind}, env steps per second": round(statistics.median(speeds[kind]), 1) for kind in KINDS},
        "ratio": round(statistics.median(ratios), 2),
        "ratios": [round(ratio, 2) for ratio in ratios],
        "of the machine": [round(one, 2) for one in given],
    }
    if as_json:
        print(json.dumps(found))
        return
    table = Table(*found, box=None)
    table.add_row(*map(str, found.values()))
    Console(highlight=False, width=160).print(table)


def _given(pool: ProcessPoolExecutor, n_processes: int) -> float:
    """Measure how much more work gets done in several processes at once than in one."""
    loops, durations = loops_in(0.4), []
    for count in (1, n_processes):
        list(pool.map(work, [1000] * 4 * n_processes))  # all of them are there
        began = time.perf_counter()
        list(pool.map(work, [loops] * count))
        durations.append(time.perf_counter() - began)
    return n_processes * durations[0] / durations[1]


def _speed(kind: VecEnvKind, n_envs: int, steps: int, argument: str, out: Path) -> float:
    request = TrainRequest(
        env="Slow-v0",
        steps=steps,
        n_envs=n_envs,
        vec_env=kind,
        out=out,
        seed=0,
        device="cpu",
        threads=1,
        video="none",
        eval_episodes=1,
        eval_max_steps=1,
        eval_every=steps,
        overrides=(*_SMALL, argument),
    )
    return steps / train(request, Console(quiet=True)).seconds


if __name__ == "__main__":
    typer.run(main)
