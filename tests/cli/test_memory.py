"""Settings that ask for more memory than there is are refused before any is taken."""

from typing import Any

import numpy as np
import pytest
from gymnasium import spaces

from sb3_ddpg_custom.cli.config import memory
from sb3_ddpg_custom.cli.config.memory import check_observation_memory, check_training_memory
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError

OBSERVED = spaces.Box(-1, 1, (3,), np.float32)
ACTS = spaces.Box(-1, 1, (1,), np.float32)


def check(observed: spaces.Space[Any] = OBSERVED, **settings: Any) -> None:
    full = Settings(**{"n_timesteps": 10**9, "policy": "MlpPolicy", **settings})
    check_observation_memory(full, observed)
    check_training_memory(full, observed, ACTS)


@pytest.fixture(autouse=True)
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "_memory_bytes", lambda: 16 * 2**30)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        # 10**9 frames of three float32
        ({"frame_stack": 10**9}, "frame_stack is 1,000,000,000: one observation would take about 12.0 GB of memory"),
        # 256 windows of 10**6 steps of 25 bytes
        ({"n_steps": 10**6}, "n_steps is 1,000,000 with batch_size 256: a batch would take about 6.4 GB of memory"),
        # (4 * 400 + 400 * 300 + 300 * 1) weights, 5 copies of 4 bytes, of each critic
        (
            {"policy_kwargs": {"n_critics": 10**5}},
            "policy_kwargs.n_critics is 100,000: the networks would take about 243.8 GB of memory",
        ),
        (
            {"policy_kwargs": {"net_arch": [100_000, 100_000]}},
            r"policy_kwargs.net_arch is \[100000, 100000\]: the networks would take about 400.0 GB of memory",
        ),
        # 256 rows of 3 + 64 + 64 + 1 units of the actor, and of 4 + 64 + 64 + 1 of each critic, 4 copies of 4 bytes
        (
            {"policy_kwargs": {"n_critics": 50_000, "net_arch": [64, 64]}},
            "policy_kwargs.n_critics is 50,000: an update would take about 27.2 GB of memory",
        ),
        ({"batch_size": 10**6}, "batch_size is 1,000,000: an update would take about 22.5 GB of memory"),
    ],
)
def test_how_much_it_would_be(settings: dict[str, Any], sentence: str) -> None:
    with pytest.raises(UsageError, match=f"^{sentence}; lower it$"):
        check(**settings)


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"frame_stack": 100, "n_steps": 100, "batch_size": 1024},
        {"policy_kwargs": {"net_arch": [4096, 4096], "n_critics": 2}},
        {"policy_kwargs": {"net_arch": {"pi": [256], "qf": [2048, 2048]}}, "batch_size": 4096},
        {"policy_kwargs": {"net_arch": []}},
    ],
)
def test_what_fits(settings: dict[str, Any]) -> None:
    check(**settings)
    settings["policy"] = "MultiInputPolicy"
    check(spaces.Dict(image=spaces.Box(0, 255, (84, 84, 4), np.uint8), vector=OBSERVED), **settings)
