"""Configurations that cannot be meant: one sentence each."""

from pathlib import Path

import pytest
from helpers.configs import error_of, resolved
from hypothesis import given
from hypothesis import strategies as st

from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml
from sb3_ddpg_custom.cli.errors import UsageError


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Pendulum-v1: {lerning_rate: 1}", "`my.yml`: unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ("lerning_rate: 1", "`my.yml`: unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ("n_timesteps: 5\nzzz: 1", "unknown key 'zzz'; the keys are action_bounds, "),
        ("n_timesteps: 5\n5: 1", "unknown key 5; the keys are action_bounds, "),
        ("gamma: 0.5", "`my.yml`: n_timesteps is missing; add it, or pass --steps"),
        ("Pendulm-v1: {}", "no entry for 'Pendulum-v1' and no 'default', only Pendulm-v1; did you mean 'Pendulm-v1'?"),
        ("Pendulum-v1: [1]", "`my.yml`: the entry 'Pendulum-v1' is [1]; expected a mapping"),
        ("gamma: 0.5\ndefault: {}", "`my.yml` has 'gamma' at the top level beside the entry 'default'; move it"),
        ("run: {seed: 1}", "`my.yml` has no hyper-parameters"),
        ("", "`my.yml` is empty"),
        ("- 1", "`my.yml` holds [1]; expected a mapping"),
        ("a: [1", "`my.yml`, line 1, column 6: this is not valid YAML"),
        ("a: 1\n\tb: 2", "`my.yml`, line 2, column 1: this is not valid YAML"),
        ("gamma: 1\ngamma: 2", "line 2, column 1: this is not valid YAML (duplicate key 'gamma')"),
        ("a: 1\n---\nb: 2", "line 2, column 1"),
        ("a: !!python/object/apply:os.system [x]", "the tag !!python/object/apply:os.system is refused"),
        ("a: \x01", "`my.yml` is not valid YAML"),
        ("a: !!bool maybe", "`my.yml` has a value that YAML cannot read"),
        ("a: !!int ''", "`my.yml` has a value that YAML cannot read"),
        ("a: 2020-13-45", "`my.yml` has a value that YAML cannot read"),
        ("[" * 5000, "`my.yml` is nested too deep"),
        ("n_timesteps: 5\npolicy_kwargs: &a {x: *a}", "policy_kwargs is {'x': {'x': {...}}}; at most 20 levels"),
        ("n_timesteps: 5\npolicy_kwargs: {x: 2020-01-01}", "is not plain data"),
        ("n_timesteps: 5\npolicy_kwargs: {1: 2}", "expected a mapping whose keys are strings"),
        ("n_timesteps: 1.5", "`my.yml`: n_timesteps is 1.5; expected a whole number of at least 1"),
        ("n_timesteps: true", "n_timesteps is True; expected a whole number"),
        ("n_timesteps: .inf", "n_timesteps is inf; expected a whole number"),
        ("n_timesteps: .nan", "n_timesteps is nan; expected a whole number"),
        ("n_timesteps: null", "n_timesteps is None; expected a whole number"),
        ("n_timesteps: 0x" + "f" * 5000, "n_timesteps is too large a number; expected a whole number"),
        ("n_timesteps: 5\nenv_kwargs: {x: 0x" + "f" * 5000 + "}", "too large a number is not plain data"),
        ("n_timesteps: 1e30", "n_timesteps is 1e+30; expected a whole number"),
        ("n_timesteps: [5]", "n_timesteps is [5]; expected a whole number"),
    ],
)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    assert message in error_of(tmp_path, text)


def test_a_small_file_that_unfolds_to_millions_of_values(tmp_path: Path) -> None:
    layers = ["a0: &a0 [1, 1, 1, 1, 1, 1, 1, 1]"]
    layers += [f"a{i}: &a{i} [" + ", ".join([f"*a{i - 1}"] * 8) + "]" for i in range(1, 10)]
    text = "\n".join([*layers, "Pendulum-v1: {n_timesteps: 5, policy_kwargs: {x: *a9}}"])
    assert "at most 10,000 values" in error_of(tmp_path, text)


