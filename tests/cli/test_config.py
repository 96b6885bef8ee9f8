import re
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sb3_ddpg_custom.cli.config.classes import build_policy_kwargs, build_replay_buffer_class, import_class
from sb3_ddpg_custom.cli.config.kinds import ClassSpec
from sb3_ddpg_custom.cli.config.kwargs_text import parse_kwargs
from sb3_ddpg_custom.cli.config.resolve import Resolved, resolve, to_yaml
from sb3_ddpg_custom.cli.config.settings import Settings, validate
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.training.noise import build_action_noise, build_parameter_noise, build_schedule

IDS = ["Pendulum-v1", "HalfCheetah-v5", "FrozenLake-v1"]


def resolved(
    env: str = "pendulum",
    *,
    config: Path | None = None,
    overrides: Sequence[str] = (),
    steps: int | None = None,
    n_envs: int | None = None,
) -> Resolved:
    return resolve(env, config=config, overrides=overrides, steps=steps, n_envs=n_envs, registered_ids=IDS)


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """Settings that stay the same while the shipped ones are tuned."""
    path = tmp_path / "base.yml"
    path.write_text(
        "default: {n_timesteps: 5, noise_type: normal, noise_std: 0.1, policy_kwargs: {net_arch: [64, 64]}}"
    )
    return path


def from_file(tmp_path: Path, text: str, env: str = "pendulum") -> Settings:
    path = tmp_path / "my.yml"
    path.write_text(text, encoding="utf-8")
    return resolved(env, config=path).settings


def error_of(tmp_path: Path, text: str) -> str:
    with pytest.raises(UsageError) as caught:
        from_file(tmp_path, text)
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) < 800
    return message.replace(str(tmp_path / "my.yml"), "my.yml")


# Which file


def test_alias_and_id() -> None:
    by_alias, by_id = resolved("pendulum"), resolved("Pendulum-v1")
    assert (by_alias.alias, by_alias.env_id, by_alias.source) == ("pendulum", "Pendulum-v1", "pendulum.yml")
    assert (by_id.alias, by_id.env_id, by_id.source) == (None, "Pendulum-v1", "pendulum.yml")
    assert by_alias.settings == by_id.settings


def test_an_id_without_a_file_gets_the_default() -> None:
    assert resolved("FrozenLake-v1").source == "default.yml"


def test_an_id_in_a_module_is_not_looked_up() -> None:
    assert resolved("my_package.envs:Mine-v0").env_id == "my_package.envs:Mine-v0"


@pytest.mark.parametrize(
    ("env", "hint"),
    [
        ("pendulm", "did you mean 'pendulum'"),
        ("halfcheetah-v5", "did you mean 'HalfCheetah-v5'"),
        ("default", "ddpg list"),
        ("../pendulum", "did you mean 'pendulum'"),
        ("", "ddpg list"),
        (":Mine-v0", "ddpg list"),
    ],
)
def test_unknown_environment(env: str, hint: str) -> None:
    with pytest.raises(UsageError, match=hint):
        resolved(env)


def test_a_file_replaces_the_shipped_settings(tmp_path: Path) -> None:
    found = from_file(tmp_path, "Pendulum-v1: {n_timesteps: 7}\ndefault: {n_timesteps: 8}")
    assert found == Settings(n_timesteps=7)


def test_default_flat_and_run(tmp_path: Path) -> None:
    assert from_file(tmp_path, "default: {n_timesteps: 8}").n_timesteps == 8
    assert from_file(tmp_path, "n_timesteps: 9\nrun: {seed: 3}").n_timesteps == 9
    assert from_file(tmp_path, "run: {seed: 3}\nPendulum-v1: {n_timesteps: 10}").n_timesteps == 10


def test_an_id_in_a_module_finds_its_bare_entry(tmp_path: Path) -> None:
    assert from_file(tmp_path, "Mine-v0: {n_timesteps: 7}", env="mine:Mine-v0").n_timesteps == 7


def test_anchors_and_merge_keys(tmp_path: Path) -> None:
    text = "Other-v0: &base {n_timesteps: 5, gamma: 0.5}\nPendulum-v1: {<<: *base, gamma: 0.7}"
    found = from_file(tmp_path, text)
    assert (found.n_timesteps, found.gamma) == (5, 0.7)


