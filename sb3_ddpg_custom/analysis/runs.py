"""What a comparison takes of one training run, and its two scores."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.analysis.statistics import Array

#: evaluations that a final score averages
LAST_EVALUATIONS = 10
# Variances of larger numbers are none that a float holds.
_OVERFLOWS = 1e100


@dataclass(frozen=True, kw_only=True, eq=False)
class Run:
    """One training run: its evaluations, and what is known of its training episodes.

    :param environment: what was trained on; empty where that is not known
    :param setting: what is compared: an algorithm, a configuration
    :param seed: tells the runs of a setting apart
    :param steps: (n,) env steps of training before each evaluation, ascending
    :param returns: (n, episodes) return of each episode of each evaluation
    :param episodes: columns (m,) of the training episodes in order: ``steps`` that were trained at an episode's end,
        ``return``, ``length``, ``seconds`` since the training began, and whatever else was recorded
    :param is_finished: whether the training came to its end; None where that is not known
    :param name: to speak of this run; "setting, seed" without one
    """

    environment: str
    setting: str
    seed: str
    steps: Array
    returns: Array
    episodes: Mapping[str, Array] = field(default_factory=dict)
    is_finished: bool | None = None
    name: str = ""

    def __post_init__(self) -> None:
        steps, returns = np.asarray(self.steps, np.float64), np.asarray(self.returns, np.float64)
        if returns.ndim == 1:
            returns = returns[:, None]
        if steps.ndim != 1 or returns.ndim != 2 or len(steps) != len(returns):
            raise ValueError(f"steps have the shape {steps.shape} and returns {returns.shape}; give (n,) and (n, k)")
        order = np.argsort(steps, kind="stable")
        object.__setattr__(self, "steps", steps[order])
        object.__setattr__(self, "returns", returns[order])
        object.__setattr__(self, "name", self.name or f"{self.setting}, seed {self.seed}")

    @property
    def means(self) -> Array:
        """Mean return of each evaluation, (n,); NaN where an episode's return is no number to compute with."""
        means = np.full(len(self.returns), np.nan)
        finite = (np.abs(self.returns) < _OVERFLOWS).all(axis=1)
        if self.returns.size:
            means[finite] = self.returns[finite].mean(axis=1)
        return means

    def until(self, steps: float) -> "Run":
        """Take the evaluations and training episodes up to a step; a run that goes on behind it came to this end.

        :param steps: env steps
        """
        there = self.steps <= steps
        ended = np.asarray(self.episodes.get("steps", ())) <= steps
        episodes = {name: np.asarray(values)[ended] for name, values in self.episodes.items()}
        came = True if not there.all() else self.is_finished
        return replace(self, steps=self.steps[there], returns=self.returns[there], episodes=episodes, is_finished=came)

    def final(self, last: int = LAST_EVALUATIONS) -> float:
        """Average the last evaluations' means, as many as there are.

        :param last: how many
        :return: NaN where there is none, or one of these is no finite number
        """
        means = self.means[-last:]
        return float(means.mean()) if len(means) else float("nan")

    def best(self) -> float:
        """Take the largest of the evaluations' means; NaN where none is a finite number."""
        means = self.means
        return float(np.nanmax(means)) if np.isfinite(means).any() else float("nan")


#: columns by name: a pandas DataFrame, a dict of arrays or lists
Table: TypeAlias = Any
Runs: TypeAlias = Sequence[Run] | Table


def runs_of(data: Runs) -> list[Run]:
    """Take runs as they are, and make them of a table.

    :param data: runs, or a long table; see :func:`runs_of_table`
    :raises ValueError: if there are none
    """
    is_runs = isinstance(data, Sequence) and all(isinstance(run, Run) for run in data)
    runs = list(data) if is_runs else runs_of_table(data)
    if not runs:
        raise ValueError("there are no runs to look at")
    return runs


def runs_of_table(table: Table) -> list[Run]:
    """Make runs of a long table with a row per evaluation, or per episode of one.

    >>> table = {"setting": ["a", "a", "b"], "seed": [0, 0, 0], "steps": [10, 20, 10], "return": [1.0, 2.0, 3.0]}
    >>> [(run.setting, run.steps.tolist(), run.final()) for run in runs_of_table(table)]
    [('a', [10.0, 20.0], 1.5), ('b', [10.0], 3.0)]

    :param table: a pandas DataFrame or any mapping, with the columns ``setting``, ``seed``, ``return``, and if there
        are any ``environment`` and ``steps``; rows of one run with equal steps are one evaluation's episodes
    :return: in the order of their first rows
    :raises ValueError: if a column is missing, or is not as long as the others
    """
    columns: dict[str, NDArray[Any]] = {}
    for name in ("environment", "setting", "seed", "steps", "return"):
        if name in table:
            columns[name] = np.asarray(table[name])
        elif name not in ("environment", "steps"):
            raise ValueError(f"the table has no column '{name}'; setting, seed and return are needed")
    rows = len(columns["return"])
    for name, values in columns.items():
        if values.shape != (rows,):
            raise ValueError(f"the column '{name}' has the shape {values.shape}, 'return' has {rows} rows")
    places: dict[tuple[str, str, str], list[int]] = {}
    for row in range(rows):
        environment = str(columns["environment"][row]) if "environment" in columns else ""
        places.setdefault((environment, str(columns["setting"][row]), str(columns["seed"][row])), []).append(row)
    returns = columns["return"].astype(np.float64)
    steps = columns["steps"].astype(np.float64) if "steps" in columns else np.zeros(rows)
    return [_of_rows(key, steps[own], returns[own]) for key, own in places.items()]


def _of_rows(key: tuple[str, str, str], steps: Array, returns: Array) -> Run:
    evaluations = [returns[steps == step] for step in np.unique(steps)]
    # Where evaluations differ in their episodes, NaN would spoil the means: their means are taken instead.
    if len({len(one) for one in evaluations}) == 1:
        together = np.stack(evaluations)
    else:
        together = np.array([[one.mean()] for one in evaluations])
    return Run(environment=key[0], setting=key[1], seed=key[2], steps=np.unique(steps), returns=together)


def by_place(runs: Iterable[Run]) -> dict[str, dict[str, list[Run]]]:
    """Sort runs by environment and setting.

    :param runs: in any order
    :return: environment → setting → runs, in the order in which they first appear
    """
    found: dict[str, dict[str, list[Run]]] = {}
    for run in runs:
        found.setdefault(run.environment, {}).setdefault(run.setting, []).append(run)
    return found


def settings_of(runs: Iterable[Run]) -> list[str]:
    """List the settings in the order in which they first appear.

    :param runs: in any order
    """
    return list(dict.fromkeys(run.setting for run in runs))


def normalised_finals(runs: Sequence[Run], last: int = LAST_EVALUATIONS) -> dict[str, list[Array]]:
    """Bring final scores to one scale: per environment, 0 is the smallest and 1 the largest of these runs.

    :param runs: those whose finals are no finite numbers are left out
    :param last: evaluations that a final score averages
    :return: for each setting that has runs in every environment, one array (runs,) per environment
    """
    scaled: dict[str, list[Array]] = {}
    places = by_place(run for run in runs if np.isfinite(run.final(last)))
    for settings in places.values():
        finals = {setting: np.array([run.final(last) for run in own]) for setting, own in settings.items()}
        low, high = min(map(np.min, finals.values())), max(map(np.max, finals.values()))
        for setting, values in finals.items():
            scaled.setdefault(setting, []).append((values - low) / ((high - low) or 1.0))
    return {setting: strata for setting, strata in scaled.items() if len(strata) == len(places)}
