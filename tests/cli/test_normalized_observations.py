"""--set policy_kwargs.normalize_observations=true: trained, evaluated, begun with and refused by the command."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import Ddpg, make_model

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.checkpoint import build_policy, read_checkpoint
from sb3_ddpg_custom.normalized_policies import NormalizedMlpPolicy

ON = ("--set", "policy_kwargs.normalize_observations=true")


@pytest.fixture(scope="module")
def final(ddpg: Ddpg, small: tuple[str, ...], tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("normalized")
    ddpg("train", "Tiny-v0", "--out", out, *small, *ON, "--set", "env_kwargs.bound=0.1")
    return out / "Tiny-v0" / "1" / "final.zip"


def evaluated(ddpg: Ddpg, path: Path, *options: str) -> list[float]:
    found: list[float] = json.loads(ddpg("evaluate", "--json", "--episodes", 3, "--checkpoint", path, *options).stdout)[
        "returns"
    ]
    return found


def test_evaluations_apply_the_statistics_without_unpickling(ddpg: Ddpg, final: Path) -> None:
    returns = evaluated(ddpg, final)
    assert returns == pytest.approx(evaluated(ddpg, final, "--trust-pickle"))
    checkpoint = read_checkpoint(final)
    assert checkpoint.normalization is None
    statistics = checkpoint.parameters["policy"]
    assert statistics["normalizer.parts.observation.count"] > 100
    assert statistics["normalizer.parts.observation.mean"].dtype == th.float64
    assert statistics["normalizer.parts.observation.mean"].item() != 0


@pytest.mark.parametrize("policy", ["MlpPolicy", NormalizedMlpPolicy])
def test_a_policy_is_rebuilt_with_its_statistics(policy: object, tmp_path: Path) -> None:
    kwargs = {"normalize_observations": True} if policy == "MlpPolicy" else {}
    model = make_model(policy=policy, policy_kwargs=kwargs).learn(60)
    model.save(tmp_path / "model.zip")
    rebuilt = build_policy(read_checkpoint(tmp_path / "model.zip"), model.observation_space, model.action_space)
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(rebuilt.predict(observations)[0], model.predict(observations)[0])


def test_a_dict_policy_is_rebuilt(tmp_path: Path) -> None:
    from stable_baselines3.common.envs import SimpleMultiObsEnv

    env = SimpleMultiObsEnv(discrete_actions=False, random_start=False)
    kwargs = {"normalize_observations": True, "net_arch": [8]}
    small: dict[str, Any] = {"learning_starts": 20, "buffer_size": 100, "batch_size": 8, "policy_kwargs": kwargs}
    model = DDPG("MultiInputPolicy", env, **small, seed=0).learn(40)
    model.save(tmp_path / "model.zip")
    assert isinstance(model.observation_space, spaces.Dict)
    rebuilt = build_policy(read_checkpoint(tmp_path / "model.zip"), model.observation_space, model.action_space)
    seen = model.observation_space.sample()
    np.testing.assert_array_equal(rebuilt.predict(seen)[0], model.predict(seen)[0])


def test_a_run_begins_with_another_ones_statistics(
    ddpg: Ddpg, small: tuple[str, ...], final: Path, tmp_path: Path
) -> None:
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *ON, "--from", final, "--set", "env_kwargs.bound=0.1")
    name = "normalizer.parts.observation.count"
    counts = [
        read_checkpoint(path).parameters["policy"][name].item()
        for path in (final, tmp_path / "Tiny-v0" / "1" / "final.zip")
    ]
    assert counts[1] == pytest.approx(2 * counts[0], abs=1)


def test_what_does_not_fit_is_said(
    ddpg: Ddpg, small: tuple[str, ...], final: Path, tiny_run: Path, tmp_path: Path
) -> None:
    train = ("train", "Tiny-v0", "--out", tmp_path, *small)
    said = ddpg(*train, "--from", final, code=2).stderr
    assert "trained with normalisation in the policy; add --set policy_kwargs.normalize_observations=true" in said
    said = ddpg(*train, *ON, "--from", tiny_run, code=2).stderr
    assert "trained without normalisation in the policy; add --set policy_kwargs.normalize_observations=false" in said
    said = ddpg(*train, *ON, "--set", "normalize=true", code=2).stderr
    assert "would normalise observations twice; set normalize=false, or normalize.norm_obs=false" in said
    said = ddpg(*train, "--set", "policy_kwargs.normalize_observations=maybe", code=2).stderr
    assert "expected for normalize_observations true or false" in said
    said = ddpg(*train, "--set", "policy_kwargs.normalise_observations=true", code=2).stderr
    assert "did you mean" in said
    assert "normalize_observations" in said


def test_a_configuration_may_turn_it_off(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, "--set", "policy_kwargs.normalize_observations=false")
    policy = read_checkpoint(tmp_path / "Tiny-v0" / "1" / "final.zip").parameters["policy"]
    assert [name for name in policy if "normalizer" in name or "needs" in name] == []
