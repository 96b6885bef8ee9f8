"""Pickles whose data is read and whose code is not run."""

import base64
import io
import json
import os
import pickle
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
from helpers import Ddpg
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ddpg_custom.checkpoint import CheckpointError, read_normalization
from sb3_ddpg_custom.checkpoint.inert_pickle import Inert, read_pickle
from sb3_ddpg_custom.checkpoint.normalization import to_arrays
from sb3_ddpg_custom.checkpoint.traces import was_normalized


class Thing:
    def __init__(self) -> None:
        self.number = 3


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_arrays_and_states_are_read(protocol: int) -> None:
    data = {
        "matrix": np.arange(6.0).reshape(2, 3),
        "columns": np.asfortranarray(np.arange(6, dtype=np.int32).reshape(2, 3)),
        "big-endian": np.arange(3, dtype=">f4"),
        "scalar": np.float64(2.5),
        "flag": np.bool_(True),
        "list": [1, "two", None],
    }
    read = read_pickle(pickle.dumps({**data, "thing": Thing()}, protocol))
    thing = read.pop("thing")
    assert isinstance(thing, Inert)
    assert thing.origin == f"{Thing.__module__}.Thing"
    assert thing.state == {"number": 3}
    assert read.pop("list") == data.pop("list")
    for name, value in data.items():
        np.testing.assert_array_equal(read[name], value)
        assert read[name].dtype == value.dtype  # type: ignore[attr-defined]


class Marker:
    """Whoever unpickles this creates a folder."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


def test_nothing_in_it_is_run(tmp_path: Path) -> None:
    read = read_pickle(pickle.dumps({"x": Marker(tmp_path / "run")}))
    assert isinstance(read["x"], Inert)
    assert not (tmp_path / "run").exists()


def nested_keys() -> bytes:
    """Build a key of tuples of tuples, whose hash takes Python for ever."""
    return pickle.PROTO + b"\x02" + b"}" + b"K\x01" + b"2\x86" * 60 + b"N" + b"s" + b"."


@pytest.mark.parametrize(
    ("content", "error"),
    [
        (b"", EOFError),
        (b"not a pickle", Exception),
        (pickle.dumps({(1, 2): 3}), pickle.UnpicklingError),
        (pickle.dumps({frozenset([1])}), KeyError),
        (nested_keys(), pickle.UnpicklingError),
        (pickle.dumps(np.array([None, 1], dtype=object)), pickle.UnpicklingError),
        (
            pickle.PROTO + b"\x02" + b"".join(b"ca\nb%d\n0" % number for number in range(2000)) + b"N.",
            pickle.UnpicklingError,
        ),
    ],
)
def test_what_data_does_not_need_ends_at_once(content: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        read_pickle(content)


def test_no_more_memory_is_taken_than_the_file_has() -> None:
    petabyte = pickle.PROTO + b"\x05" + pickle.BYTEARRAY8 + (2**50).to_bytes(8, "little") + b"x."
    with pytest.raises(EOFError):
        read_pickle(petabyte)


@pytest.fixture(scope="module", params=["Box", "Dict"])
def normalized(request: Any) -> VecNormalize:
    def make() -> gym.Env[Any, Any]:
        env: gym.Env[Any, Any] = gym.make("Pendulum-v1")
        if request.param == "Dict":
            space = gym.spaces.Dict(a=env.observation_space)
            env = gym.wrappers.TransformObservation(env, lambda seen: {"a": seen}, space)
        return env

    env = VecNormalize(
        make_vec_env(make, 2, seed=0), clip_obs=5.0, norm_obs_keys=["a"] if request.param == "Dict" else None
    )
    env.reset()
    for _ in range(20):
        env.step(np.ones((2, 1)))
    return env


def test_what_vecnormalize_saves_is_read_without_unpickling(normalized: VecNormalize, tmp_path: Path) -> None:
    normalized.save(str(tmp_path / "statistics.pkl"))
    read, expected = read_normalization(tmp_path / "statistics.pkl"), to_arrays(normalized)
    assert read.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(read[name], value)


def test_what_is_no_vecnormalize(tmp_path: Path) -> None:
    for name, content in (("thing", pickle.dumps(Thing())), ("text", b"text"), ("list", pickle.dumps([1]))):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(CheckpointError, match="holds no VecNormalize of SB3 that can be read without running code"):
            read_normalization(tmp_path / name)
    with pytest.raises(CheckpointError, match="there is no file"):
        read_normalization(tmp_path / "missing")


@pytest.fixture(scope="module")
def sb3_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with SB3 models that were trained under VecNormalize and without, and the statistics."""
    folder = tmp_path_factory.mktemp("sb3")
    settings: dict[str, Any] = {"learning_starts": 10, "policy_kwargs": {"net_arch": [8]}, "seed": 0, "device": "cpu"}
    for name in ("plain", "alone", "beside"):
        (folder / name).mkdir()
    stable_baselines3.DDPG("MlpPolicy", "Pendulum-v1", **settings).learn(30).save(folder / "plain" / "model")
    env = VecNormalize(make_vec_env("Pendulum-v1", 1, seed=0), norm_reward=False)
    model = stable_baselines3.DDPG("MlpPolicy", env, **settings).learn(250)
    model.save(folder / "alone" / "model")
    model.save(folder / "beside" / "model")
    env.save(str(folder / "beside" / "vec_normalize.pkl"))
    return folder


