"""What an average of the actor returns beside the actor itself, in one training: several rates, evaluated together.

python benchmarks/averaging.py hopper --seed 0        # writes benchmarks/results/averaging/hopper-seed-0.json
python benchmarks/averaging.py --table                # writes the table of docs/ablation.md

The average explores nothing and trains nothing, so that one training shows all of them. The settings are the shipped
ones. Every evaluation plays the same 10 episodes with each actor.
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import gymnasium as gym
import numpy as np
import torch as th
import typer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env

from sb3_ddpg_custom.acting.averaged_actor import AVERAGE
from sb3_ddpg_custom.cli.config.resolve import resolve
from sb3_ddpg_custom.cli.training.model import build_model

HERE = Path(__file__).resolve().parent
RESULTS, PAGE = HERE / "results" / "averaging", HERE.parent / "docs" / "ablation.md"
RATES = (1e-3, 3e-4, 1e-4, 3e-5)  # where the average is the plain mean at first
RATES_OF_A_FIFTH = (1e-4, 3e-5, 1e-5)  # where it spans no more than a fifth of the updates
EPISODES, EVALUATIONS, _LAST = 10, 30, 10
_OF_A_FIFTH = " of a fifth"  # behind a rate, in the JSONs
_USUAL = 200_000  # env steps
_UPDATES_BETWEEN = 10  # between two looks at the actor; the rates are ten times as large then


class Averages(BaseCallback):
    """Averages of the actor, played beside it.

    :param env_id: what is trained on
    :param every: env steps between evaluations
    :param file: a JSON, written anew with each evaluation
    :param about: what it says besides
    """

    leaves_the_model_alone = True

    def __init__(self, env_id: str, every: int, file: Path, about: dict[str, Any]) -> None:
        super().__init__()
        self.every, self.file, self.about = every, file, about
        self.envs = [gym.make(env_id) for _ in range(EPISODES)]
        self.found: dict[str, list[float]] = {}
        self.steps: list[int] = []
        self._looks = 0

    def _on_training_start(self) -> None:
        policy: Any = self.model.policy
        self._own, self._target = list(policy.actor.parameters()), list(policy.actor_target.parameters())
        rates = [(rate, 1) for rate in RATES] + [(rate, 5) for rate in RATES_OF_A_FIFTH]
        self._averages = {rate: [one.detach().clone() for one in self._own] for rate in rates}

    def _on_rollout_start(self) -> None:
        model: Any = self.model
        if model._n_updates and model._n_updates % _UPDATES_BETWEEN == 0:
            self._looks += 1
            with th.no_grad():
                for (rate, parts), average in self._averages.items():
                    share = max(_UPDATES_BETWEEN * rate, min(parts / self._looks, 1))
                    th._foreach_lerp_(average, self._own, share)

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every == 0:
            self.steps.append(self.num_timesteps)
            played = {"actor": self._own, "target": self._target}
            for (rate, parts), average in self._averages.items():
                played[f"{rate:g}" + ("" if parts == 1 else _OF_A_FIFTH)] = average
            for name, weights in played.items():
                self.found.setdefault(name, []).append(round(self._play(weights), 1))
            found = {**self.about, "steps": self.steps, "returns": self.found}
            self.file.write_text(json.dumps(found, separators=(",", ":")) + "\n")
            print(self.num_timesteps, {name: returns[-1] for name, returns in self.found.items()}, flush=True)
        return True

    def _play(self, weights: list[th.Tensor]) -> float:
        """Play the episodes with an actor of these weights; give their mean return."""
        actor: Any = getattr(self.model.policy, AVERAGE)  # that of the policy, which nobody else plays here
        with th.no_grad():
            for own, value in zip(actor.parameters(), weights, strict=True):
                own.copy_(value)
        observations = [env.reset(seed=1_000_000 + place)[0] for place, env in enumerate(self.envs)]
        running, total = [True] * EPISODES, 0.0
        while any(running):
            actions, _ = self.model.predict(np.stack(observations), deterministic=True)
            for place, env in enumerate(self.envs):
                if running[place]:
                    observations[place], reward, terminated, truncated, _ = env.step(actions[place])
                    total += float(reward)
                    running[place] = not (terminated or truncated)
        return total / EPISODES


def main(
    alias: Annotated[str, typer.Argument(help="Of a shipped configuration.")] = "hopper",
    seed: Annotated[int, typer.Option(help="Of the training.")] = 0,
    steps: Annotated[int, typer.Option(min=1, help="Env steps.")] = _USUAL,
    threads: Annotated[int, typer.Option(min=1, help="Of torch.")] = 1,
    changed: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As of ddpg train.")] = None,
    table: Annotated[bool, typer.Option("--table", help="Only write the table.")] = False,
) -> None:
    """Train once, and evaluate all averages."""
    if not table:
        th.set_num_threads(threads)
        own = ",".join(changed or ())
        overrides = (*(changed or ()), "actor_average_tau=1")  # room for an average
        found = resolve(alias, config=None, overrides=overrides, steps=steps, n_envs=None, registered_ids=())
        length = "" if steps == _USUAL else f"{steps}-steps"
        RESULTS.mkdir(parents=True, exist_ok=True)
        file = RESULTS / "-".join(filter(None, [alias, own, length, f"seed-{seed}.json"]))
        about = {"env": ", ".join(filter(None, [found.env_id, own, length.replace("-", " ")])), "seed": seed}
        averages = Averages(found.env_id, max(steps // EVALUATIONS, 1), file, about)
        model = build_model(found.settings, make_vec_env(found.env_id, seed=seed), seed=seed, device="cpu")
        model.learn(steps, averages)
    begin, end = "<!-- averaging, made by benchmarks/averaging.py -->", "<!-- end of averaging -->"
    text = "\n".join(["", *lines_of(RESULTS), ""])
    page = PAGE.read_text("utf-8")
    PAGE.write_text(re.sub(f"(?s)({begin}\n).*?({end})", lambda m: m[1] + text + "\n" + m[2], page), "utf-8")


def lines_of(results: Path) -> list[str]:
    """Make the table: for each environment the mean of the last ten evaluations, and its share of the best one.

    :param results: folder of the JSONs
    """
    begun = [json.loads(path.read_text()) for path in sorted(results.glob("*.json"))]
    runs = [run for run in begun if len(run["steps"]) >= EVALUATIONS]
    names = list(dict.fromkeys(name for run in runs for name in run["returns"]))
    lines = [
        "| environment | seeds | " + " | ".join(_titled(name) for name in names) + " |",
        "| --- | ---: |" + " ---: |" * len(names),
    ]
    for env in dict.fromkeys(run["env"] for run in runs):
        mine = [run["returns"] for run in runs if run["env"] == env]
        cells = []
        for name in names:
            if not all(name in returns for returns in mine):
                cells.append("")
                continue
            last = [np.mean(returns[name][-_LAST:]) for returns in mine]
            share = [np.mean(returns[name][-_LAST:]) / max(returns[name]) for returns in mine]
            cells.append(f"{np.mean(last):,.0f} ({100 * np.mean(share):.0f} %)")
        lines.append(f"| {env} | {len(mine)} | " + " | ".join(cells) + " |")
    return lines


def _titled(name: str) -> str:
    rate = name.removesuffix(_OF_A_FIFTH)
    average = f"average, {rate}" + (", of a fifth at most" if rate != name else "")
    return {"actor": "the actor itself", "target": "its target"}.get(name, average)


if __name__ == "__main__":
    typer.run(main)
