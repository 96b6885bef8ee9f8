"""Files and scripts of releases before the folders of today.

``data/4a4a51b`` was written by commit 4a4a51b: a model with prioritised replay and parameter noise, its buffer file, a
model with annealed noise, and its buffer as a plain pickle; 60 steps of Pendulum each, seed 0.
"""

import importlib
import pickle
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

import sb3_ddpg_custom
from sb3_ddpg_custom import DDPG, ReplayBuffer, moved

DATA = Path(__file__).parents[1] / "data" / "4a4a51b"
OBSERVATIONS = np.array([[1.0, 0.0, 0.5], [-1.0, 0.0, 2.0]], np.float32)


@pytest.mark.parametrize(
    ("name", "actions"),
    [
        ("model", [[-0.8140668869018555], [-0.9737164974212646]]),
        ("noise", [[-0.8334770202636719], [-0.9435882568359375]]),
    ],
)
def test_old_zips_act_as_they_did_and_train_on(name: str, actions: list[list[float]]) -> None:
    model = DDPG.load(DATA / f"{name}.zip", env=gym.make("Pendulum-v1"))
    np.testing.assert_allclose(model.predict(OBSERVATIONS, deterministic=True)[0], actions, rtol=1e-6)
    assert model.num_timesteps == 60
    assert model.replay_buffer_class is ReplayBuffer
    model.learn(40, reset_num_timesteps=False)
    assert model.num_timesteps == 100


def test_old_buffer_files_load() -> None:
    model = DDPG.load(DATA / "model.zip", env=gym.make("Pendulum-v1"))
    model.load_replay_buffer(DATA / "buffer.pkl")
    buffer: Any = model.replay_buffer
    assert buffer.size() == 60
    assert float(buffer.observations.sum()) == pytest.approx(33.423138, rel=1e-6)


def test_old_pickles_load() -> None:
    buffer = pickle.loads((DATA / "pickled_buffer.pkl").read_bytes())
    assert type(buffer) is ReplayBuffer
    assert buffer.size() == 60
    assert float(buffer.observations.sum()) == pytest.approx(-11.630203, rel=1e-6)


@pytest.mark.parametrize("name", sorted(moved.MOVED))
def test_old_names_are_the_same_modules(name: str) -> None:
    new = importlib.import_module(f"sb3_ddpg_custom.{moved.MOVED[name]}")
    assert importlib.import_module(f"sb3_ddpg_custom.{name}") is new
    assert new.__spec__ is not None
    assert new.__spec__.name == new.__name__ == f"sb3_ddpg_custom.{moved.MOVED[name]}"


def test_other_names_are_not_found() -> None:
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module("sb3_ddpg_custom.no_such_room")
    with pytest.raises(AttributeError):
        sb3_ddpg_custom.no_such_name  # noqa: B018