@pytest.mark.skipif(find_spec("rl_zoo3") is None, reason="needs rl_zoo3")
def test_every_entry_of_rl_zoo3_loads() -> None:
    spec = find_spec("rl_zoo3")
    assert spec is not None
    assert spec.origin is not None
    path = Path(spec.origin).parent / "hyperparams" / "ddpg.yml"
    ids = list(yaml.safe_load(path.read_text()))
    assert len(ids) > 15
    for env_id in ids:
        found = resolve(env_id, config=path, overrides=[], steps=None, n_envs=None, registered_ids=ids)
        assert found.settings.n_timesteps >= 20_000
    assert resolved("pendulum", config=path).settings.policy_kwargs == {"net_arch": [400, 300]}


# What is in it


def test_defaults_are_those_of_sb3() -> None:
    import inspect

    from stable_baselines3 import DDPG

    ours = Settings(n_timesteps=1)
    shared = {
        name: p.default for name, p in inspect.signature(DDPG).parameters.items() if name in Settings.model_fields
    }
    assert len(shared) >= 13
    for name, default in shared.items():
        if name != "policy":
            assert (getattr(ours, name) or None) == (default or None), name


@pytest.mark.parametrize(
    ("key", "text", "expected"),
    [
        ("n_timesteps", "1e6", 1_000_000),
        ("n_timesteps", "!!float 1e6", 1_000_000),
        ("n_timesteps", "'1e6'", 1_000_000),
        ("learning_rate", "1e-3", 0.001),
        ("learning_rate", "lin_7e-4", "lin_7e-4"),
        ("gamma", "1", 1.0),
        ("noise_type", "null", None),
        ("normalize", "true", {"norm_obs": True, "norm_reward": True}),
        ("normalize", "false", False),
        ("normalize", "'dict(norm_obs=True, norm_reward=False)'", {"norm_obs": True, "norm_reward": False}),
        ("normalize", "\"{'norm_obs': True}\"", {"norm_obs": True}),
        ("train_freq", "[1, episode]", (1, "episode")),
        ("train_freq", "4", 4),
        ("gradient_steps", "-1", -1),
        ("env_wrapper", "a.B", (ClassSpec("a.B"),)),
        ("env_wrapper", "{a.B: {x: 1}}", (ClassSpec("a.B", {"x": 1}),)),
        ("callback", "[a.B, {c.D: {x: 1}}]", (ClassSpec("a.B"), ClassSpec("c.D", {"x": 1}))),
        ("env_kwargs", "dict(g=9.81)", {"g": 9.81}),
        ("env_kwargs", "{g: 1e1}", {"g": 10.0}),
        ("policy_kwargs", "dict(activation_fn=nn.ReLU)", {"activation_fn": "nn.ReLU"}),
        ("policy_kwargs", "{activation_fn: ReLU}", {"activation_fn": "nn.ReLU"}),
        ("policy_kwargs", "{optimizer_class: torch.optim.AdamW}", {"optimizer_class": "th.optim.AdamW"}),
        ("policy_kwargs", "dict(net_arch=dict(pi=(64, 64), qf=[32]))", {"net_arch": {"pi": [64, 64], "qf": [32]}}),
    ],
)
def test_values(base: Path, key: str, text: str, expected: object) -> None:
    assert (
        getattr(resolved(config=base, overrides=["noise_type=", "noise_std=", f"{key}={text}"]).settings, key)
        == expected
    )


def test_overrides_reach_into_mappings(base: Path) -> None:
    entry = ["policy_kwargs=dict(net_arch=[8], activation_fn=nn.ReLU)", "policy_kwargs.net_arch=[64, 64]"]
    more = ["policy_kwargs.optimizer_kwargs.eps=1e-5", "normalize=true", "normalize.norm_reward=false"]
    found = resolved(config=base, overrides=entry + more).settings
    assert found.policy_kwargs == {
        "net_arch": [64, 64],
        "activation_fn": "nn.ReLU",
        "optimizer_kwargs": {"eps": 1e-5},
    }
    assert found.normalize == {"norm_reward": False}


def test_flags_come_last() -> None:
    found = resolved(overrides=["n_timesteps=5", "n_envs=6"], steps=7, n_envs=8).settings
    assert (found.n_timesteps, found.n_envs) == (7, 8)


def test_settings_are_frozen_and_share_nothing_with_the_entry() -> None:
    entry: dict[str, Any] = {"n_timesteps": 5, "policy_kwargs": {"net_arch": [1], "activation_fn": "ReLU"}}
    found = validate(entry, "x.yml")
    with pytest.raises(ValueError, match="frozen"):
        found.gamma = 0.5
    found.policy_kwargs["net_arch"].append(2)
    assert entry == {"n_timesteps": 5, "policy_kwargs": {"net_arch": [1], "activation_fn": "ReLU"}}


