"""The rate of a training, from which the time left is told."""

from sb3_ddpg_custom.cli.watching.recent_rate import RecentRate


def test_the_first_steps_are_forgotten() -> None:
    """Steps without updates are quick: told of the whole time, they promise an end that never comes."""
    rate = RecentRate(seconds=100.0, steps=500)
    assert rate.of(seconds=100.0, steps=500) is None
    assert rate.of(seconds=110.0, steps=10_500) == 1000.0
    assert rate.of(seconds=120.0, steps=10_600) == 505.0  # 10,100 in 20 seconds
    assert rate.of(seconds=140.0, steps=10_800) == 10.0  # 300 in the last 30
    assert rate.of(seconds=150.0, steps=10_960) == 12.0  # 360 in the last 30


def test_a_long_training_looks_back_for_a_fifth_of_its_time() -> None:
    rate = RecentRate(seconds=0.0, steps=0)
    for second in range(10, 800, 10):
        rate.of(seconds=second, steps=10 * second)
    assert rate.of(seconds=800.0, steps=8_000) == 10.0
    for second in range(810, 1000, 10):  # something else takes half of the machine
        rate.of(seconds=second, steps=8_000 + 5 * (second - 800))
    assert rate.of(seconds=1000.0, steps=9_000) == 5.0  # over 200 seconds
