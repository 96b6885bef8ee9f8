"""Figures of a benchmark that nobody measured."""

import importlib.util

from sb3_ddpg_custom.cli.bench.figures import Measured, Round

NOT_COMPILED = ["ours, not compiled"] if importlib.util.find_spec("numba") else []


def rounds(steps: list[float | None], updates: list[float | None]) -> list[Round]:
    """Rounds of ten steps and ten updates each, from seconds per step and per update."""
    return [
        Round(
            position=0,
            steps=None if step is None else 10,
            steps_seconds=None if step is None else 10 * step,
            updates=None if update is None else 10,
            updates_seconds=None if update is None else 10 * update,
        )
        for step, update in zip(steps, updates, strict=True)
    ]


def measured(name: str, steps: list[float | None], updates: list[float | None]) -> Measured:
    return Measured(
        name=name,
        version="1",
        device="cpu",
        rss_bytes=2**20,
        bytes_per_transition=36.0,
        rounds=rounds(steps, updates),
    )
