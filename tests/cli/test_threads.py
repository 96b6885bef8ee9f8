"""Torch's threads during a run: chosen by the size of the networks, and given back."""

from typing import Any

import pytest
import torch as th

from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.training.threads import largest_product, torch_threads


@pytest.mark.parametrize(
    ("net_arch", "batch_size", "product"),
    [
        ([64, 64], 128, 128 * 64 * 64),
        ([400, 300], 128, 128 * 400 * 300),
        ({"pi": [8], "qf": [400, 300, 10]}, 2, 2 * 400 * 300),
        (None, 10, 10 * 400 * 300),
        ([], 10, 0),
    ],
)
def test_the_largest_product(net_arch: Any, batch_size: int, product: int) -> None:
    kwargs = {} if net_arch is None else {"net_arch": net_arch}
    assert largest_product(Settings(n_timesteps=1, batch_size=batch_size, policy_kwargs=kwargs)) == product


@pytest.mark.parametrize(
    ("wanted", "net_arch", "inside"), [(None, [64, 64], 1), (None, [400, 300], 2), (3, [64, 64], 3)]
)
def test_threads_are_set_inside_the_block_and_given_back(wanted: int | None, net_arch: list[int], inside: int) -> None:
    before = th.get_num_threads()
    th.set_num_threads(2)
    try:
        settings = Settings(n_timesteps=1, batch_size=128, policy_kwargs={"net_arch": net_arch})
        with torch_threads(wanted, settings):
            assert th.get_num_threads() == inside
        assert th.get_num_threads() == 2
    finally:
        th.set_num_threads(before)


@pytest.mark.parametrize("wanted", [0, 1_000_000])
def test_threads_out_of_range(wanted: int) -> None:
    with (
        pytest.raises(UsageError, match=f"--threads {wanted} is out of range"),
        torch_threads(wanted, Settings(n_timesteps=1)),
    ):
        pass
