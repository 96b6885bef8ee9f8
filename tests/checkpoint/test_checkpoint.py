"""Checkpoints reach the disk whole or not at all, and reading one runs nothing in it."""

import base64
import contextlib
import io
import json
import pickle
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from helpers import SMALL
from stable_baselines3.common.vec_env import DummyVecEnv, VecNormalize

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.checkpoint import CheckpointError, build_policy, read_checkpoint, replacing, save_checkpoint
from sb3_ddpg_custom.checkpoint.normalization import normalize_like, to_arrays

OBSERVATIONS = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)


@pytest.fixture
def model() -> DDPG:
    return DDPG("MlpPolicy", "Pendulum-v1", **SMALL)


def rewrite(source: Path, target: Path, **members: bytes) -> Path:
    """Copy a zip with some members replaced (``policy_pth`` stands for ``policy.pth``)."""
    changed = {name.replace("_pth", ".pth"): content for name, content in members.items()}
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            new.writestr(name, changed.get(name, old.read(name)))
    return target


def test_what_is_saved_is_read_and_acts_the_same(model: DDPG, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "new" / "model.zip", config="Pendulum-v1: {}")
    checkpoint = read_checkpoint(tmp_path / "new" / "model.zip")
    policy = build_policy(checkpoint, model.observation_space, model.action_space)
    np.testing.assert_array_equal(policy.predict(OBSERVATIONS)[0], model.predict(OBSERVATIONS)[0])
    assert checkpoint.config == "Pendulum-v1: {}"
    assert checkpoint.normalization is None
    assert checkpoint.parameters.keys() == {"policy", "actor.optimizer", "critic.optimizer"}
    assert sorted(path.name for path in (tmp_path / "new").iterdir()) == ["model.zip"]


@pytest.mark.parametrize("reader", [DDPG, stable_baselines3.DDPG])
def test_sb3s_load_reads_it_too(model: DDPG, tmp_path: Path, reader: Any) -> None:
    save_checkpoint(model, tmp_path / "model.zip", config="x: 1")
    np.testing.assert_array_equal(
        reader.load(tmp_path / "model.zip").predict(OBSERVATIONS)[0], model.predict(OBSERVATIONS)[0]
    )


@pytest.mark.parametrize("writer", [stable_baselines3.DDPG, stable_baselines3.TD3])
@pytest.mark.parametrize("activation", [th.nn.ReLU, th.nn.Tanh])
def test_sb3s_own_zips_are_rebuilt(writer: Any, activation: Any, tmp_path: Path) -> None:
    model = writer("MlpPolicy", "Pendulum-v1", seed=0, policy_kwargs={"net_arch": [8, 4], "activation_fn": activation})
    model.save(tmp_path / "model.zip")
    policy = build_policy(read_checkpoint(tmp_path / "model.zip"), model.observation_space, model.action_space)
    np.testing.assert_array_equal(policy.predict(OBSERVATIONS)[0], model.predict(OBSERVATIONS)[0])


