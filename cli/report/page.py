"""The page: what is known of runs, put into HTML that opens from the disk and asks nothing of any network."""

import math
from collections.abc import Mapping, Sequence
from datetime import timedelta
from importlib.resources import files
from pathlib import Path
from typing import Any

from sb3_ddpg_custom import __version__
from sb3_ddpg_custom.analysis.comparison import compare
from sb3_ddpg_custom.analysis.runs import Run
from sb3_ddpg_custom.analysis.sentences import counted
from sb3_ddpg_custom.atomic import replacing
from sb3_ddpg_custom.cli.doctor.examine import Examined, examine
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.report.charts import chart_of_settings, charts_of_run
from sb3_ddpg_custom.cli.report.films import MOST_IN_ALL, bytes_of, films_of
from sb3_ddpg_custom.cli.results.layout import RUN_KEY, own_config
from sb3_ddpg_custom.cli.results.load import Loaded, load_runs
from sb3_ddpg_custom.cli.results.names import plain
from sb3_ddpg_custom.cli.results.read import Found
from sb3_ddpg_custom.cli.results.tables import number, with_interval
from sb3_ddpg_custom.cli.status import read_status

#: name of the page in a run's folder
NAME = "report.html"
_MOST_RUNS_IN_FULL = 40
_LONGEST_VALUE = 300


def write_report(words: Sequence[str], out: Path) -> list[str]:
    """Write a page about runs.

    :param words: see :func:`sb3_ddpg_custom.cli.results.find.find_runs`
    :param out: file; replaced whole or not at all
    :return: what has to be known beside it, a sentence each
    :raises UsageError: if a path does not exist, there is no run, or the file cannot be written
    """
    loaded = load_runs(words)
    text = page_of(loaded)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with replacing(out) as file:
            file.write(text.encode("utf-8", "replace"))
    except OSError as error:
        raise UsageError(f"--out {shown(out)} cannot be written ({error.strerror or error})") from error
    return list(loaded.remarks)


def page_of(loaded: Loaded) -> str:
    """Make the HTML.

    :param loaded: runs
    """
    from jinja2 import Environment, PackageLoader

    own = files("sb3_ddpg_custom.cli.report")
    charts: list[dict[str, Any]] = []
    examined = examine(loaded)
    several = len(loaded.runs) > 1
    runs = _runs(loaded, examined, charts)
    groups, sentences = _groups(loaded, examined, charts) if several else ([], [])
    # Everything that comes from a run's files is escaped.
    template = Environment(loader=PackageLoader("sb3_ddpg_custom.cli.report", "."), autoescape=True).get_template(
        "page.html.j2"
    )
    return template.render(
        title=_title(loaded),
        style=_own(own / "style.css"),
        script=_own(own / "charts.js"),
        charts=charts,
        groups=groups,
        sentences=sentences,
        runs=runs,
        remarks=[remark for remark in loaded.remarks if several],
        version=__version__,
    )


def _own(path: Any) -> Any:
    from markupsafe import Markup

    return Markup(path.read_text("utf-8"))  # noqa: S704 (a file of this package)


def _title(loaded: Loaded) -> str:
    if len(loaded.runs) == 1:
        return _named(loaded.runs[0])
    environments = list(dict.fromkeys(run.environment for run in loaded.runs if run.environment))
    return f"{counted(len(loaded.runs), 'run')} on {', '.join(environments[:4]) or 'unknown environments'}"


def _named(run: Run) -> str:
    setting = "" if run.setting == "default" else run.setting
    return ", ".join(part for part in (run.environment or "a run", setting, f"seed {run.seed}") if part)


