"""What is concluded: sentences word for word, the correction for several tests, and how often nothing is found."""

import math
from itertools import chain
from typing import Any

import numpy as np
import pytest

from sb3_ddpg_custom.analysis.comparison import compare
from sb3_ddpg_custom.analysis.runs import Run


def runs(environment: str, setting: str, finals: list[float], **options: Any) -> list[Run]:
    return [
        Run(
            environment=environment,
            setting=setting,
            seed=f"{seed}",
            steps=np.array([100.0]),
            returns=np.array([[one]]),
            **options,
        )
        for seed, one in enumerate(finals)
    ]


FOUR, HIGH = [1.0, 2.0, 3.0, 4.0], [11.0, 12.0, 13.0, 14.0]
FIVE, TOP = [*FOUR, 5.0], [*HIGH, 15.0]


def sentences(*groups: list[Run], **options: Any) -> list[str]:
    return [pair.sentence for pair in compare([*chain(*groups)], **options).pairs]


def test_better_and_worse() -> None:
    assert sentences(runs("Hopper", "A", FOUR), runs("Hopper", "B", HIGH)) == ["B is better than A on Hopper."]
    assert sentences(runs("Hopper", "A", HIGH), runs("Hopper", "B", FOUR)) == ["B is worse than A on Hopper."]


def test_better_here_and_nothing_there() -> None:
    said = sentences(
        runs("Hopper", "A", FIVE),
        runs("Hopper", "B", TOP),
        runs("Walker2d", "A", FOUR[:3]),
        runs("Walker2d", "B", HIGH[:3]),
    )
    assert said == [
        "B is better than A on Hopper; nothing can be said on Walker2d with 3 seeds (about 5 of each would be needed)."
    ]


def test_better_here_and_worse_there() -> None:
    groups = [runs("E", "A", FIVE), runs("E", "B", TOP), runs("F", "A", TOP), runs("F", "B", FIVE)]
    assert sentences(*groups) == ["B is better than A on E; worse than A on F."]


def test_three_seeds_are_never_enough() -> None:
    """Perfect separation has a p-value of 0.1: the number of seeds says so."""
    assert sentences(runs("E", "A", [1.0, 2.0, 3.0]), runs("E", "B", [1e6, 1e6 + 1, 1e6 + 2])) == [
        "Nothing can be said about B and A on E with 3 seeds (about 4 of each would be needed)."
    ]


def test_one_seed_and_no_difference_at_all() -> None:
    assert sentences(runs("", "A", [1.0]), runs("", "B", [2.0, 3.0])) == [
        "Nothing can be said about B and A with 2 and 1 seed (at least 4 of each would be needed)."
    ]
    assert sentences(runs("E", "A", FOUR), runs("E", "B", FOUR)) == [
        "Nothing can be said about B and A on E with 4 seeds (more than 100 of each would be needed)."
    ]
    assert sentences(runs("E", "A", FOUR), runs("F", "B", FOUR)) == [
        "B and A have no environment in common in which both have a final score."
    ]


def test_runs_that_do_not_count_are_in_the_sentence() -> None:
    groups = [runs("E", "A", [*FOUR, math.nan]), runs("E", "B", HIGH, is_finished=False)]
    assert sentences(*groups) == [
        "B is better than A on E. Left out, without a final score: 1 run of A. Not finished: 4 runs of B."
    ]


def test_several_tests_are_corrected_for() -> None:
    """Four runs against four give 2 / 70 at best: enough for one test, not for three."""
    three = [runs("E", "A", FOUR), runs("E", "B", HIGH), runs("E", "C", [21.0, 22.0, 23.0, 24.0])]
    assert all(one.startswith("Nothing can be said") for one in sentences(*three))
    found = compare([*chain(*three)])
    assert [one.p_value for one in found.differences] == pytest.approx([2 / 70] * 3)
    assert [one.adjusted_p_value for one in found.differences] == pytest.approx([6 / 70] * 3)
    assert [one.runs_needed for one in found.differences] == [5, 5, 5]
    assert [(pair.first, pair.second) for pair in found.pairs] == [("B", "A"), ("C", "A"), ("C", "B")]


