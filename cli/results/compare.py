"""Comparing runs from their files; what ``ddpg compare`` does, for Python too."""

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from sb3_ddpg_custom.analysis.comparison import compare
from sb3_ddpg_custom.analysis.findings import Comparison
from sb3_ddpg_custom.analysis.sentences import counted, remarks
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean
from sb3_ddpg_custom.cli.results.load import load_runs
from sb3_ddpg_custom.cli.results.names import plain
from sb3_ddpg_custom.cli.results.options import CompareRequest


def compare_runs(request: CompareRequest) -> tuple[Comparison, list[str]]:
    """Read runs and compare their settings.

    :param request: what was asked for
    :return: what was found, and what has to be known beside it, a sentence each
    :raises UsageError: if there are no runs, none has a score, or the baseline is none of the settings
    """
    loaded = load_runs(request.runs)
    runs = list(loaded.runs)
    if request.until is not None:
        runs = [run.until(request.until) for run in runs]
    settings = {run.setting for run in runs}
    if request.baseline is not None and request.baseline not in settings:
        hint = did_you_mean(request.baseline, settings) or f"; there are {', '.join(sorted(settings))}"
        raise UsageError(f"--baseline {plain(request.baseline)} is none of the settings{hint}")
    said = [*loaded.remarks, *remarks(runs)]
    ends = [float(run.steps[-1]) for run in runs if len(run.steps)]
    if request.until is None and any(run.is_finished is False for run in runs) and min(ends, default=0) > 0:
        said.append(f"--until {min(ends):.0f} looks at all runs up to where the shortest is")
    if not any(math.isfinite(run.final()) for run in runs):
        until = f" within {request.until:,} steps" if request.until is not None else ""
        raise UsageError(f"no final score in {counted(len(runs), 'run')}{until}: {'; '.join(said[:3])}")
    return compare(runs, baseline=request.baseline), said


def to_json(comparison: Comparison, said: Sequence[str]) -> dict[str, Any]:
    """Make plain data of a comparison: numbers that are finite, or null.

    :param comparison: of :func:`compare_runs`
    :param said: its remarks
    """
    plain_data: dict[str, Any] = _finite({**asdict(comparison), "remarks": list(said)})
    return plain_data


def to_csv(comparison: Comparison) -> str:
    """Write a line per environment and setting, with a header.

    :param comparison: of :func:`compare_runs`
    """
    aggregates = [f"{score}_{name}" for score in ("final", "best") for name in ("iqm", "mean", "median")]
    columns = [f"{name}{end}" for name in aggregates for end in ("", "_low", "_high")]
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(["environment", "setting", "runs", "left_out", "first_end_steps", "last_end_steps", *columns])
    for one in comparison.summaries:
        estimates = [
            getattr(getattr(one, score), name) for score, _, name in (text.partition("_") for text in aggregates)
        ]
        numbers = [number for estimate in estimates for number in (estimate.value, estimate.low, estimate.high)]
        row = [one.environment, one.setting, one.runs, one.left_out, *one.last_steps, *numbers]
        writer.writerow(["" if isinstance(cell, float) and math.isnan(cell) else cell for cell in row])
    return file.getvalue()


def _finite(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _finite(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(part) for part in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
