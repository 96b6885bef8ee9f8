"""Does bfloat16 learn worse than float32? Train both with the same seeds and compare what they reach.

python benchmarks/precision.py pendulum --seeds 10
python benchmarks/precision.py halfcheetah --seeds 5

Each training is a process with one thread; --jobs of them run at once. Results are appended to a file, from which an
interrupted comparison goes on.
"""

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor, as_completed
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.stats import bootstrap

PRECISIONS = ("float32", "bfloat16")


class Case(NamedTuple):
    """An env and how it is trained on; the networks are large enough for bfloat16 to be used."""

    env: str
    steps: int
    noise: float
    options: dict[str, Any]


CASES = {
    # rl-baselines3-zoo's settings for DDPG
    "pendulum": Case(
        "Pendulum-v1",
        20_000,
        0.1,
        {
            "gamma": 0.98,
            "buffer_size": 200_000,
            "learning_starts": 10_000,
            "batch_size": 256,
            "policy_kwargs": {"net_arch": [400, 300]},
        },
    ),
    "halfcheetah": Case(
        "HalfCheetah-v5",
        300_000,
        0.1,
        {
            "buffer_size": 300_000,
            "learning_starts": 10_000,
            "batch_size": 128,
            "policy_kwargs": {"net_arch": [256, 256]},
        },
    ),
}


def train(name: str, precision: str, seed: int) -> dict[str, Any]:
    """Train once; the score is the mean return of the last policy over 20 episodes."""
    import torch as th
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.evaluation import evaluate_policy
    from stable_baselines3.common.noise import NormalActionNoise

    from sb3_ddpg_custom import DDPG

    th.set_num_threads(1)
    case = CASES[name]
    env = make_vec_env(case.env, seed=seed)
    size = env.action_space.shape[0]  # type: ignore[index]
    noise = NormalActionNoise(np.zeros(size), np.full(size, case.noise))
    options = {**case.options, "precision": precision, "seed": seed, "device": "cpu"}
    model = DDPG("MlpPolicy", env, action_noise=noise, **options).learn(case.steps)
    score, _ = evaluate_policy(model, make_vec_env(case.env, seed=10_000 + seed), n_eval_episodes=20)
    return {"case": name, "precision": precision, "seed": seed, "steps": case.steps, "score": float(score)}


def main(
    name: Annotated[str, typer.Argument(help="pendulum or halfcheetah.")],
    seeds: Annotated[int, typer.Option(min=2, help="Seeds 0, 1, …")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 2,
    results: Annotated[Path, typer.Option(help="File of results, one line of JSON each.")] = Path("precision.jsonl"),
) -> None:
    """Train with both precisions and compare them."""
    if name not in CASES:
        raise typer.BadParameter(f"{name!r} is none of {', '.join(CASES)}")
    console = Console(highlight=False)
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    scores = {(line["precision"], line["seed"]): line["score"] for line in lines if line["case"] == name}
    left = [(precision, seed) for seed in range(seeds) for precision in PRECISIONS if (precision, seed) not in scores]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(train, name, *run) for run in left]):
            result = done.result()
            scores[result["precision"], result["seed"]] = result["score"]
            with results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            console.print(f"seed {result['seed']}, {result['precision']}: {result['score']:.1f}")
    table = Table("seed", *PRECISIONS, box=None)
    for seed in range(seeds):
        table.add_row(str(seed), *(f"{scores[precision, seed]:.1f}" for precision in PRECISIONS))
    console.print(table)
    reached = [np.array([scores[precision, seed] for seed in range(seeds)]) for precision in PRECISIONS]
    interval = bootstrap(
        (reached[1], reached[0]),
        lambda ours, reference, axis: ours.mean(axis=axis) - reference.mean(axis=axis),
        method="basic",
        rng=np.random.default_rng(0),
    ).confidence_interval
    console.print(
        f"{CASES[name].env}, mean return over {seeds} seeds: float32 {reached[0].mean():.1f}, bfloat16 "
        f"{reached[1].mean():.1f}; difference {reached[1].mean() - reached[0].mean():.1f}, "
        f"95 % bootstrap interval {interval.low:.1f} to {interval.high:.1f}"
    )


if __name__ == "__main__":
    typer.run(main)
