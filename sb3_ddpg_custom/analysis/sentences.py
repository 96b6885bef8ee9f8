"""What may be concluded of two settings, as one sentence; and what has to be known about the runs beside it."""

import math
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from sb3_ddpg_custom.analysis.findings import Difference
from sb3_ddpg_custom.analysis.runs import LAST_EVALUATIONS, Run, by_place, settings_of
from sb3_ddpg_custom.analysis.significance import MOST_RUNS


def sentence(first: str, second: str, differences: Sequence[Difference]) -> str:
    """Say where one setting is better than another, and where nothing can be said.

    :param first: setting that is spoken of
    :param second: setting that it is compared with
    :param differences: between these two, one per environment
    :return: one sentence, and a short one each for runs that are left out or not finished
    """
    if not differences:
        return f"{first} and {second} have no environment in common in which both have a final score."
    parts: list[str] = []
    for verdict in ("better", "worse"):
        places = [one.environment for one in differences if one.verdict == verdict]
        if places:
            subject = f"{first} is " if not parts else ""
            parts.append(f"{subject}{verdict} than {second}{_on(places)}")
    open_cases = [one for one in differences if one.verdict == "unclear"]
    if open_cases:
        about = "" if parts else f" about {first} and {second}"
        said = [f"{_on([one.environment])} with {_seeds(one)} ({_needed(one)})" for one in open_cases]
        parts.append(f"nothing can be said{about}{listed(said)}")
    text = "; ".join(parts) + "."
    return " ".join([text if parts[0].startswith(first) else text[0].upper() + text[1:], *_caveats(differences)])


def listed(words: Iterable[str]) -> str:
    """Join words as a sentence does.

    >>> listed(["a", "b", "c"])
    'a, b and c'

    :param words: one at least
    """
    *others, last = words
    return f"{', '.join(others)} and {last.lstrip()}" if others else last


def counted(number: int, what: str) -> str:
    """Write a number and what it counts.

    >>> counted(1, "run"), counted(3, "run")
    ('1 run', '3 runs')

    :param number: how many
    :param what: of what, in the singular
    """
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def remarks(runs: Sequence[Run], *, of_finals: bool = True) -> list[str]:
    """Say what a reader of the scores has to know about the runs.

    :param runs: that are compared or drawn
    :param of_finals: whether final scores are looked at; else curves are
    :return: one sentence each
    """
    said = []
    empty = [run.name for run in runs if not len(run.steps)]
    if empty:
        said.append(f"without any evaluation: {_some(empty)}")
    for run in runs:
        is_lost = of_finals and math.isnan(run.final())
        bad = int((~np.isfinite(run.means)).sum())
        if bad and len(run.steps):
            in_final = ", its last ones among them, so that it has no final score" if is_lost else ""
            said.append(f"{run.name}: {bad} of {counted(len(run.steps), 'evaluation')} are no finite numbers{in_final}")
    unfinished = [
        f"{run.name} ({run.steps[-1]:,.0f} steps)" for run in runs if run.is_finished is False and len(run.steps)
    ]
    if unfinished:
        said.append(f"not finished, and counted as far as they are: {_some(unfinished)}")
    places = by_place(run for run in runs if len(run.steps))
    partial = [one for one in settings_of(runs) if any(one not in settings for settings in places.values())]
    if of_finals and partial:
        said.append(f"without runs in every environment, and so not in what is said of all: {_some(partial)}")
    for environment, settings in places.items():
        own = [run for of_setting in settings.values() for run in of_setting]
        said += _remarks_on(environment, own, of_finals)
    return said


def _remarks_on(environment: str, runs: Sequence[Run], of_finals: bool) -> list[str]:
    on = _on([environment]) or " here"
    said = []
    ends = [float(run.steps[-1]) for run in runs]
    if min(ends) < 0.9 * max(ends):
        shortest = min(runs, key=lambda run: run.steps[-1])
        said.append(
            f"the runs{on} end between {min(ends):,.0f} ({shortest.name}) and {max(ends):,.0f} steps"
            + (": their final scores are of different amounts of training" if of_finals else "")
        )
    numbers = [len(run.steps) for run in runs]
    if of_finals and min(numbers) < LAST_EVALUATIONS:
        said.append(
            f"final scores{on} average {min(numbers)} to {LAST_EVALUATIONS} evaluations, as there are no more"
            if max(numbers) >= LAST_EVALUATIONS
            else f"final scores{on} average at most {counted(max(numbers), 'evaluation')}, as there are no more"
        )
    seeds: dict[tuple[str, str], int] = {}
    for run in runs:
        seeds[run.setting, run.seed] = seeds.get((run.setting, run.seed), 0) + 1
    for (setting, seed), times in seeds.items():
        if times > 1:
            said.append(f"{times} runs of {setting}{on} have the seed {seed}: they may not be independent")
    return said


def _on(environments: Sequence[str]) -> str:
    named = [one for one in environments if one]
    return f" on {listed(named)}" if named else ""


def _seeds(one: Difference) -> str:
    first, second = one.runs
    return counted(second, "seed") if first == second else f"{first} and {counted(second, 'seed')}"


def _needed(one: Difference) -> str:
    if min(one.runs) < 2:
        return f"at least {one.runs_needed} of each would be needed"
    if one.runs_needed is None:
        return f"more than {MOST_RUNS} of each would be needed"
    return f"about {one.runs_needed} of each would be needed"


def _caveats(differences: Sequence[Difference]) -> Iterator[str]:
    """Say what a reader of the sentence alone would miss."""
    names = differences[0].first, differences[0].second
    for said, numbers in (
        ("Left out, without a final score: ", [one.left_out for one in differences]),
        ("Not finished: ", [one.unfinished for one in differences]),
    ):
        sums = [sum(each) for each in zip(*numbers, strict=True)]
        parts = [f"{counted(n, 'run')} of {name}" for n, name in zip(sums, names, strict=True) if n]
        if parts:
            yield f"{said}{listed(parts)}."


def _some(names: Sequence[str], most: int = 8) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
