"""All that keeps DDPG from forgetting, at once: every way to update does the same."""

from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from helpers import SMALL

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.option_values import UpdateName

TOGETHER: dict[str, Any] = {
    **SMALL,
    "policy_kwargs": {"layer_norm": "both", "normalize_observations": True, "net_arch": [16, 12]},
    "actor_weight_decay": 1e-2,
    "critic_weight_decay": 1e-2,
    "decoupled_weight_decay": True,
    "pre_tanh_penalty": 1e-3,
    "n_steps": 3,
}


def trained(update: UpdateName, **others: Any) -> Any:
    return DDPG("MlpPolicy", "Pendulum-v1", update=update, **{**TOGETHER, **others}).learn(120)


@pytest.mark.parametrize("update", ["analytic", "compiled"])
def test_the_fast_ways_do_what_autograd_does(update: UpdateName) -> None:
    if update == "compiled":
        pytest.importorskip("numba")
    fast, slow = trained(update), trained("autograd")
    assert fast._update.name == update
    for (name, one), other in zip(fast.policy.named_parameters(), slow.policy.parameters(), strict=True):
        th.testing.assert_close(one, other, rtol=1e-3, atol=1e-5, msg=name)
    th.testing.assert_close(fast.policy.normalizer.state_dict(), slow.policy.normalizer.state_dict())


def test_a_zip_goes_on_here_and_is_refused_by_sb3(tmp_path: Path) -> None:
    model = trained("auto", n_steps=1)  # of which SB3 warns by itself
    model.save(tmp_path / "model.zip")
    loaded = DDPG.load(tmp_path / "model.zip", env=gym.make("Pendulum-v1"))
    observation = np.array([0.1, 0.2, 3.0], np.float32)
    np.testing.assert_array_equal(model.predict(observation)[0], loaded.predict(observation)[0])
    loaded.learn(40)
    with pytest.raises((TypeError, ValueError)):
        stable_baselines3.DDPG.load(tmp_path / "model.zip")
