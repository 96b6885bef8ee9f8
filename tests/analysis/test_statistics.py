"""Aggregates and intervals: by hand, and as the rliable package computes them."""

import numpy as np
import pytest

from sb3_ddpg_custom.analysis.statistics import (
    bootstrap_intervals,
    iqm,
    mean,
    median,
    performance_profile,
    probability_interval,
    probability_of_improvement,
    profile_band,
)

# Runs in rows, environments in columns.
FIRST = np.array(
    [[0.13, -0.13, 0.64], [0.1, -0.54, 0.36], [1.3, 0.95, -0.7], [-1.27, -0.62, 0.04], [-2.33, -0.22, -1.25]]
)
SECOND = np.array(
    [
        [-0.23, -0.04, 0.18],
        [0.91, 1.54, 0.37],
        [1.87, -0.17, 0.85],
        [1.4, 0.59, -0.24],
        [-0.42, 0.04, 0.72],
        [-0.51, 0.29, 0.34],
    ]
)


def test_by_hand() -> None:
    assert iqm([1.0, 2.0, 3.0, 40.0]) == 2.5
    assert iqm([1.0, 2.0, 6.0]) == 3.0  # a quarter of three runs is none
    assert iqm([[0.0, 10.0], [2.0, 4.0]]) == 3.0  # 0, 2, 4, 10 over both environments
    assert mean([np.array([1.0, 3.0]), np.array([10.0])]) == 6.0
    assert median([5.0, 1.0, 2.0]) == 2.0
    assert median([np.array([1.0, 3.0]), np.array([10.0]), np.array([0.0])]) == 2.0
    assert probability_of_improvement([3.0, 1.0], [2.0, 1.0]) == 0.625
    assert performance_profile([1.0, 2.0, 3.0, 4.0], [0.0, 2.0, 9.0]).tolist() == [1.0, 0.5, 0.0]


def test_values_are_those_of_rliable() -> None:
    """The numbers: rliable 1.2.0 with arch 7.2.0 and pandas 2.3.3, which cannot be imported beside pandas 3."""
    for scores, expected in ((FIRST, (-0.1755556, -0.236, -0.182)), (SECOND, (0.317, 0.4161111, 0.375))):
        assert [float(one(scores)) for one in (iqm, mean, median)] == pytest.approx(expected, abs=1e-7)
    assert probability_of_improvement(FIRST, SECOND) == pytest.approx(0.26666666666666666)
    assert performance_profile(FIRST, [-1, 0, 1]) == pytest.approx([0.8, 0.46666667, 0.06666667])


def test_intervals_are_those_of_rliable() -> None:
    """Both are drawn at random: rliable's 50,000 resamples, and 5,000 of its probability and profile."""
    iqms, means, medians = bootstrap_intervals(FIRST, [iqm, mean, median], resamples=20_000)
    assert iqms == pytest.approx((-0.65888889, 0.26555556), abs=0.02)
    assert means == pytest.approx((-0.69533333, 0.206), abs=0.02)
    assert medians == pytest.approx((-0.652, 0.26), abs=0.02)
    assert bootstrap_intervals(SECOND, [mean])[0] == pytest.approx((0.11888889, 0.73222222), abs=0.02)
    assert probability_interval(FIRST, SECOND) == pytest.approx((0.1, 0.45555556), abs=0.03)
    low, high = profile_band(FIRST, [-1, 0, 1])
    assert low == pytest.approx([0.6, 0.26666667, 0.0], abs=0.07)
    assert high == pytest.approx([1.0, 0.66666667, 0.2], abs=0.07)


def test_rliable_agrees_where_it_is_installed() -> None:
    try:
        from rliable import metrics  # type: ignore[import-not-found, unused-ignore]
    except Exception as error:  # arch, which it needs, breaks with some pandas
        pytest.skip(f"rliable cannot be imported: {error}")
    generator = np.random.default_rng(3)
    one, other = generator.normal(size=(7, 4)), generator.normal(size=(5, 4))
    assert float(iqm(one)) == pytest.approx(float(metrics.aggregate_iqm(one)))
    assert float(mean(one)) == pytest.approx(float(metrics.aggregate_mean(one)))
    assert float(median(one)) == pytest.approx(float(metrics.aggregate_median(one)))
    ours, theirs = probability_of_improvement(one, other), metrics.probability_of_improvement(one, other)
    assert float(ours) == pytest.approx(float(theirs))


def test_runs_are_drawn_within_their_environment() -> None:
    """Two environments far apart, each without any spread: nothing is left to be uncertain of."""
    assert bootstrap_intervals([np.array([0.0, 0.0]), np.array([100.0, 100.0, 100.0])], [mean]) == [(50.0, 50.0)]


def test_an_interval_holds_the_true_value_about_as_often_as_it_says() -> None:
    generator = np.random.default_rng(0)
    intervals = [bootstrap_intervals(generator.normal(size=20), [mean], resamples=500)[0] for _ in range(200)]
    assert 175 <= sum(low <= 0 <= high for low, high in intervals) <= 199


def test_the_same_seed_gives_the_same_interval() -> None:
    assert bootstrap_intervals(FIRST, seed=1) == bootstrap_intervals(FIRST, seed=1)
    assert bootstrap_intervals(FIRST, seed=1) != bootstrap_intervals(FIRST, seed=2)


def test_one_run_has_no_interval() -> None:
    assert np.isnan(bootstrap_intervals([1.0], [iqm])[0]).all()
    assert np.isnan(probability_interval([1.0], [2.0, 3.0])).all()


@pytest.mark.parametrize("scores", [[], np.ones((2, 2, 2)), [np.array([1.0]), np.array([])]])
def test_what_is_no_scores(scores: object) -> None:
    with pytest.raises(ValueError, match=r"shape|no scores"):
        iqm(scores)  # type: ignore[arg-type]


def test_other_environments() -> None:
    with pytest.raises(ValueError, match="in 3 environments, the second in 2"):
        probability_of_improvement(FIRST, SECOND[:, :2])