def test_a_model_is_judged_on_what_it_was_trained_on(ddpg: Ddpg, sb3_files: Path) -> None:
    """A model trained under VecNormalize used to be evaluated on raw observations, without a word."""
    from stable_baselines3.common.evaluation import evaluate_policy

    from sb3_ddpg_custom.cli.environments.seeds import evaluation_seeds

    model, statistics = sb3_files / "beside" / "model.zip", sb3_files / "beside" / "vec_normalize.pkl"
    error = ddpg("evaluate", "--checkpoint", model, "--env", "pendulum", code=2).stderr
    assert "trained under VecNormalize and does not hold its statistics" in error
    command = ("evaluate", "--checkpoint", model, "--env", "pendulum", "--episodes", 1, "--json", "--normalization")
    found = json.loads(ddpg(*command, statistics).stdout)["mean_return"]
    env = VecNormalize.load(str(statistics), make_vec_env("Pendulum-v1", 1, seed=evaluation_seeds(0, 1)[0]))
    env.training = env.norm_reward = False
    assert found == pytest.approx(
        evaluate_policy(stable_baselines3.DDPG.load(model), env, n_eval_episodes=1)[0], rel=1e-4
    )
    assert json.loads(ddpg(*command, "none").stdout)["mean_return"] != found
    assert "--normalization" in ddpg(*command, model.with_name("missing.pkl"), code=2).stderr


def test_where_a_file_does_not_say_there_is_a_line(ddpg: Ddpg, sb3_files: Path) -> None:
    printed = ddpg("evaluate", "--checkpoint", sb3_files / "plain" / "model.zip", "--env", "pendulum", "--episodes", 1)
    assert "does not say whether it was trained under VecNormalize" in printed.stderr


def test_beginning_with_a_model_whose_statistics_are_elsewhere(ddpg: Ddpg, sb3_files: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(sb3_files / "alone" / "model.zip") as archive:
        attributes = json.loads(archive.read("data"))
    if was_normalized(attributes) is not True:
        pytest.skip("by chance the last observation lies within the bounds of the space")
    command = ("train", "pendulum", "--from", sb3_files / "alone" / "model.zip", "--out", tmp_path)
    error = ddpg(*command, "--video=none", "--set=policy_kwargs.net_arch=[8]", code=2).stderr
    assert "does not hold its statistics" in error


def attributes(seen: Any, given: Any, space: gym.Space[Any] | None = None) -> dict[str, Any]:
    def part(value: Any) -> dict[str, str]:
        return {":serialized:": base64.b64encode(pickle.dumps(value)).decode()}

    return {"_last_obs": part(seen), "_last_original_obs": part(given), "observation_space": part(space)}


BOX = gym.spaces.Box(-1, 1, (2,), np.float32)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (attributes(np.zeros((1, 2), np.float32), np.zeros((1, 2), np.float64)), True),
        (attributes(np.zeros((1, 2), np.float64), np.zeros((1, 2), np.float64)), False),
        (attributes(np.full((1, 2), 1.5, np.float32), np.zeros((1, 2), np.float32), BOX), True),
        (attributes(np.full((1, 2), 0.5, np.float32), np.zeros((1, 2), np.float32), BOX), None),
        (
            attributes(
                {"a": np.full((1, 2), -2, np.float32)}, {"a": np.zeros((1, 2), np.float32)}, gym.spaces.Dict(a=BOX)
            ),
            True,
        ),
        ({"_last_obs": None, "_last_original_obs": None}, None),
        ({"_last_obs": {":serialized:": "?"}, "_last_original_obs": 3}, None),
        ({}, None),
    ],
)
def test_traces_of_a_normalisation(data: dict[str, Any], expected: bool | None) -> None:
    assert was_normalized(data) is expected


def test_plain_data_of_every_protocol() -> None:
    for protocol in range(2, pickle.HIGHEST_PROTOCOL + 1):
        buffer = io.BytesIO()
        pickle.Pickler(buffer, protocol).dump({"a": [1, 2.5, "x", b"y", True, None, (1, 2)]})
        assert read_pickle(buffer.getvalue()) == {"a": [1, 2.5, "x", b"y", True, None, (1, 2)]}
