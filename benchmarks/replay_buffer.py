"""Our replay buffer beside SB3's: bytes per transition, and the time of adding and of sampling.

python benchmarks/replay_buffer.py
"""

import itertools
import time
from collections.abc import Callable
from statistics import median
from typing import Annotated, Any

import numpy as np
import typer
from gymnasium import spaces
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.buffers import NStepReplayBuffer
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer

from sb3_ddpg_custom import ReplayBuffer

HALF_CHEETAH = (spaces.Box(-np.inf, np.inf, (17,), np.float64), spaces.Box(-1, 1, (6,), np.float32))
IMAGES = (spaces.Box(0, 255, (4, 84, 84), np.uint8), spaces.Box(-1, 1, (1,), np.float32))
EPISODE_STEPS = 1000
BATCH = 256


def stream(buffer: SB3ReplayBuffer) -> Callable[[], None]:
    """Make a function that adds the next step of every env, as a rollout would: each observation twice."""
    n_envs, space = buffer.n_envs, buffer.observation_space
    rng = np.random.default_rng(0)
    observations = (rng.random((EPISODE_STEPS + 1, n_envs, *(space.shape or ()))) * 255).astype(space.dtype)
    # One ready episode again and again: the clock is to measure the buffer, not the making of random numbers.
    steps = [
        (
            observations[step],
            observations[step + 1],
            rng.random((n_envs, buffer.action_dim), np.float32),
            rng.random(n_envs, np.float32),
            np.full(n_envs, step == EPISODE_STEPS - 1),
            [{"TimeLimit.truncated": step == EPISODE_STEPS - 1} for _ in range(n_envs)],
        )
        for step in range(EPISODE_STEPS)
    ]
    turns = itertools.cycle(steps)

    def add() -> None:
        buffer.add(*next(turns))

    return add


def held_bytes(buffer: SB3ReplayBuffer) -> int:
    """Bytes of all memory that a buffer holds for transitions."""
    if isinstance(buffer, ReplayBuffer):
        return buffer.nbytes
    return sum(value.nbytes for value in vars(buffer).values() if isinstance(value, np.ndarray))


def microseconds(calls: list[Callable[[], Any]], repeats: int, number: int) -> list[float]:
    """Median time of each call; they take turns, so that a slow moment of the machine strikes all."""
    taken: list[list[float]] = [[] for _ in calls]
    for _ in range(repeats):
        for call, times in zip(calls, taken, strict=True):
            began = time.perf_counter()
            for _ in range(number):
                call()
            times.append((time.perf_counter() - began) / number * 1e6)
    return [median(times) for times in taken]


def main(
    transitions: Annotated[int, typer.Option(min=1000, help="Transitions in each buffer.")] = 1_000_000,
    images: Annotated[int, typer.Option(min=1000, help="Transitions in each buffer of images.")] = 5_000,
    repeats: Annotated[int, typer.Option(min=1, help="Timings of each, in turns; the median counts.")] = 15,
) -> None:
    """Print bytes per transition, microseconds per call, and how many times SB3's take as much."""
    table = Table("case", "bytes, ours", "SB3's", "ratio", "add µs, ours", "SB3's", "ratio", box=None)
    for title in ("sample µs, ours", "SB3's", "ratio"):
        table.add_column(title)
    cheetah, saving = {}, {"optimize_memory_usage": True}
    n_step, priorities = {"n_steps": 3, "gamma": 0.99}, {"priority_exponent": 0.6}
    cases: list[tuple[str, Any, int, int, dict[str, Any], type[SB3ReplayBuffer], dict[str, Any]]] = [
        ("HalfCheetah, 1 env", HALF_CHEETAH, transitions, 1, cheetah, SB3ReplayBuffer, {}),
        ("HalfCheetah, 4 envs", HALF_CHEETAH, transitions, 4, cheetah, SB3ReplayBuffer, {}),
        ("3-step returns", HALF_CHEETAH, transitions, 1, n_step, NStepReplayBuffer, n_step),
        ("memory saving", HALF_CHEETAH, transitions, 1, saving, SB3ReplayBuffer, {}),
        ("priorities", HALF_CHEETAH, transitions, 1, priorities, SB3ReplayBuffer, {}),
        ("images", IMAGES, images, 1, {}, SB3ReplayBuffer, {}),
        ("images, memory saving", IMAGES, images, 1, saving, SB3ReplayBuffer, {}),
    ]
    for name, (observations, actions), rows, n_envs, options, theirs, their_options in cases:
        shape: tuple[Any, ...] = (rows, observations, actions, "cpu", n_envs)
        pair = [ReplayBuffer(*shape, **options), theirs(*shape, **their_options)]
        adds = [stream(buffer) for buffer in pair]
        for add in adds:
            for _ in range(rows // n_envs):
                add()
        sizes = [held_bytes(buffer) / rows for buffer in pair]
        adding = microseconds(adds, repeats, 1000 if rows > images else 100)
        sampling = microseconds([lambda buffer=buffer: buffer.sample(BATCH) for buffer in pair], repeats, 100)  # type: ignore[misc]
        cells = [
            f"{number:{form}}"
            for (ours, other), form in ((sizes, ",.0f"), (adding, ".2f"), (sampling, ".0f"))
            for number in (ours, other)
        ]
        ratios = [sizes[1] / sizes[0], adding[1] / adding[0], sampling[1] / sampling[0]]
        table.add_row(
            name,
            *(cell for i in range(3) for cell in (*cells[2 * i : 2 * i + 2], f"{ratios[i]:.2f}")),
            end_section=False,
        )
        del pair, adds
    Console(width=140, highlight=False).print(table)


if __name__ == "__main__":
    typer.run(main)
