import pytest

from sb3_ddpg_custom.cli.environments.seeds import evaluation_seeds, training_seed
from sb3_ddpg_custom.cli.errors import UsageError

LAST = 2**31 - 2**16 - 1


@pytest.mark.parametrize("seed", [0, 1, LAST])
def test_a_training_keeps_its_seed(seed: int) -> None:
    assert training_seed(seed) == seed


@pytest.mark.parametrize("seed", [-1, LAST + 1, 2**32])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(UsageError, match=rf"--seed {seed} is out of range; choose one from 0 to {LAST}"):
        training_seed(seed)


def test_seeds_are_drawn() -> None:
    drawn = {training_seed(None) for _ in range(50)}
    assert len(drawn) > 45
    assert all(0 <= seed <= LAST for seed in drawn)


def test_evaluation_seeds() -> None:
    assert evaluation_seeds(0, 0) == []
    assert evaluation_seeds(3, 100)[:10] == evaluation_seeds(3, 10)
    seeds = [seed for chosen in range(20) for seed in evaluation_seeds(chosen, 100)]
    assert len(set(seeds)) > 1990  # by chance, two of 2,000 may meet among 2**31
    assert set(evaluation_seeds(0, 100)).isdisjoint(evaluation_seeds(1, 100))
    # Gymnasium and NumPy take 32 bits; 65,536 envs of the last training seed still stay below.
    assert all(LAST + 2**16 < seed < 2**32 for seed in seeds)
    assert all(isinstance(seed, int) for seed in seeds)


def test_huge_evaluation_seeds_are_fine() -> None:
    assert evaluation_seeds(10**30, 2) != evaluation_seeds(10**30 + 1, 2)
