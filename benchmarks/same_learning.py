"""Do two ways of computing an update learn alike? Train with both and the same seeds, and compare what they reach.

python benchmarks/same_learning.py pendulum float32 bfloat16 --seeds 10
python benchmarks/same_learning.py quick autograd compiled --seeds 20

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

WAYS = {
    "float32": {"update": "analytic", "precision": "float32"},
    "bfloat16": {"update": "analytic", "precision": "bfloat16"},
    "autograd": {"update": "autograd"},
    "compiled": {"update": "compiled"},
}


class Case(NamedTuple):
    """An env and how it is trained on."""

    env: str
    steps: int
    noise: float
    options: dict[str, Any]


def _shipped(alias: str) -> Case:
    """Take what `ddpg train ALIAS` takes."""
    from sb3_ddpg_custom.cli.config.resolve import resolve

    resolved = resolve(alias, config=None, overrides=(), steps=None, n_envs=None, registered_ids=())
    settings: Any = resolved.settings
    names = ("gamma", "tau", "buffer_size", "learning_starts", "batch_size", "learning_rate", "policy_kwargs")
    options = {name: getattr(settings, name) for name in names}
    return Case(resolved.env_id, settings.n_timesteps, settings.noise_std, options)


CASES = {
    "quick": _shipped("pendulum"),
    # rl-baselines3-zoo's settings for DDPG; in these and the next, the networks are large enough for bfloat16
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


def train(name: str, way: str, seed: int) -> dict[str, Any]:
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
    options = {**case.options, **WAYS[way], "seed": seed, "device": "cpu"}
    model = DDPG("MlpPolicy", env, action_noise=noise, **options).learn(case.steps)
    score, _ = evaluate_policy(model, make_vec_env(case.env, seed=10_000 + seed), n_eval_episodes=20)
    return {"case": name, "way": way, "seed": seed, "steps": case.steps, "score": float(score)}


def main(
    name: Annotated[str, typer.Argument(help=f"{', '.join(CASES)}.")],
    reference: Annotated[str, typer.Argument(help=f"{', '.join(WAYS)}.")],
    other: Annotated[str, typer.Argument(help="Another one of these.")],
    seeds: Annotated[int, typer.Option(min=2, help="Seeds 0, 1, …")] = 5,
    jobs: Annotated[int, typer.Option(min=1, help="Trainings at once.")] = 2,
    results: Annotated[Path, typer.Option(help="File of results, one line of JSON each.")] = Path("learning.jsonl"),
) -> None:
    """Train in both ways and compare them."""
    ways = reference, other
    for given, known in ((name, CASES), (reference, WAYS), (other, WAYS)):
        if given not in known:
            raise typer.BadParameter(f"{given!r} is none of {', '.join(known)}")
    console = Console(highlight=False)
    lines = [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []
    scores = {(line["way"], line["seed"]): line["score"] for line in lines if line["case"] == name}
    left = [(way, seed) for seed in range(seeds) for way in ways if (way, seed) not in scores]
    with ProcessPoolExecutor(jobs, mp_context=multiprocessing.get_context("spawn")) as pool:
        for done in as_completed([pool.submit(train, name, *run) for run in left]):
            result = done.result()
            scores[result["way"], result["seed"]] = result["score"]
            with results.open("a") as file:
                file.write(json.dumps(result) + "\n")
            console.print(f"seed {result['seed']}, {result['way']}: {result['score']:.1f}")
    table = Table("seed", *ways, box=None)
    for seed in range(seeds):
        table.add_row(str(seed), *(f"{scores[way, seed]:.1f}" for way in ways))
    console.print(table)
    first, second = (np.array([scores[way, seed] for seed in range(seeds)]) for way in ways)
    interval = bootstrap(
        (second, first),
        lambda a, b, axis: a.mean(axis=axis) - b.mean(axis=axis),
        method="basic",
        rng=np.random.default_rng(0),
    ).confidence_interval
    console.print(
        f"{CASES[name].env}, mean return over {seeds} seeds: {reference} {first.mean():.1f}, {other} "
        f"{second.mean():.1f}; difference {second.mean() - first.mean():.1f}, "
        f"95 % bootstrap interval {interval.low:.1f} to {interval.high:.1f}"
    )


if __name__ == "__main__":
    typer.run(main)
