import argparse
import contextlib
import copy
import inspect
import io
import warnings
from importlib import resources
from pathlib import Path
from typing import Any, cast

import gymnasium as gym
import pytest
import yaml
from stable_baselines3.common.vec_env import VecEnv

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.cli.config.classes import build_policy_kwargs
from sb3_ddpg_custom.cli.config.resolve import Resolved, aliases, resolve, to_yaml
from sb3_ddpg_custom.cli.training.noise import build_action_noise, build_schedule

FOLDER = Path(str(resources.files("sb3_ddpg_custom.zoo_configs")))
ALIASES = sorted(path.stem for path in FOLDER.glob("*.yml") if path.stem != "default")
# Settings that are not arguments of the algorithm.
RUN_KEYS = {
    *("n_timesteps", "n_envs", "normalize", "env_wrapper", "vec_env_wrapper", "env_kwargs", "frame_stack"),
    *("callback", "monitor_kwargs", "noise_type", "noise_std"),
}


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # MuJoCo logs into the working directory


def resolved(env: str) -> Resolved:
    return resolve(env, config=None, overrides=[], steps=None, n_envs=None, registered_ids=gym.registry)


def make(env_id: str) -> gym.Env[Any, Any]:
    try:
        with warnings.catch_warnings():
            # Box2D's bindings warn while they are imported, and crash the interpreter where warnings are errors.
            warnings.filterwarnings("ignore", "builtin type .*", DeprecationWarning)
            return gym.make(env_id)
    except gym.error.DependencyNotInstalled as error:
        pytest.skip(str(error))


def test_every_file_is_listed() -> None:
    assert list(aliases()) == ALIASES
    assert {"pendulum", "pendulum_classic", "half_cheetah"} <= set(ALIASES)


@pytest.mark.parametrize("alias", ALIASES)
def test_by_alias_and_by_id(alias: str) -> None:
    by_alias = resolved(alias)
    assert by_alias.source == f"{alias}.yml"
    assert by_alias.env_id in gym.registry
    assert aliases()[alias].env_id == by_alias.env_id
    assert aliases()[alias].n_timesteps == by_alias.settings.n_timesteps
    by_id = resolved(by_alias.env_id)
    assert by_id.source == ("pendulum.yml" if alias == "pendulum_classic" else by_alias.source)


@pytest.mark.parametrize("alias", [*ALIASES, "default"])
def test_plain_yaml_loads_them_and_they_say_whether_they_were_measured(alias: str) -> None:
    text = (FOLDER / f"{alias}.yml").read_text(encoding="utf-8")
    assert len(yaml.safe_load(text)) == 1
    assert "easured" in text


@pytest.mark.parametrize("alias", ALIASES)
def test_a_model_is_built_and_the_settings_stay(alias: str) -> None:
    found = resolved(alias)
    before = copy.deepcopy(found.settings)
    settings = found.settings
    env = make(found.env_id)
    assert isinstance(env.action_space, gym.spaces.Box)
    arguments = {key: getattr(settings, key) for key in type(settings).model_fields if key not in RUN_KEYS}
    critic_rate = settings.critic_learning_rate
    arguments |= {
        "critic_learning_rate": None if critic_rate is None else build_schedule(critic_rate),
        "policy_kwargs": build_policy_kwargs(settings.policy_kwargs),
        "learning_rate": build_schedule(settings.learning_rate),
        "buffer_size": 1000,
    }
    model = DDPG(env=env, device="cpu", action_noise=build_action_noise(settings, env.action_space.shape), **arguments)
    env.close()
    assert model.gamma == settings.gamma
    assert model.batch_size == settings.batch_size
    assert settings == before


@pytest.mark.parametrize("alias", [*ALIASES, "default"])
@pytest.mark.parametrize("written", [False, True], ids=["shipped", "written by to_yaml"])
def test_rl_zoo3_takes_them(alias: str, written: bool, tmp_path: Path) -> None:
    """Its own reading and preprocessing, up to the call of the constructor."""
    pytest.importorskip("rl_zoo3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        from rl_zoo3.exp_manager import ExperimentManager

    found = resolved("Pendulum-v1" if alias == "default" else alias)
    path = FOLDER / f"{alias}.yml"
    if written:
        path = tmp_path / "config.yml"
        path.write_text(to_yaml(found, run={"seed": 1}), encoding="utf-8")
    with contextlib.redirect_stdout(io.StringIO()):
        manager = ExperimentManager(
            argparse.Namespace(), "ddpg", found.env_id, str(tmp_path), config=str(path), verbose=0
        )
        hyperparams, saved = manager.read_hyperparameters()
        hyperparams, *_ = manager._preprocess_hyperparams(hyperparams)
        env = make(found.env_id)
        hyperparams = manager._preprocess_action_noise(hyperparams, saved, cast(VecEnv, env))
        env.close()

    inspect.signature(DDPG).bind(env=None, **hyperparams)
    if alias != "default":
        assert manager.n_timesteps == found.settings.n_timesteps
    for key in ("learning_rate", "gamma", "batch_size", "policy_kwargs"):
        value = hyperparams.get(key, getattr(found.settings, key))
        value = value(1.0) if callable(value) else value
        assert value == getattr(found.settings, key) or alias == "default", key
