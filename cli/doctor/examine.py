"""Runs looked through by the rules of ``diagnosis.rules``; what ``ddpg doctor`` does, for the report too."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from sb3_ddpg_custom.analysis.runs import Run
from sb3_ddpg_custom.cli.results.curves import read_curves
from sb3_ddpg_custom.cli.results.load import Loaded
from sb3_ddpg_custom.cli.results.read import Found
from sb3_ddpg_custom.diagnosis.facts import Curve, Facts
from sb3_ddpg_custom.diagnosis.rules import Finding, findings, seeds_disagree


@dataclass(frozen=True)
class Examined:
    """What was found about runs.

    :param of_runs: for each run, in the order in which they were loaded
    :param of_settings: environment, setting, and what was found between its seeds
    :param unseen: for each run, what there was nothing to tell by: a phrase, empty where all was there
    :param facts: for each run, what was looked at
    """

    of_runs: tuple[tuple[Finding, ...], ...]
    of_settings: tuple[tuple[str, str, Finding], ...]
    unseen: tuple[str, ...]
    facts: tuple[Facts, ...]


def examine(loaded: Loaded) -> Examined:
    """Apply all rules to runs, and to the seeds of each setting.

    :param loaded: runs
    """
    facts = tuple(facts_of(one) for one in loaded.found)
    of_settings = []
    groups: dict[tuple[str, str], list[Run]] = {}
    for run in loaded.runs:
        groups.setdefault((run.environment, run.setting), []).append(run)
    for (environment, setting), runs in groups.items():
        curves = [run.returns.mean(axis=1) for run in runs if run.is_finished is not False and run.returns.size]
        finals = np.array([run.final() for run in runs if run.is_finished is not False and run.returns.size])
        gains = np.array([curve.max() - curve[0] for curve in curves])
        finding = seeds_disagree(finals, gains) if len(finals) else None
        if finding is not None:
            of_settings.append((environment, setting, finding))
    return Examined(
        of_runs=tuple(tuple(findings(one)) for one in facts),
        of_settings=tuple(of_settings),
        unseen=tuple(_unseen(one) for one in facts),
        facts=facts,
    )


def facts_of(found: Found) -> Facts:
    """Gather what is known of a run.

    :param found: what its files say
    """
    evaluations, episodes = found.evaluations, found.episodes
    steps = np.asarray(evaluations["timesteps"], np.int64)
    ends = np.asarray(episodes.get("steps", ()), np.int64)
    folder = found.place.path
    curves: Mapping[str, Curve] = read_curves(folder) if folder.is_dir() else {}
    number = len(ends)
    return Facts(
        settings=found.config if isinstance(found.config, Mapping) else {},
        steps=int(max([0, *steps[-1:], *ends[-1:]])),
        curves=curves,
        evaluations=steps,
        evaluation_returns=np.asarray(evaluations["results"], np.float64),
        episode_steps=ends,
        episode_returns=np.asarray(episodes.get("return", np.empty(0)), np.float64)[:number],
        episode_lengths=np.asarray(episodes.get("length", np.empty(0)), np.int64)[:number],
    )


def _unseen(facts: Facts) -> str:
    missing = [
        *([] if any(tag.startswith("diagnosis/") for tag in facts.curves) else ["no curves of what went on inside"]),
        *([] if len(facts.evaluations) else ["no evaluations"]),
        *([] if len(facts.episode_steps) else ["no training episodes"]),
        *([] if facts.settings else ["no settings"]),
    ]
    return ", ".join(missing)


def to_json(loaded: Loaded, examined: Examined) -> dict[str, Any]:
    """Make plain data of what was found.

    :param loaded: the runs
    :param examined: what was found about them
    """
    return {
        "runs": [
            {
                "run": run.name,
                "environment": run.environment,
                "setting": run.setting,
                "seed": run.seed,
                "findings": [asdict(finding) for finding in found],
                "unseen": unseen,
            }
            for run, found, unseen in zip(loaded.runs, examined.of_runs, examined.unseen, strict=True)
        ],
        "settings": [
            {"environment": environment, "setting": setting, **asdict(finding)}
            for environment, setting, finding in examined.of_settings
        ],
        "remarks": list(loaded.remarks),
    }


def lines(loaded: Loaded, examined: Examined) -> Sequence[tuple[str, str]]:
    """Write what was found for people: lines with their styles.

    :param loaded: the runs
    :param examined: what was found about them
    """
    written: list[tuple[str, str]] = []
    for run, found, unseen in zip(loaded.runs, examined.of_runs, examined.unseen, strict=True):
        title = " ".join(part for part in (run.environment, run.setting, f"seed {run.seed}") if part)
        written.append((f"{title}  {run.name}", "bold"))
        if not found:
            written.append(
                ("  nothing is wrong that can be seen" + (f"; there are {unseen}" if unseen else ""), "green")
            )
        for finding in found:
            written += _said(finding)
    for environment, setting, finding in examined.of_settings:
        written.append((f"{environment} {setting}", "bold"))
        written += _said(finding)
    return written


def _said(finding: Finding) -> list[tuple[str, str]]:
    return [
        (f"  {finding.rule}: {finding.sentence}", "magenta"),
        (f"    try: {finding.advice}", ""),
        (f"    after {finding.source}", "dim"),
    ]
