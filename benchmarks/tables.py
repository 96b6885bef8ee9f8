"""Make the table of what the shipped configurations reach, from benchmarks/results.

python benchmarks/tables.py             # writes it into README.md
python benchmarks/tables.py --json
"""

import json
import re
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from campaign import ORDER, RESULTS, settings_hash

from sb3_ddpg_custom.analysis.statistics import bootstrap_intervals, mean
from sb3_ddpg_custom.cli.config.resolve import aliases, resolve, to_yaml
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml

README = Path(__file__).resolve().parents[1] / "README.md"
_BEGIN, _END = "<!-- made by benchmarks/tables.py -->", "<!-- end -->"
_LAST = 10  # evaluations whose mean is a run's final score
#: what others have published for DDPG: best or final, env steps, and where; the two are never to be mixed
PUBLISHED = {
    "pendulum": ("final -152", 20_000, "rl-baselines3-zoo"),
    "mountain_car_continuous": ("final 93.5", 300_000, "rl-baselines3-zoo"),
    "lunar_lander": ("final 230", 300_000, "rl-baselines3-zoo"),
    "bipedal_walker": ("final 197", 1_000_000, "rl-baselines3-zoo"),
    "inverted_pendulum": ("best 1000, final 844", 1_000_000, "PFRL"),
    "inverted_double_pendulum": ("best 9360, final 6465", 1_000_000, "XuanCe, PFRL"),
    "reacher": ("best -2.97, final -5.64", 1_000_000, "PFRL"),
    "hopper": ("best 3521, final 1577", 1_000_000, "PFRL, CleanRL"),
    "walker2d": ("best 3933, final 2362", 1_000_000, "PFRL, TD3's paper"),
    "half_cheetah": ("best 11719, final 10374", 1_000_000, "Tianshou, CleanRL"),
    "ant": ("best 1532, final 753", 1_000_000, "PFRL"),
    "swimmer": ("best 144", 1_000_000, "Tianshou"),
    "humanoid": ("final 1700", 1_000_000, "CleanRL"),
}


def main(as_json: Annotated[bool, typer.Option("--json", help="Print the rows instead.")] = False) -> None:
    """Write the table into the README."""
    rows = [row_of(name) for name in ORDER]
    if as_json:
        print(json.dumps(rows))
        return
    text = README.read_text("utf-8")
    table = "\n".join(["", *_lines(rows), ""])
    README.write_text(
        re.sub(f"(?s)({re.escape(_BEGIN)}\n).*?({re.escape(_END)})", lambda m: m[1] + table + "\n" + m[2], text),
        "utf-8",
    )


def row_of(name: str, results: Path = RESULTS) -> dict[str, Any]:
    """Summarise the runs of one study with the configuration as it is shipped now.

    :param name: of the alias
    :param results: folder of the JSONs
    """
    alias = aliases()[name]
    wanted = settings_hash(_entry(name))
    runs = [json.loads(path.read_text()) for path in sorted((results / name).glob("*-seed-*.json"))]
    current = [run for run in runs if settings_hash(run["settings"]) == wanted]
    row: dict[str, Any] = {
        "name": name,
        "env": alias.env_id,
        "steps": alias.n_timesteps,
        "seeds": len(current),
        "older": len(runs) - len(current),
        "published": PUBLISHED.get(name),
    }
    if current:
        curves = [np.asarray(run["returns"]).mean(axis=1) for run in current]
        finals = np.array([curve[-_LAST:].mean() for curve in curves])
        row["best"] = float(np.mean([curve.max() for curve in curves]))
        row["final"] = float(finals.mean())
        if len(finals) > 1:
            (row["interval"],) = [list(one) for one in bootstrap_intervals(finals, (mean,))]
    return row


def _entry(name: str) -> dict[str, Any]:
    resolved = resolve(name, config=None, overrides=(), steps=None, n_envs=None, registered_ids=())
    entry: dict[str, Any] = parse_yaml(to_yaml(resolved), name)[resolved.env_id]
    return entry


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    lines = [
        "| `ddpg train` | env steps | seeds | final [95 %] | best | published for DDPG |",
        "| --- | ---: | ---: | ---: | ---: | --- |",
    ]
    for row in rows:
        if row["seeds"]:
            interval = f" [{_short(row['interval'][0])}, {_short(row['interval'][1])}]" if "interval" in row else ""
            figures = f"{row['seeds']} | {_short(row['final'])}{interval} | {_short(row['best'])}"
        else:
            figures = "0 | not run yet | "
        published = ""
        if row["published"]:
            scores, steps, source = row["published"]
            published = f"{scores} after {steps:,} ({source})"
        lines.append(f"| {row['name']} | {row['steps']:,} | {figures} | {published} |")
    return lines


def _short(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.1f}"


if __name__ == "__main__":
    typer.run(main)
