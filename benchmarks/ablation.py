"""Write the table of an ablation into docs/ablation.md, from benchmarks/results.

python benchmarks/ablation.py                 # hopper_ablation
python benchmarks/campaign.py hopper_ablation # makes the runs
ddpg compare benchmarks/results/hopper_ablation --baseline plain
"""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import typer
import yaml
from campaign import RESULTS, STUDIES

from sb3_ddpg_custom.analysis.statistics import bootstrap_intervals, mean

PAGE = Path(__file__).resolve().parents[1] / "docs" / "ablation.md"
_LAST = 10  # evaluations whose mean is a run's final score
_FEWEST = 3  # seeds from which on an interval is given


def main(study: str = "hopper_ablation") -> None:
    """Write the table into the page."""
    begin, end = f"<!-- {study}, made by benchmarks/ablation.py -->", "<!-- end -->"
    table = "\n".join(["", *lines_of(study), ""])
    text = PAGE.read_text("utf-8")
    new = re.sub(f"(?s)({re.escape(begin)}\n).*?({re.escape(end)})", lambda m: m[1] + table + "\n" + m[2], text)
    PAGE.write_text(new, "utf-8")


def lines_of(study: str, results: Path = RESULTS) -> list[str]:
    """Make the table of a study, a row per setting in the order of its file.

    :param study: its name
    :param results: folder of the JSONs
    """
    lines = [
        "| setting | seeds | final [95 %] | best | final of best | Q promises | came of it | actions at the bounds |",
        "| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    for setting in yaml.safe_load((STUDIES / f"{study}.yml").read_text())["settings"]:
        paths = sorted((results / study).glob(f"{setting}-seed-*.json"))
        runs = [
            json.loads(path.read_text()) for path in paths if path.stem.removeprefix(f"{setting}-seed-").isdecimal()
        ]
        lines.append(_row(setting, runs))
    return lines


def _row(setting: str, runs: list[dict[str, Any]]) -> str:
    if not runs:
        return f"| {setting} | 0 | not run yet | | | | | |"
    curves = [np.asarray(run["returns"]).mean(axis=1) for run in runs]
    finals, bests = np.array([curve[-_LAST:].mean() for curve in curves]), np.array([curve.max() for curve in curves])
    interval = ""
    if len(runs) >= _FEWEST:
        ((low, high),) = bootstrap_intervals(finals, (mean,))
        interval = f" [{low:,.0f}, {high:,.0f}]"
    found = {
        name: np.nanmean([[np.nan if one is None else one for one in run["diagnosis"][name][-_LAST:]] for run in runs])
        for name in ("q_predicted", "q_realised", "saturated_actions")
    }
    return (
        f"| {setting} | {len(runs)} | {finals.mean():,.0f}{interval} | {bests.mean():,.0f} "
        f"| {100 * (finals / bests).mean():.0f} % | {found['q_predicted']:,.0f} | {found['q_realised']:,.0f} "
        f"| {100 * found['saturated_actions']:.0f} % |"
    )


if __name__ == "__main__":
    typer.run(main)