def test_the_first_of_two_merged_mappings_wins() -> None:
    """As YAML says (https://yaml.org/type/merge.html), and PyYAML 6.0.4 does not."""
    text = "a: &a {tau: 1}\nb: &b {tau: 0.5, gamma: 0}\nc: {<<: [*a, *b]}"
    assert parse_yaml(text, "x")["c"] == {"tau": 1, "gamma": 0}


def test_merges_that_multiply(tmp_path: Path) -> None:
    """Ten merges of ten merges used to take all memory; newer versions of PyYAML count equal keys once."""
    layers = ["a0: &a0 {x: 1}"]
    layers += [f"a{i}: &a{i} {{<<: [" + ", ".join([f"*a{i - 1}"] * 10) + "]}" for i in range(1, 10)]
    text = "\n".join([*layers, "Pendulum-v1: {n_timesteps: 5, policy_kwargs: {<<: *a9}, tau: 3}"])
    assert error_of(tmp_path, text)  # soon, whichever comes first: too many values, or the wrong tau
    layers = [f"a{i}: &a{i} {{" + ", ".join(f"k{i}_{j}: 1" for j in range(2000)) + "}" for i in range(6)]
    text = "\n".join([*layers, "Pendulum-v1: {n_timesteps: 5, policy_kwargs: {<<: [*a0, *a1, *a2, *a3, *a4, *a5]}}"])
    assert "merges that unfold to more than 10,000 values" in error_of(tmp_path, text)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("gamma", "--set 'gamma' is not key=value"),
        ("=1", "is not key=value"),
        ("policy_kwargs.=1", "is not key=value"),
        ("gama=1", "--set gama: unknown key 'gama'; did you mean 'gamma'?"),
        ("gamma.x=1", "--set gamma.x: gamma takes one value, not a mapping"),
        ("gamma=[", "`--set gamma`, line 1, column 2: this is not valid YAML"),
        ("gamma=1.01", "--set gamma is 1.01; expected a number from 0 to 1"),
        ("tau=0", "--set tau is 0; expected a number above 0 and at most 1"),
        ("batch_size=0", "expected a whole number of at least 1"),
        ("learning_starts=-1", "expected a whole number of at least 0"),
        ("learning_rate=-1", "expected a number above 0 and at most 10, or such as 'lin_7e-4'"),
        ("learning_rate=lin_x", "expected a number above 0 and at most 10, or such as 'lin_7e-4'"),
        ("learning_rate=lin_0", "expected a number above 0 and at most 10, or such as 'lin_7e-4'"),
        ("learning_rate=exp_1", "expected a number above 0 and at most 10, or such as 'lin_7e-4'"),
        ("noise_std=-0.1", "expected a number of at least 0"),
        ("noise_type=gaussian", "expected null or one of normal, ornstein-uhlenbeck"),
        ("gradient_steps=0", "expected a whole number of at least 1, or -1"),
        ("train_freq=[1, day]", "or such as [1, episode]"),
        ("train_freq=[0, step]", "or such as [1, episode]"),
        ("train_freq=[1, step, 2]", "or such as [1, episode]"),
        ("optimize_memory_usage=1", "optimize_memory_usage is 1; expected true or false"),
        ("policy=MlpPolcy", "expected MlpPolicy, CnnPolicy"),
        ("normalize=1", "normalize is 1; expected a mapping"),
        ("normalize={norm_obs: 3}", "expected for norm_obs true or false"),
        ("normalize.training=no thanks", "expected for training true or false"),
        ("normalize.clip_obs=-1", "expected for clip_obs a number above 0"),
        ("normalize.gamma=2", "expected for gamma a number above 0 and at most 1"),
        ("normalize.norm_obs_keys=3", "expected for norm_obs_keys a list of names"),
        ("env_kwargs.max_episode_steps=-1", "expected for max_episode_steps a whole number of at least 1"),
        ("env_kwargs.max_episode_steps=many", "expected for max_episode_steps a whole number of at least 1"),
        ("monitor_kwargs.reset_keywords=[a]", "leave out reset_keywords"),
        ("monitor_kwargs.info_keywords=3", "expected for info_keywords a list of names"),
        ("monitor_kwargs.override_existing=3", "expected for override_existing true or false"),
        (
            "train_freq=[1000000000, step]",
            "train_freq is [1000000000, 'step'], more than the 5 steps of the training",
        ),
        ("train_freq=5001", "train_freq is 5001, more than the 5 steps of the training"),
        ("gradient_steps=1000000", "gradient_steps is 1,000,000, more updates at once than the training has steps"),
        ("normalize.norm_ob=true", "'norm_ob' is no argument of VecNormalize; did you mean 'norm_obs'?"),
        ("env_wrapper=Wrapper", "expected 'module.Class'"),
        ("env_wrapper={a.B: {}, c.D: {}}", "expected 'module.Class'"),
        ("policy_kwargs=dict(net_arch=[64] * 2)", "'[64] * 2' is not plain data"),
        ("policy_kwargs=dict(x=__import__('os').system('x'))", "is not plain data"),
        ("policy_kwargs=dict(", "expected a mapping"),
        ("policy_kwargs=5", "expected a mapping"),
        ("policy_kwargs.net_arch.pi=[1]", "expected a mapping under 'net_arch' to reach into"),
        ("learning_rate=11", "at most 10"),
        ("n_envs=10001", "expected a whole number of at most 10,000"),
        ("batch_size=1e8", "expected a whole number of at most 10,000,000"),
        ("n_timesteps=99999999999999999999999", "at most 9,223,372,036,854,775,807"),
        ("update=foo", "expected one of auto, compiled, analytic, autograd"),
        ("policy_kwargs.net_arch=[-3]", "net_arch widths of layers, whole numbers from 1 to 100,000"),
        ("policy_kwargs.net_arch=[0]", "net_arch widths"),
        ("policy_kwargs.net_arch=[100000000000]", "net_arch widths"),
        ("policy_kwargs.net_arch={pi: [8]}", "expected for net_arch a list of widths"),
        ("monitor_kwargs.filename=x", "'filename' is none of allow_early_resets"),
        ("env_kwargs.render_mode=human", "--render shows a window, and --video films"),
        ("noise_std=null", "noise_type is 'normal' without noise_std"),
        ("max_grad_norm=0", "expected a number above 0"),
        ("actor_weight_decay=-1e-2", "expected a number of at least 0"),
        ("decoupled_weight_decay=1e-2", "expected true or false"),
        ("pre_tanh_penalty=small", "expected a number of at least 0"),
        ("update=5", "update is 5; expected one of auto"),
    ],
)
def test_bad_overrides(base: Path, override: str, message: str) -> None:
    with pytest.raises(UsageError) as caught:
        resolved(config=base, overrides=[override])
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_bad_flags_and_combinations(base: Path) -> None:
    with pytest.raises(UsageError, match="--steps is 0; expected"):
        resolved(config=base, steps=0)
    with pytest.raises(UsageError, match="--n-envs is -1; expected"):
        resolved(config=base, n_envs=-1)
    with pytest.raises(UsageError, match="needs one environment, but n_envs is 2"):
        resolved(config=base, overrides=["train_freq=[1, episode]"], n_envs=2)
    with pytest.raises(UsageError, match="shrinks by itself"):
        resolved(config=base, overrides=["noise_type=normal-per-episode", "noise_std=lin_0.5"])


def test_bad_paths(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist; name an existing"):
        resolved(config=tmp_path / "none.yml")
    with pytest.raises(UsageError, match="is a directory"):
        resolved(config=tmp_path)
    with pytest.raises(UsageError, match="cannot be read"):
        resolved(config=Path("a\0b"))
    (tmp_path / "latin.yml").write_bytes(b"# caf\xe9")
    with pytest.raises(UsageError, match=r"not UTF-8 text \(byte 5\)"):
        resolved(config=tmp_path / "latin.yml")
    (tmp_path / "large.yml").write_bytes(b" " * 1_000_001)
    with pytest.raises(UsageError, match="larger than"):
        resolved(config=tmp_path / "large.yml")


@given(st.text())
def test_whatever_the_text_only_usage_errors_come_out(text: str) -> None:
    try:
        parse_yaml(text, "x")
    except UsageError as error:
        assert str(error).startswith("`x`")  # noqa: PT017