# What is wrong with it


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("Pendulum-v1: {lerning_rate: 1}", "`my.yml`: unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ("lerning_rate: 1", "`my.yml`: unknown key 'lerning_rate'; did you mean 'learning_rate'?"),
        ("n_timesteps: 5\nzzz: 1", "unknown key 'zzz'; the keys are batch_size, "),
        ("n_timesteps: 5\n5: 1", "unknown key 5; the keys are batch_size, "),
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


# Writing and reading back

SCALARS = st.none() | st.booleans() | st.integers(-(10**9), 10**9) | st.floats(allow_nan=False) | st.text(max_size=8)
DATA = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)
# hypothesis knows the words of the sources: "net_arch" is one of eight letters, and may not hold just anything.
KWARGS = st.dictionaries(st.text(max_size=8).filter(lambda key: key != "net_arch"), DATA, max_size=3)
NAMES = st.sampled_from(["a.B", "gymnasium.wrappers.TimeLimit", "x.y.Z"])
SPECS = st.none() | NAMES | st.lists(NAMES | st.builds(lambda name, kwargs: {name: kwargs}, NAMES, KWARGS), max_size=2)
POSITIVE = st.floats(0, 1e6, exclude_min=True)
STEP_SIZES = st.floats(0, 10, exclude_min=True)
RATES = STEP_SIZES | st.builds("lin_{}".format, STEP_SIZES)
CLASS_NAMES = {
    "activation_fn": st.sampled_from(["ReLU", "nn.Tanh", "torch.nn.ELU", "no name", "None"]) | st.none(),
    "optimizer_class": st.sampled_from(["th.optim.AdamW", "Adam"]),
}
ENTRIES = st.fixed_dictionaries(
    {"n_timesteps": st.integers(9, 10**9)},  # at least as many as train_freq
    optional={
        "policy": st.sampled_from(["MlpPolicy", "a.Policy"]),
        "n_envs": st.just(1),
        "normalize": st.booleans() | st.sampled_from([{"norm_obs": True}, "dict(clip_obs=5.0)"]),
        "env_wrapper": SPECS,
        "callback": SPECS,
        "env_kwargs": KWARGS,
        "frame_stack": st.none() | st.integers(1, 4),
        "learning_rate": RATES,
        "critic_learning_rate": st.none() | RATES,
        "buffer_size": st.integers(1, 10**7),
        "tau": st.floats(0, 1, exclude_min=True),
        "gamma": st.floats(0, 1),
        "train_freq": st.integers(1, 9) | st.tuples(st.integers(1, 9), st.sampled_from(["step", "episode"])),
        "gradient_steps": st.sampled_from([-1, 1, 5]),
        "policy_kwargs": st.builds(
            lambda kwargs, classes: {**kwargs, **classes}, KWARGS, st.fixed_dictionaries({}, optional=CLASS_NAMES)
        ),
        "replay_buffer_class": st.none() | st.just("HerReplayBuffer"),
        "max_grad_norm": st.none() | POSITIVE,
        "optimize_memory_usage": st.booleans(),
    },
)


@settings(max_examples=80, deadline=None)
@given(entry=ENTRIES)
def test_what_is_written_reads_back_equal(tmp_path_factory: pytest.TempPathFactory, entry: dict[str, Any]) -> None:
    written = Resolved(None, "Pendulum-v1", validate(entry, "x.yml"), "x.yml")
    path = tmp_path_factory.getbasetemp() / "round_trip.yml"
    path.write_text(to_yaml(written, run={"seed": 3, "versions": {"torch": "2.8"}}), encoding="utf-8")
    assert resolved("Pendulum-v1", config=path).settings == written.settings


def test_what_is_written_is_what_rl_zoo3_reads(base: Path) -> None:
    overrides = ["learning_rate=1e-5", "train_freq=[2, step]", "policy_kwargs.activation_fn=ReLU"]
    document = yaml.safe_load(to_yaml(resolved(config=base, overrides=overrides), run={"seed": 1}))
    assert list(document) == ["Pendulum-v1", "run"]
    entry = document["Pendulum-v1"]
    assert entry["learning_rate"] == 1e-5
    assert entry["train_freq"] == [2, "step"]
    assert entry["policy_kwargs"] == "dict(net_arch=[64, 64], activation_fn=nn.ReLU)"
    assert "critic_learning_rate" not in entry


@given(KWARGS)
@example({"µ": 1})
def test_keyword_strings_read_back_equal(kwargs: dict[str, Any]) -> None:
    from sb3_ddpg_custom.cli.config.kwargs_text import format_kwargs

    assert parse_kwargs(format_kwargs(kwargs)) == kwargs


# Classes


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


# Noise and schedules


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
