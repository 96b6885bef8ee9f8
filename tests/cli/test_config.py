from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from helpers.configs import from_file, resolved
from hypothesis import example, given, settings
from hypothesis import strategies as st

from sb3_ddpg_custom.cli.config.kinds import ClassSpec
from sb3_ddpg_custom.cli.config.kwargs_text import parse_kwargs
from sb3_ddpg_custom.cli.config.resolve import Resolved, resolve, to_yaml
from sb3_ddpg_custom.cli.config.settings import Settings, validate
from sb3_ddpg_custom.cli.errors import UsageError


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
        "actor_weight_decay": st.none() | st.just(0.0) | POSITIVE,
        "decoupled_weight_decay": st.none() | st.booleans(),
        "pre_tanh_penalty": st.none() | st.just(1e-5) | POSITIVE,
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
