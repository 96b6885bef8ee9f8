"""Runs, tables and their scores: final and best are never mixed, and nothing is silently left out."""

import math
from typing import Any

import numpy as np
import pytest

from sb3_ddpg_custom.analysis.bands import band_of, binned
from sb3_ddpg_custom.analysis.runs import Run, normalised_finals, runs_of, runs_of_table
from sb3_ddpg_custom.analysis.sentences import remarks


def run(returns: Any, environment: str = "E", setting: str = "s", seed: str = "0", **options: Any) -> Run:
    steps = options.pop("steps", np.arange(len(returns)) * 10 + 10)
    return Run(environment=environment, setting=setting, seed=seed, steps=steps, returns=np.array(returns), **options)


def test_final_is_the_mean_of_the_last_ten_and_best_the_largest_mean() -> None:
    one = run([[100.0, 200.0], *[[0.0, 2.0 * k] for k in range(10)]])
    assert one.means.tolist() == [150.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0]
    assert one.final() == 4.5
    assert one.final(2) == 8.5
    assert one.best() == 150.0


def test_fewer_evaluations_are_averaged_as_far_as_they_are() -> None:
    assert run([[1.0], [3.0]]).final() == 2.0
    assert math.isnan(run(np.empty((0, 0))).final())
    assert math.isnan(run(np.empty((0, 0))).best())


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e200])
def test_what_is_no_finite_number_spoils_the_evaluation_that_it_is_in(bad: float) -> None:
    early, late = run([[bad, 0.0], *[[1.0, 3.0]] * 10]), run([[1.0, 3.0], [bad, 0.0]])
    assert (early.final(), early.best()) == (2.0, 2.0)
    assert math.isnan(late.final())
    assert late.best() == 2.0
    assert "1 of 2 evaluations are no finite numbers, its last ones among them" in remarks([late])[0]


def test_evaluations_are_sorted_by_their_steps() -> None:
    assert run([[2.0], [1.0]], steps=[20, 10]).means.tolist() == [1.0, 2.0]


def test_shapes_that_do_not_fit() -> None:
    with pytest.raises(ValueError, match=r"shape \(3,\) and returns \(2, 1\)"):
        run([[1.0], [2.0]], steps=[1, 2, 3])


def test_a_run_up_to_a_step() -> None:
    whole = run([[1.0], [2.0], [9.0]], is_finished=False, episodes={"steps": np.array([5.0, 25.0])})
    cut = whole.until(20)
    assert (cut.final(), cut.is_finished, cut.episodes["steps"].tolist()) == (1.5, True, [5.0])
    assert whole.until(30).is_finished is False


TABLE: dict[str, list[Any]] = {
    "environment": ["E", "E", "E", "F"],
    "setting": ["a", "a", "b", "a"],
    "seed": [0, 0, 0, 0],
    "steps": [10, 10, 10, 20],
    "return": [1.0, 3.0, 5.0, 7.0],
}


class Frame:
    """As much of a pandas DataFrame as is asked for."""

    def __init__(self, columns: dict[str, list[Any]]) -> None:
        self.columns = columns

    def __contains__(self, name: str) -> bool:
        return name in self.columns

    def __getitem__(self, name: str) -> Any:
        return np.array(self.columns[name], object)


@pytest.mark.parametrize("table", [TABLE, Frame(TABLE)])
def test_a_table_becomes_runs(table: Any) -> None:
    found = [(one.environment, one.setting, one.steps.tolist(), one.returns.tolist()) for one in runs_of_table(table)]
    assert found == [("E", "a", [10.0], [[1.0, 3.0]]), ("E", "b", [10.0], [[5.0]]), ("F", "a", [20.0], [[7.0]])]


def test_a_table_of_evaluations_of_different_length_keeps_their_means() -> None:
    table = {"setting": ["a"] * 3, "seed": [0] * 3, "steps": [1, 1, 2], "return": [1.0, 2.0, 4.0]}
    assert runs_of_table(table)[0].means.tolist() == [1.5, 4.0]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"setting": ["a"], "seed": [0]}, "no column 'return'"),
        ({**TABLE, "seed": [0]}, r"'seed' has the shape \(1,\), 'return' has 4 rows"),
        ([], "no runs"),
    ],
)
def test_tables_that_are_none(table: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        runs_of(table)


def test_scores_are_scaled_within_each_environment() -> None:
    runs = [
        run([[0.0]]),
        run([[10.0]], setting="t"),
        run([[100.0]], "F"),
        run([[300.0]], "F", "t"),
        run([[200.0]], "F", "u"),
    ]
    scaled = normalised_finals(runs)
    assert {name: [one.tolist() for one in strata] for name, strata in scaled.items()} == {
        "s": [[0.0], [0.0]],
        "t": [[1.0], [1.0]],
    }
    assert any("without runs in every environment" in one and one.endswith(": u") for one in remarks(runs))


def test_what_a_reader_has_to_know() -> None:
    runs = [
        run([[0.0]] * 12, name="whole", is_finished=True),
        run([[0.0]] * 4, seed="1", name="killed", is_finished=False),
        run(np.empty((0, 0)), seed="2", name="empty"),
        run([[0.0]] * 12, name="twin"),
    ]
    assert remarks(runs) == [
        "without any evaluation: empty",
        "not finished, and counted as far as they are: killed (40 steps)",
        "the runs on E end between 40 (killed) and 120 steps: their final scores are of different amounts of training",
        "final scores on E average 4 to 10 evaluations, as there are no more",
        "2 runs of s on E have the seed 0: they may not be independent",
    ]


def test_a_band_goes_as_far_as_half_of_the_runs() -> None:
    band = band_of([run([[0.0], [0.0], [0.0]]), run([[2.0], [4.0]]), run([[4.0]])])
    assert band.x.tolist() == [10.0, 20.0, 30.0]
    assert band.middle[:2].tolist() == [2.0, 2.0]
    assert np.isnan(band.middle[2])
    assert (band.low[0], band.high[0]) == (0.0, 4.0)


def test_a_band_between_the_points_of_runs_with_other_points() -> None:
    band = band_of([run([[0.0], [10.0]], steps=[0, 10]), run([[0.0], [5.0], [10.0]], steps=[0, 5, 10])])
    assert band.middle.tolist() == [0.0, 5.0, 10.0]
    assert band.low.tolist() == band.high.tolist() == [0.0, 5.0, 10.0]


def test_a_band_of_many_points_has_200() -> None:
    many = np.arange(1000.0)
    band = band_of([run(many[:, None], steps=many)])
    assert len(band.x) == 200
    assert band.middle == pytest.approx(band.x)
    assert np.isnan(band.low).all()


def test_bins_without_an_episode_are_left_out() -> None:
    steps, means = binned(np.array([10.0, 20.0, 90.0, 100.0]), np.array([1.0, 3.0, 5.0, 7.0]), bins=4)
    assert (steps.tolist(), means.tolist()) == ([20.0, 100.0], [2.0, 6.0])
    assert len(binned(np.empty(0), np.empty(0))[0]) == 0
