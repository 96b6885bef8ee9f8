"""Zips go both ways between SB3's DDPG and ours, and every part of saving works as SB3's users know it."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch as th
from helpers import SMALL
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.noise import NormalActionNoise

from sb3_ddpg_custom import DDPG

OBSERVATIONS = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
BOTH = pytest.mark.parametrize(
    ("writer", "reader"),
    [(DDPG, stable_baselines3.DDPG), (stable_baselines3.DDPG, DDPG), (DDPG, DDPG)],
    ids=["ours to SB3's", "SB3's to ours", "ours to ours"],
)


def env(n_envs: int = 1) -> Any:
    return make_vec_env("Pendulum-v1", n_envs=n_envs, seed=3)


def halving(progress: float) -> float:
    return 1e-2 * 2 ** (-(1 - progress))


def trained(algorithm: Any, **kwargs: Any) -> Any:
    noise = NormalActionNoise(np.zeros(1), 0.1 * np.ones(1))
    model = algorithm("MlpPolicy", env(), learning_rate=halving, action_noise=noise, **{**SMALL, "seed": 1, **kwargs})
    return model.learn(80)


def assert_same_parameters(one: Any, other: Any) -> None:
    for name, state in one.get_parameters().items():
        flat, others = (th.utils._pytree.tree_leaves(s) for s in (state, other.get_parameters()[name]))
        assert len(flat) == len(others)
        assert all(th.equal(a, b) if isinstance(a, th.Tensor) else a == b for a, b in zip(flat, others, strict=True))


@BOTH
def test_a_loaded_model_is_the_saved_one(writer: Any, reader: Any, tmp_path: Path) -> None:
    model = trained(writer)
    model.save(tmp_path / "model")
    loaded = reader.load(tmp_path / "model", env=env())
    assert_same_parameters(model, loaded)
    np.testing.assert_array_equal(model.predict(OBSERVATIONS)[0], loaded.predict(OBSERVATIONS)[0])
    assert (loaded.num_timesteps, loaded._n_updates) == (80, 60)
    assert loaded.lr_schedule(0.5) == halving(0.5)


def test_training_goes_on_from_sb3s_zip_as_it_does_in_sb3(tmp_path: Path) -> None:
    model = trained(stable_baselines3.DDPG)
    model.save(tmp_path / "model")
    model.save_replay_buffer(tmp_path / "buffer")
    continued = []
    for reader in (DDPG, stable_baselines3.DDPG):
        extras: Any = {"update": "autograd"} if reader is DDPG else {}
        loaded: Any = reader.load(tmp_path / "model", env=env(), **extras)
        loaded.load_replay_buffer(tmp_path / "buffer")
        assert loaded.replay_buffer.size() == 80
        np.random.seed(5)
        continued.append(loaded.learn(60, reset_num_timesteps=False))
    assert continued[0].num_timesteps == 140
    assert_same_parameters(*continued)


@pytest.mark.parametrize(
    "extra",
    [
        {"critic_learning_rate": 1e-3},
        {"critic_weight_decay": 1e-2},
        {"actor_weight_decay": 1e-2, "decoupled_weight_decay": True},
        {"pre_tanh_penalty": 1e-5},
        {"max_grad_norm": 1.0},
        {"output_init": 3e-3},
        {"update": "autograd"},
    ],
)
def test_our_own_options_survive_our_zip_and_sb3_refuses_what_it_would_train_differently(
    extra: dict[str, Any], tmp_path: Path
) -> None:
    model = trained(DDPG, **extra)
    model.save(tmp_path / "model")
    loaded = DDPG.load(tmp_path / "model")
    assert {name: getattr(loaded, name) for name in extra} == extra
    assert_same_parameters(model, loaded)
    if "output_init" in extra or "update" in extra:  # over when training goes on, or the same up to rounding
        theirs = stable_baselines3.DDPG.load(tmp_path / "model")
        np.testing.assert_array_equal(theirs.predict(OBSERVATIONS)[0], model.predict(OBSERVATIONS)[0])
    else:
        with pytest.raises(RuntimeError, match=r"Unexpected key.*needs_sb3_ddpg_custom"):
            stable_baselines3.DDPG.load(tmp_path / "model")
    loaded.set_parameters(str(tmp_path / "model"))
    assert loaded.get_parameters().keys() == {"policy", "actor.optimizer", "critic.optimizer"}


def test_parameters_can_be_taken_out_and_put_in() -> None:
    one, other = trained(DDPG), trained(stable_baselines3.DDPG, learning_starts=30)
    with pytest.raises(AssertionError):
        assert_same_parameters(one, other)
    one.set_parameters(other.get_parameters())
    assert_same_parameters(one, other)
    # the update works on the networks that were changed, not on copies of the old
    before = one.get_parameters()["policy"]["actor.mu.0.weight"].clone()
    one.train(gradient_steps=1, batch_size=8)
    assert not th.equal(before, one.get_parameters()["policy"]["actor.mu.0.weight"])
    with pytest.raises(ValueError, match="do not match"):
        one.set_parameters({"policy": other.get_parameters()["policy"]})
    one.set_parameters({"policy": other.get_parameters()["policy"]}, exact_match=False)


def test_exclude_include_and_custom_objects(tmp_path: Path) -> None:
    model = trained(DDPG)
    model.save(tmp_path / "without", exclude=["ep_info_buffer", "lr_schedule"], include=["_last_obs"])
    data, _, _ = stable_baselines3.common.save_util.load_from_zip_file(tmp_path / "without")
    assert data is not None
    assert "ep_info_buffer" not in data
    assert "replay_buffer" not in data
    assert not {"_update", "_curves", "last_update", "critic_lr_schedule", "actor", "critic"} & data.keys()
    loaded = DDPG.load(tmp_path / "without", custom_objects={"learning_rate": 0.25, "action_noise": None})
    assert loaded.lr_schedule(1.0) == 0.25
    assert loaded.action_noise is None


def test_loading_can_change_arguments(tmp_path: Path) -> None:
    trained(DDPG).save(tmp_path / "model")
    loaded: Any = DDPG.load(tmp_path / "model", env=env(), tau=0.5, batch_size=4, max_grad_norm=0.1)
    assert (loaded.tau, loaded.batch_size, loaded.max_grad_norm) == (0.5, 4, 0.1)
    assert (loaded._update.tau, loaded._update.max_grad_norm) == (0.5, 0.1)


class SaveInTheMiddle(BaseCallback):
    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path

    def _on_step(self) -> bool:
        if self.num_timesteps == 50:
            self.model.save(self.path)
        return True


def test_saving_while_training_does_not_disturb_it(tmp_path: Path) -> None:
    models = []
    for callback in (None, SaveInTheMiddle(tmp_path / "middle")):
        models.append(DDPG("MlpPolicy", env(), **SMALL | {"seed": 1}).learn(80, callback=callback))
    assert_same_parameters(*models)
    assert DDPG.load(tmp_path / "middle").num_timesteps == 50


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_the_number_of_envs_may_change_between_save_and_load(before: int, after: int, tmp_path: Path) -> None:
    DDPG("MlpPolicy", env(before), **SMALL | {"seed": 1}).learn(60).save(tmp_path / "model")
    loaded: Any = DDPG.load(tmp_path / "model", env=env(after))
    loaded.learn(60, reset_num_timesteps=False)
    assert loaded.replay_buffer.n_envs == after
    assert loaded.num_timesteps == 120


@pytest.mark.skipif(not th.cuda.is_available(), reason="needs CUDA")
@pytest.mark.parametrize(("before", "after"), [("cpu", "cuda"), ("cuda", "cpu")])
def test_a_model_moves_between_devices(before: str, after: str, tmp_path: Path) -> None:
    model = trained(DDPG, device=before)
    model.save(tmp_path / "model")
    loaded = DDPG.load(tmp_path / "model", env=env(), device=after)
    assert loaded.actor.mu[0].weight.device.type == after
    np.testing.assert_allclose(model.predict(OBSERVATIONS)[0], loaded.predict(OBSERVATIONS)[0], atol=1e-5)
    loaded.learn(40)


def test_what_does_not_fit_is_refused_in_sb3s_words(tmp_path: Path) -> None:
    trained(DDPG).save(tmp_path / "model")
    with pytest.raises(ValueError, match="policy kwargs"):
        DDPG.load(tmp_path / "model", policy_kwargs={"net_arch": [3]})
    with pytest.raises(ValueError, match="Observation spaces do not match"):
        DDPG.load(tmp_path / "model", env=make_vec_env("MountainCarContinuous-v0"))
