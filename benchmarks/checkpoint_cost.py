"""What exact checkpoints cost: time beside the same training without them, and bytes while a replay buffer fills.

python benchmarks/checkpoint_cost.py
"""

import statistics
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import torch as th
import typer
from rich.console import Console
from rich.table import Table
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.monitor import Monitor

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.checkpoint.exact import ExactCheckpoint
from sb3_ddpg_custom.wrappers import EpisodeReplayer

CASES = {
    "C1": ("Pendulum-v1", {"policy_kwargs": {"net_arch": [64, 64]}, "batch_size": 64}),
    "C3": ("HalfCheetah-v5", {"policy_kwargs": {"net_arch": [400, 300]}, "batch_size": 256}),
}


class Sizes(BaseCallback):
    """Notes what each checkpoint adds to the disk."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder
        self.seen: dict[int, int] = {}

    def _on_step(self) -> bool:
        for path in self.folder.glob("state-*.zip"):
            step = int(path.stem.partition("-")[2])
            rows = self.folder / f"rows-{step}.zip"
            if step not in self.seen and rows.exists():
                self.seen[step] = path.stat().st_size + rows.stat().st_size
        return True


def main(
    rounds: Annotated[int, typer.Option(min=1)] = 5,
    seconds: Annotated[float, typer.Option(help="Of each segment of a training.")] = 8.0,
) -> None:
    """Train with and without checkpoints in turn, and print the ratio of their speeds; then fill a buffer of 1M."""
    console = Console(highlight=False)
    th.set_num_threads(1)
    table = Table("case", "speed with checkpoints, of that without", "smallest to largest of the rounds", box=None)
    for name, (env_id, settings) in CASES.items():
        with tempfile.TemporaryDirectory() as folder:
            plain = DDPG("MlpPolicy", Monitor(gym.make(env_id)), seed=0, device="cpu", **settings)
            kept = DDPG("MlpPolicy", EpisodeReplayer(Monitor(gym.make(env_id))), seed=0, device="cpu", **settings)
            callback = ExactCheckpoint(folder)
            plain.learn(2_000)
            kept.learn(2_000, callback=callback)
            steps = _steps_in(plain, seconds)
            ratios = []
            for _ in range(rounds):
                speeds = [_speed(plain, steps, None), _speed(kept, steps, callback)]
                ratios.append(speeds[1] / speeds[0])
        table.add_row(name, f"{statistics.median(ratios):.3f}", f"{min(ratios):.3f} to {max(ratios):.3f}")
    console.print(table)
    console.print(_filling())


def _steps_in(model: DDPG, seconds: float) -> int:
    return int(seconds * _speed(model, 2_000, None))


def _speed(model: DDPG, steps: int, callback: BaseCallback | None) -> float:
    began = time.perf_counter()
    model.learn(steps, callback=callback, reset_num_timesteps=False)
    return steps / (time.perf_counter() - began)


def _filling() -> Table:
    """Fill a replay buffer of a million Pendulum transitions without training, a checkpoint every 100,000 steps."""
    table = Table("steps", "bytes that its checkpoint adds", "bytes of the whole buffer", box=None)
    with tempfile.TemporaryDirectory() as folder:
        small: dict[str, Any] = {"policy_kwargs": {"net_arch": [64, 64]}, "learning_starts": 10**9, "device": "cpu"}
        env = EpisodeReplayer(Monitor(gym.make("Pendulum-v1")))
        model = DDPG("MlpPolicy", env, seed=0, buffer_size=1_000_000, **small)
        sizes = Sizes(Path(folder))
        ExactCheckpoint(folder, every_steps=100_000).learn(model, 1_300_001, sizes)
        for step, added in sorted(sizes.seen.items()):
            filled = min(step, 1_000_000) * model.replay_buffer.records.row_bytes  # type: ignore[union-attr]
            table.add_row(f"{step:,}", f"{added:,}", f"{filled:,}")
    return table


if __name__ == "__main__":
    typer.run(main)