def _groups(loaded: Loaded, examined: Examined, charts: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], list[str]]:
    """Put the runs of each environment side by side, with their statistics."""
    scored = [run for run in loaded.runs if math.isfinite(run.final())]
    comparison = compare(scored) if scored else None
    groups = []
    for environment in dict.fromkeys(run.environment for run in loaded.runs):
        own = [run for run in loaded.runs if run.environment == environment]
        chart = chart_of_settings(own, f"Return of evaluations, {environment}")
        if chart is not None:
            charts.append(chart)
        summaries = [] if comparison is None else comparison.summaries
        groups.append(
            {
                "environment": environment or "environment not named",
                "chart": None if chart is None else len(charts) - 1,
                "scores": [
                    (
                        one.setting,
                        one.runs,
                        *with_interval(one.final.iqm),
                        number(one.final.mean.value),
                        number(one.best.iqm.value),
                    )
                    for one in summaries
                    if one.environment == environment
                ],
                "findings": [(setting, [one]) for env, setting, one in examined.of_settings if env == environment],
            }
        )
    pairs = [] if comparison is None else [pair for pair in comparison.pairs if pair.environments]
    # What can be said comes first.
    return groups, sorted((pair.sentence for pair in pairs), key=lambda text: text.startswith("Nothing can be said"))


def _runs(loaded: Loaded, examined: Examined, charts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    described = []
    left = MOST_IN_ALL
    in_full = len(loaded.runs) <= _MOST_RUNS_IN_FULL
    columns = loaded.runs, loaded.found, examined.of_runs, examined.unseen, examined.facts
    for run, found, seen, missing, facts in zip(*columns, strict=True):
        own = charts_of_run(facts) if in_full else []
        films, left_out = films_of(found.place.path, left=left) if found.place.path.is_dir() else ([], [])
        left -= bytes_of(films)
        document = (own_config(found.place.path) if found.place.path.is_dir() else None) or {}
        about: Mapping[str, Any] = document.get(RUN_KEY, {})
        described.append(
            {
                "title": _named(run),
                "path": run.name,
                "findings": seen,
                "missing": missing,
                "problems": found.problems,
                "facts": _facts(run, found),
                "charts": range(len(charts), len(charts) + len(own)),
                "films": films,
                "left_out": ", ".join(left_out),
                "settings": _rows(found.config),
                "versions": _rows(about.get("versions")),
                "command": plain(about.get("repeat_with", ""), most=2000),
            }
        )
        charts += own
    return described


def _facts(run: Run, found: Found) -> list[tuple[str, str]]:
    path = found.place.path
    status = read_status(path) if path.is_dir() else None
    state = status.state if status is not None else {True: "done", False: "not finished", None: ""}[run.is_finished]
    if state == "training" and not run.is_finished:
        state = "training, or killed"
    ends: Any = found.episodes.get("steps", ())
    seconds: Any = found.episodes.get("seconds", ())
    steps = max([0, *(int(part[-1]) for part in (run.steps, ends) if len(part))])
    facts = [
        ("state", state + (f": {status.reason}" if status is not None and status.reason else "")),
        ("environment steps", f"{steps:,}" + (f" of {status.total_steps:,}" if status is not None else "")),
        ("training episodes", f"{len(found.episodes.get('return', ())):,}"),
        ("time", str(timedelta(seconds=int(seconds[-1]))) if len(seconds) and math.isfinite(seconds[-1]) else ""),
    ]
    if run.returns.size:
        last = run.returns[-1]
        half = 1.96 * last.std(ddof=1) / math.sqrt(len(last)) if len(last) > 1 else math.nan
        spread = f", 95 % of its mean {number(last.mean() - half)} to {number(last.mean() + half)}"
        episodes = counted(len(last), "episode")
        facts += [
            ("last evaluation", f"{number(last.mean())} over {episodes}" + (spread if math.isfinite(half) else "")),
            ("final: last ten evaluations", number(run.final())),
            ("best evaluation", number(run.best())),
        ]
    return [(name, value) for name, value in facts if value]


def _rows(values: Any) -> list[tuple[str, str]]:
    if not isinstance(values, Mapping):
        return []
    return [(plain(name), plain(_text(value), most=_LONGEST_VALUE)) for name, value in values.items()]


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={_text(part)}" for key, part in value.items())
    return "true" if value is True else "false" if value is False else "–" if value is None else str(value)  # noqa: RUF001
