"""How well an alias learns over seeds: train each, evaluate each, print a table.

python benchmarks/learning.py pendulum --seeds 5
"""

import tempfile
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table


def main(
    env: Annotated[str, typer.Argument(help="Alias or registered id.")],
    seeds: Annotated[int, typer.Option(min=1, help="Seeds 0, 1, …")] = 5,
    episodes: Annotated[int, typer.Option(min=1, help="Evaluation episodes per seed.")] = 100,
    steps: Annotated[int | None, typer.Option(help="Env steps; default: the config's.")] = None,
    out: Annotated[Path | None, typer.Option(help="Keep the runs in this folder.")] = None,
) -> None:
    """Train an alias with several seeds and print how each ends."""
    from sb3_ddpg_custom.cli.evaluation.evaluate import bootstrap_interval, evaluate
    from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
    from sb3_ddpg_custom.cli.training.options import TrainRequest
    from sb3_ddpg_custom.cli.training.prepare import train

    console = Console(highlight=False)
    silent = Console(quiet=True)
    table = Table("seed", "steps", "seconds", "best.zip, mean return", "final.zip, mean return", box=None)
    best_means: list[float] = []
    with tempfile.TemporaryDirectory() as scratch:
        for seed in range(seeds):
            began = time.monotonic()
            run = train(TrainRequest(env=env, seed=seed, steps=steps, out=out or Path(scratch), video="none"), silent)
            seconds = time.monotonic() - began
            best, final = (
                evaluate(EvaluateRequest(checkpoint=run.folder / name, episodes=episodes), silent)
                for name in ("best.zip", "final.zip")
            )
            best_means.append(best.mean_return)
            table.add_row(
                str(seed),
                f"{run.steps:,}",
                f"{seconds:.1f}",
                f"{best.mean_return:.1f} ± {best.std_return:.1f}",
                f"{final.mean_return:.1f} ± {final.std_return:.1f}",
            )
            console.print(f"seed {seed}: {best.mean_return:.1f}")
    console.print(table)
    mean = sum(best_means) / len(best_means)
    interval = bootstrap_interval(best_means)
    spread = "" if interval is None else f", 95 % bootstrap interval over seeds {interval[0]:.1f} to {interval[1]:.1f}"
    console.print(f"mean over seeds {mean:.1f}{spread}, worst {min(best_means):.1f} ({episodes} episodes per seed)")


if __name__ == "__main__":
    typer.run(main)
