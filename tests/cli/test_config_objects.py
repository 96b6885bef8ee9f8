"""What settings become: classes, noise, schedules."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers.configs import resolved

from sb3_ddpg_custom.cli.config.classes import build_policy_kwargs, build_replay_buffer_class, import_class
from sb3_ddpg_custom.cli.config.resolve import to_yaml
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.training.noise import build_action_noise, build_parameter_noise, build_schedule


def test_policy_kwargs_become_classes() -> None:
    import torch as th
    from stable_baselines3.common.torch_layers import NatureCNN

    data = {
        "net_arch": [8],
        "activation_fn": "th.nn.ELU",
        "optimizer_class": "th.optim.AdamW",
        "features_extractor_class": "NatureCNN",
    }
    before = str(data)
    built = build_policy_kwargs(data)
    assert built["activation_fn"] is th.nn.ELU
    assert built["optimizer_class"] is th.optim.AdamW
    assert built["features_extractor_class"] is NatureCNN
    built["net_arch"].append(9)
    assert str(data) == before


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({"activation_fn": "nn.Relu"}, "policy_kwargs.activation_fn is 'nn.Relu'; .*did you mean 'ReLU'"),
        ({"activation_fn": "os.system"}, "policy_kwargs.activation_fn is 'os.system'"),
        ({"activation_fn": "nn.functional.relu"}, "policy_kwargs.activation_fn"),
        ({"activation_fn": "nn.Parameter"}, "policy_kwargs.activation_fn"),
        ({"activation_fn": 5}, "policy_kwargs.activation_fn is 5"),
        ({"optimizer_class": "nn.ReLU"}, "policy_kwargs.optimizer_class"),
        ({"features_extractor_class": "my.Extractor"}, "policy_kwargs.features_extractor_class"),
    ],
)
def test_other_classes_are_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        build_policy_kwargs(data)


def test_import_class() -> None:
    from gymnasium.wrappers import TimeLimit

    assert import_class("gymnasium.wrappers.TimeLimit", "env_wrapper") is TimeLimit
    with pytest.raises(UsageError, match="env_wrapper is 'TimeLimit'; expected "):
        import_class("TimeLimit", "env_wrapper")
    with pytest.raises(UsageError, match="importing no_such_module failed"):
        import_class("no_such_module.Wrapper", "env_wrapper")
    with pytest.raises(UsageError, match="has no class 'TimeLimt'; did you mean 'TimeLimit'"):
        import_class("gymnasium.wrappers.TimeLimt", "env_wrapper")


def test_replay_buffer_class() -> None:
    from stable_baselines3 import HerReplayBuffer

    assert build_replay_buffer_class(None) is None
    assert build_replay_buffer_class("HerReplayBuffer") is HerReplayBuffer
    assert build_replay_buffer_class("stable_baselines3.her.HerReplayBuffer") is HerReplayBuffer
    with pytest.raises(UsageError, match="did you mean 'HerReplayBuffer'"):
        build_replay_buffer_class("HerReplayBufer")
    with pytest.raises(UsageError, match="no replay buffer"):
        build_replay_buffer_class("gymnasium.wrappers.TimeLimit")


def noise_settings(noise_type: str | None, noise_std: Any, n_envs: int = 1) -> Settings:
    return Settings(n_timesteps=1, noise_type=noise_type, noise_std=noise_std, n_envs=n_envs)


@pytest.mark.parametrize(
    ("noise_type", "noise_std", "expected"),
    [
        ("normal", 0.1, "NormalActionNoise(mu=[0. 0.], sigma=[0.1 0.1])"),
        ("ornstein-uhlenbeck", 0.5, "OrnsteinUhlenbeckActionNoise(mu=[0. 0.], sigma=[0.5 0.5])"),
        ("normal", "lin_0.2", "AnnealedActionNoise(NormalActionNoise(mu=[0. 0.], sigma=[0.2 0.2]), scale=1.0)"),
        (
            "normal-per-episode",
            0.5,
            "EpisodeScaledActionNoise(NormalActionNoise(mu=[0. 0.], sigma=[0.5 0.5]), scale=1.0)",
        ),
        ("bias-per-episode", 0.5, "EpisodeBias(constant [0.5 0.5], scale=1.0)"),
    ],
)
def test_noise(noise_type: str, noise_std: float | str, expected: str) -> None:
    noise = build_action_noise(noise_settings(noise_type, noise_std), action_shape=(2,))
    assert repr(noise) == expected
    assert noise is not None
    assert noise().shape == (2,)


@pytest.mark.parametrize(
    ("noise_type", "base"),
    [
        ("normal", "NormalActionNoise(mu=[0. 0.], sigma=[1. 1.])"),
        ("ornstein-uhlenbeck", "OrnsteinUhlenbeckActionNoise(mu=[0. 0.], sigma=[1. 1.])"),
    ],
)
def test_a_range_is_spread_over_the_envs(noise_type: str, base: str) -> None:
    noise = build_action_noise(noise_settings(noise_type, [0.05, "4e-1"], n_envs=4), action_shape=(2,))
    assert repr(noise) == f"PerEnvActionNoise({base}, n_envs=4, low=0.05, high=0.4)"


def test_adaptive_noise_is_on_weights_not_on_actions() -> None:
    settings = noise_settings("adaptive-param", 0.3)
    assert build_action_noise(settings, action_shape=(2,)) is None
    noise = build_parameter_noise(settings)
    assert repr(noise) == "ParameterNoise(0.3, std=0.3, adaptation=1.01, adapt_every_steps=50)"
    assert build_parameter_noise(noise_settings("normal", 0.3)) is None
    assert build_parameter_noise(noise_settings(None, None)) is None
    with pytest.raises(UsageError, match="write a number above 0"):
        build_parameter_noise(noise_settings("adaptive-param", "lin_0.3"))


@pytest.mark.parametrize(
    ("noise_type", "noise_std", "n_envs", "message"),
    [
        ("normal", "[0.05, 0.4]", 1, "noise_std is [0.05, 0.4], a range over envs, but n_envs is 1"),
        ("bias-per-episode", "[0.05, 0.4]", 2, "bias-per-episode takes no range over envs; write a number"),
        ("normal-per-episode", "[0.05, 0.4]", 2, "normal-per-episode takes no range over envs; write a number"),
        ("adaptive-param", "[0.05, 0.4]", 2, "noise_std is [0.05, 0.4], but adaptive-param adapts by itself"),
        ("adaptive-param", "lin_0.2", 1, "noise_std is 'lin_0.2', but adaptive-param adapts by itself"),
        ("adaptive-param", "0", 1, "noise_std is 0.0, but adaptive-param adapts by itself to one scale"),
        ("normal", "[lin_0.05, 0.4]", 2, "noise_std is ['lin_0.05', 0.4]; expected a number of at least 0"),
        ("normal", "[0.4, 0.05]", 2, "noise_std is [0.4, 0.05]; expected a number"),
        ("normal", "[0, 0.05]", 2, "such as [0.05, 0.4] for a range of numbers over the envs"),
        ("normal", "[0.1, 0.2, 0.3]", 2, "noise_std is [0.1, 0.2, 0.3]; expected a number"),
        ("normal", "[]", 2, "noise_std is []; expected a number"),
    ],
)
def test_noise_that_does_not_go_together(
    base: Path, noise_type: str, noise_std: str, n_envs: int, message: str
) -> None:
    overrides = [f"noise_type={noise_type}", f"noise_std={noise_std}", f"n_envs={n_envs}"]
    with pytest.raises(UsageError, match=re.escape(message)):
        resolved(config=base, overrides=overrides)


def test_a_range_reads_back_as_it_was_written(base: Path, tmp_path: Path) -> None:
    found = resolved(config=base, overrides=["noise_std=[0.05, 4e-1]", "n_envs=2"])
    path = tmp_path / "written.yml"
    path.write_text(to_yaml(found), encoding="utf-8")
    assert yaml.safe_load(path.read_text())["Pendulum-v1"]["noise_std"] == [0.05, 0.4]
    assert resolved(config=path).settings == found.settings
    assert found.settings.noise_std == (0.05, 0.4)


def test_no_noise_and_half_a_noise() -> None:
    assert build_action_noise(noise_settings(None, None), action_shape=(2,)) is None
    with pytest.raises(UsageError, match="set noise_std too"):
        build_action_noise(noise_settings("normal", None), action_shape=(2,))
    with pytest.raises(UsageError, match="noise_std=null"):
        build_action_noise(noise_settings(None, 0.1), action_shape=(2,))


def test_schedule() -> None:
    assert build_schedule(0.5) == 0.5
    schedule = build_schedule("lin_8e-4")
    assert callable(schedule)
    assert [schedule(1.0), schedule(0.5), schedule(0.0)] == pytest.approx([8e-4, 4e-4, 0.0])


def test_no_noise_needs_one_override_only() -> None:
    """The file's noise_std used to have to be taken back too."""
    settings = resolved(overrides=["noise_type=null"]).settings
    assert (settings.noise_type, settings.noise_std) == (None, None)
    with pytest.raises(UsageError, match=r"noise_std is 0\.2 without noise_type"):
        resolved(overrides=["noise_type=null", "noise_std=0.2"])


@pytest.mark.parametrize("noise_type", ["normal", "ornstein-uhlenbeck", "normal-per-episode", "bias-per-episode"])
def test_noise_has_the_shape_of_an_action(noise_type: str) -> None:
    noise = build_action_noise(noise_settings(noise_type, 0.5), action_shape=(2, 3))
    assert noise is not None
    assert noise().shape == (2, 3)


def test_a_range_of_noise_over_envs_has_the_shape_of_their_actions() -> None:
    noise = build_action_noise(noise_settings("normal", [0.001, 1000], n_envs=4), action_shape=(2, 3))
    assert noise is not None
    sizes = np.abs(noise()).mean(axis=(1, 2))
    assert noise().shape == (4, 2, 3)
    assert sizes.tolist() == sorted(sizes.tolist())