def test_a_baseline_takes_fewer_tests() -> None:
    three = [*runs("E", "A", FIVE), *runs("E", "B", TOP), *runs("E", "C", FIVE)]
    found = compare(three, baseline="A")
    assert [(pair.first, pair.second) for pair in found.pairs] == [("B", "A"), ("C", "A")]
    assert [one.verdict for one in found.differences] == ["better", "unclear"]
    with pytest.raises(ValueError, match="none of the settings, which are A, B, C"):
        compare(three, baseline="D")


def test_the_figures_of_a_setting() -> None:
    (one,) = compare(runs("E", "A", [0.0, 1.0, 3.0, 100.0])).summaries
    assert (one.runs, one.left_out, one.last_steps, one.evaluations_averaged) == (4, 0, (100.0, 100.0), 1)
    assert (one.final.iqm.value, one.final.mean.value, one.final.median.value) == (2.0, 26.0, 2.0)
    assert one.final.iqm.low == 0.0
    assert one.finals == one.bests == (0.0, 1.0, 3.0, 100.0)


def test_final_and_best_are_two_scores() -> None:
    one = Run(environment="E", setting="A", seed="0", steps=np.array([1.0, 2.0]), returns=np.array([[9.0], [1.0]]))
    (found,) = compare([one]).summaries
    assert (found.final.mean.value, found.best.mean.value) == (5.0, 9.0)
    assert math.isnan(found.final.mean.low)


def test_over_all_environments() -> None:
    groups = [runs("E", "A", [0.0, 5.0]), runs("E", "B", [10.0]), runs("F", "A", [100.0]), runs("F", "B", [200.0])]
    found = compare([*chain(*groups)])
    assert {name: scores.mean.value for name, scores in found.overall.items()} == {"A": 0.125, "B": 1.0}
    assert found.pairs[0].probability_of_improvement.value == 1.0
    assert compare(runs("E", "A", FOUR)).overall == {}


def simulated(generator: np.random.Generator, setting: str, seeds: int, shift: float) -> list[Run]:
    """Runs as they are: a level per seed, noise per evaluation, in two environments of different scale."""
    made = []
    for environment, scale in (("E", 1000.0), ("F", 5.0)):
        for seed in range(seeds):
            returns = scale * (shift + generator.normal() + 0.5 * generator.normal(size=(12, 3)))
            steps = np.arange(12.0)
            made.append(Run(environment=environment, setting=setting, seed=f"{seed}", steps=steps, returns=returns))
    return made


@pytest.mark.parametrize("seeds", [3, 5, 10])
def test_the_same_setting_twice_shows_no_difference_in_93_of_100_comparisons(
    seeds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither in one environment nor in the other: the correction holds over both."""
    without_intervals(monkeypatch)
    generator = np.random.default_rng(0)
    pairs = [simulated(generator, "A", seeds, 0.0) + simulated(generator, "B", seeds, 0.0) for _ in range(100)]
    assert sum(not compare(pair).pairs[0].sentence.startswith("Nothing") for pair in pairs) <= 7


def test_a_large_difference_is_found_in_both_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    without_intervals(monkeypatch)
    generator = np.random.default_rng(0)
    pairs = [simulated(generator, "A", 10, 0.0) + simulated(generator, "B", 10, 2.0) for _ in range(30)]
    said = [compare(pair).pairs[0].sentence for pair in pairs]
    assert said.count("B is better than A on E and F.") >= 25


def without_intervals(monkeypatch: pytest.MonkeyPatch) -> None:
    """The verdict does not look at the bootstrap, which takes most of the time."""
    monkeypatch.setattr("sb3_ddpg_custom.analysis.aggregates.bootstrap_intervals", lambda *_, **__: [(0.0, 0.0)] * 3)
    monkeypatch.setattr("sb3_ddpg_custom.analysis.comparison.probability_interval", lambda *_, **__: (0.0, 1.0))


def test_a_table_with_one_row_per_run() -> None:
    table = {"setting": ["old"] * 4 + ["new"] * 4, "seed": [0, 1, 2, 3] * 2, "return": FOUR + HIGH}
    assert compare(table).pairs[0].sentence == "new is better than old."