def test_a_failed_write_leaves_the_old_file_and_no_other(model: DDPG, tmp_path: Path, monkeypatch: Any) -> None:
    path = tmp_path / "model.zip"
    save_checkpoint(model, path)
    before = path.read_bytes()

    def broken(file: Any) -> None:
        file.write(b"half a fi")
        raise OSError("no space left on device")

    monkeypatch.setattr(model, "save", broken)
    with pytest.raises(OSError, match="no space left"):
        save_checkpoint(model, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["model.zip"]


def test_replacing_shows_the_new_file_only_when_it_is_whole(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with replacing(path) as file:
        file.write(b"new")
        file.flush()
        assert path.read_text() == "old"
    assert path.read_text() == "new"


class Bomb:
    """Unpickling it creates a file."""

    def __init__(self, marker: Path) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return Path.touch, (self.marker,)


def test_a_hostile_attribute_is_never_unpickled(model: DDPG, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    save_checkpoint(model, tmp_path / "good.zip")
    data = json.loads(zipfile.ZipFile(tmp_path / "good.zip").read("data"))
    bomb = base64.b64encode(pickle.dumps(Bomb(marker))).decode()
    for value in data.values():
        if isinstance(value, dict) and ":serialized:" in value:
            value[":serialized:"] = bomb
    path = rewrite(tmp_path / "good.zip", tmp_path / "bad.zip", data=json.dumps(data).encode())
    policy = build_policy(read_checkpoint(path), model.observation_space, model.action_space)
    np.testing.assert_array_equal(policy.predict(OBSERVATIONS)[0], model.predict(OBSERVATIONS)[0])
    assert not marker.exists()
    # the bomb is real: SB3's own load sets it off
    with contextlib.suppress(Exception):
        stable_baselines3.DDPG.load(path)
    assert marker.exists()


def test_hostile_weights_are_refused_unread(model: DDPG, tmp_path: Path) -> None:
    marker = tmp_path / "marker"
    save_checkpoint(model, tmp_path / "good.zip")
    th.save({"weights": Bomb(marker)}, tmp_path / "policy.pth")
    path = rewrite(tmp_path / "good.zip", tmp_path / "bad.zip", policy_pth=(tmp_path / "policy.pth").read_bytes())
    with pytest.raises(CheckpointError, match="more than tensors"):
        read_checkpoint(path)
    assert not marker.exists()


def test_a_class_from_elsewhere_is_refused_by_name(model: DDPG, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "good.zip")
    data = json.loads(zipfile.ZipFile(tmp_path / "good.zip").read("data"))
    data["policy_kwargs"]["activation_fn"] = "<class 'os.system'>"
    path = rewrite(tmp_path / "good.zip", tmp_path / "bad.zip", data=json.dumps(data).encode())
    with pytest.raises(CheckpointError, match=r"os\.system as activation_fn"):
        build_policy(read_checkpoint(path), model.observation_space, model.action_space)


def test_another_algorithms_zip_is_refused(tmp_path: Path) -> None:
    model = stable_baselines3.SAC("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, buffer_size=10)
    model.save(tmp_path / "sac.zip")
    with pytest.raises(CheckpointError, match=r"stable_baselines3\.sac\.policies"):
        build_policy(read_checkpoint(tmp_path / "sac.zip"), model.observation_space, model.action_space)


def test_another_envs_shape_is_named(model: DDPG, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "model.zip")
    env = gym.make("MountainCarContinuous-v0")
    with pytest.raises(
        CheckpointError, match=r"observations of shape \(3,\), but this env has observations of shape \(2,\)"
    ):
        build_policy(read_checkpoint(tmp_path / "model.zip"), env.observation_space, env.action_space)


@pytest.mark.parametrize("share", [0.0, 0.3, 0.9, 0.999])
def test_a_truncated_file_is_one_sentence(model: DDPG, tmp_path: Path, share: float) -> None:
    save_checkpoint(model, tmp_path / "model.zip")
    content = (tmp_path / "model.zip").read_bytes()
    (tmp_path / "cut.zip").write_bytes(content[: int(share * len(content))])
    with pytest.raises(CheckpointError, match="only a part"):
        read_checkpoint(tmp_path / "cut.zip")


@pytest.mark.parametrize("member", ["data", "policy.pth", "actor.optimizer.pth", "critic.optimizer.pth"])
def test_a_flipped_byte_is_noticed(model: DDPG, tmp_path: Path, member: str) -> None:
    save_checkpoint(model, tmp_path / "model.zip")
    content = bytearray((tmp_path / "model.zip").read_bytes())
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        info = archive.getinfo(member)
    # Its header takes fewer than a hundred bytes. (pytorch_variables.pth is empty, and nobody reads it.)
    content[info.header_offset + 100 + info.compress_size // 2] ^= 0xFF
    (tmp_path / "bad.zip").write_bytes(content)
    with pytest.raises(CheckpointError):
        read_checkpoint(tmp_path / "bad.zip")


def test_other_files_are_named_for_what_they_are(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="there is no file"):
        read_checkpoint(tmp_path / "missing.zip")
    (tmp_path / "text.zip").write_text("hello")
    with pytest.raises(CheckpointError, match="no zip file"):
        read_checkpoint(tmp_path / "text.zip")
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        archive.writestr("cat.jpg", b"meow")
    with pytest.raises(CheckpointError, match="another kind of zip file"):
        read_checkpoint(tmp_path / "photos.zip")


@pytest.mark.parametrize("options", [{}, {"norm_obs": False}, {"norm_reward": False, "clip_obs": 2.0}])
def test_normalisation_travels_inside(options: dict[str, Any], tmp_path: Path) -> None:
    env = VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]), **options)
    model = DDPG("MlpPolicy", env, **SMALL).learn(50)
    save_checkpoint(model, tmp_path / "model.zip")
    arrays = read_checkpoint(tmp_path / "model.zip").normalization
    assert arrays is not None
    fresh = normalize_like(arrays, DummyVecEnv([lambda: gym.make("Pendulum-v1")]))
    np.testing.assert_array_equal(fresh.normalize_obs(OBSERVATIONS), env.normalize_obs(OBSERVATIONS))
    assert not fresh.training
    assert not fresh.norm_reward
    assert fresh.ret_rms.count == env.ret_rms.count


def test_a_small_file_cannot_take_gigabytes(model: DDPG, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "good.zip", config="x: 1")
    zeros = bytes(2**20)
    for name in ("policy.pth", "data", "config.yml", "unknown"):
        path = tmp_path / f"{name}.zip"
        with zipfile.ZipFile(tmp_path / "good.zip") as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
            for other in set(old.namelist()) - {name}:
                new.writestr(other, old.read(other))
            with new.open(name, "w") as stream:
                for _ in range(100):
                    stream.write(zeros)
        if name == "unknown":
            read_checkpoint(path)  # nobody asked for that part
        else:
            with pytest.raises(CheckpointError, match="announces 100 MiB for"):
                read_checkpoint(path)


def test_tensors_that_repeat_one_number_are_refused(model: DDPG, tmp_path: Path) -> None:
    """A zip of kilobytes with ``net_arch: [100000, 100000]`` used to take 40 GB before it was refused."""
    save_checkpoint(model, tmp_path / "good.zip")
    buffer = io.BytesIO()
    th.save({"actor.mu.2.weight": th.zeros(1, 1).expand(100_000, 100_000)}, buffer)
    with zipfile.ZipFile(tmp_path / "good.zip") as old, zipfile.ZipFile(tmp_path / "big.zip", "w") as new:
        for name in old.namelist():
            new.writestr(name, buffer.getvalue() if name == "policy.pth" else old.read(name))
    with pytest.raises(CheckpointError, match=r"policy\.pth holds a tensor that claims more numbers than the file has"):
        read_checkpoint(tmp_path / "big.zip")


def test_weights_that_unpack_to_gigabytes_are_refused(model: DDPG, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "good.zip")
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data/0", bytes(100 * 2**20))
    path = rewrite(tmp_path / "good.zip", tmp_path / "bad.zip", policy_pth=inner.getvalue())
    with pytest.raises(CheckpointError, match=r"100 MiB for what is in policy\.pth"):
        read_checkpoint(path)


def test_a_part_longer_than_announced_or_oddly_compressed_is_refused(model: DDPG, tmp_path: Path) -> None:
    save_checkpoint(model, tmp_path / "good.zip")
    with zipfile.ZipFile(tmp_path / "liar.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("data", b"{}" + bytes(2**20))
        archive.writestr("policy.pth", b"")
        archive.getinfo("data").file_size = 2
    with pytest.raises(CheckpointError, match="damaged: its part 'data'"):
        read_checkpoint(tmp_path / "liar.zip")
    with zipfile.ZipFile(tmp_path / "bz2.zip", "w", zipfile.ZIP_BZIP2) as archive:
        archive.writestr("data", b"{}")
        archive.writestr("policy.pth", b"")
    with pytest.raises(CheckpointError, match="data is compressed"):
        read_checkpoint(tmp_path / "bz2.zip")


@pytest.mark.parametrize(
    ("attribute", "value", "reason"),
    [
        ("policy_kwargs", "abc", "its policy_kwargs are 'abc'"),
        ("policy_kwargs", [1], r"its policy_kwargs are '\[1\]'"),
        ("policy_kwargs", {"net_arch": "abc"}, "do not fit this env's policy"),
        ("policy_kwargs", {"net_arch": {"pi": [16, 12]}}, "do not fit this env's policy"),
        # as much memory as would end this process
        (
            "policy_kwargs",
            {"net_arch": [10**6, 10**6]},
            r"its net_arch \[1000000, 1000000\] is larger than its weights",
        ),
        ("policy_kwargs", {"net_arch": {"pi": [16, 12], "qf": [10**12]}}, "larger than its weights"),
        (
            "policy_kwargs",
            {"net_arch": [16, 12], "n_critics": 10**6},
            "its n_critics 1000000 is larger than its weights",
        ),
        ("policy_kwargs", {"features_extractor_kwargs": {"features_dim": 10**9}}, "features_dim 1000000000 is larger"),
        ("observation_space", {"_shape": 3}, "the shape of its observation_space is '3'"),
        ("action_space", {"_shape": ["1"]}, "the shape of its action_space"),
        ("policy_class", 3, "an unknown module"),
    ],
)
def test_attributes_of_a_wrong_kind_are_one_sentence(
    model: DDPG, tmp_path: Path, attribute: str, value: Any, reason: str
) -> None:
    save_checkpoint(model, tmp_path / "good.zip")
    data = json.loads(zipfile.ZipFile(tmp_path / "good.zip").read("data")) | {attribute: value}
    path = rewrite(tmp_path / "good.zip", tmp_path / "bad.zip", data=json.dumps(data).encode())
    with pytest.raises(CheckpointError, match=reason):
        build_policy(read_checkpoint(path), model.observation_space, model.action_space)


@pytest.mark.parametrize("weights", [{1: th.zeros(1)}, {"actor.mu.0.weight": 3}, [th.zeros(1)]])
def test_weights_of_a_wrong_kind_are_one_sentence(model: DDPG, tmp_path: Path, weights: Any) -> None:
    save_checkpoint(model, tmp_path / "good.zip")
    buffer = io.BytesIO()
    th.save(weights, buffer)
    path = rewrite(tmp_path / "good.zip", tmp_path / "bad.zip", policy_pth=buffer.getvalue())
    with pytest.raises(CheckpointError, match=r"policy\.pth holds"):
        read_checkpoint(path)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"clip_obs": None}, "lacks clip_obs"),
        ({"gamma": "x"}, "a gamma that is no number"),
        ({"returns.var": None}, "lacks a mean, var or count of returns"),
        ({"observations.var": [1.0]}, "observations that do not fit together"),
        ({"norm_obs_keys": 3}, "norm_obs_keys"),
    ],
)
def test_a_normalisation_of_a_wrong_kind_is_one_sentence(
    model: DDPG, tmp_path: Path, changes: dict[str, Any], reason: str
) -> None:
    arrays = to_arrays(VecNormalize(DummyVecEnv([lambda: gym.make("Pendulum-v1")]))) | changes
    buffer = io.BytesIO()
    np.savez(buffer, allow_pickle=False, **{name: value for name, value in arrays.items() if value is not None})
    save_checkpoint(model, tmp_path / "bad.zip")
    with zipfile.ZipFile(tmp_path / "bad.zip", "a") as archive:
        archive.writestr("vec_normalize.npz", buffer.getvalue())
    with pytest.raises(CheckpointError, match=reason):
        read_checkpoint(tmp_path / "bad.zip")


def test_statistics_of_another_env_are_named() -> None:
    def pendulum() -> DummyVecEnv:
        return DummyVecEnv([lambda: gym.make("Pendulum-v1")])

    arrays = to_arrays(VecNormalize(pendulum()))
    without = {name: value for name, value in arrays.items() if not name.startswith("observations")}
    with pytest.raises(ValueError, match="no statistics of this env's observations"):
        normalize_like(without, pendulum())
