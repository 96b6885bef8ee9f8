"""``ddpg export``, and ``ddpg evaluate --policy``."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
from helpers import Ddpg
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import VecNormalize

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.export.player import Policy
from sb3_ddpg_custom.export.write import export_policy


def returns(ddpg: Ddpg, *options: Any) -> list[float]:
    shown = ddpg("evaluate", *options, "--episodes", 3, "--seed", 7, "--json")
    given: list[float] = json.loads(shown.stdout)["returns"]
    return given


@pytest.fixture(scope="module")
def normalized_run(ddpg: Ddpg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("normalized")
    options = ("--steps", 400, "--eval-every", 200, "--eval-episodes", 2, "--seed", 1, "--video", "none")
    ddpg("train", "pendulum", *options, "--set", "normalize=true", "--set", "policy_kwargs.net_arch=[16]", "--out", out)
    return out / "Pendulum-v1" / "1"


@pytest.mark.parametrize("ending", ["npz", "onnx"])
def test_an_exported_policy_returns_what_the_checkpoint_does(
    ddpg: Ddpg, pendulum_run: Any, tmp_path: Path, ending: str
) -> None:
    run = pendulum_run[0]
    if ending == "onnx":
        pytest.importorskip("onnxruntime")
    out = tmp_path / f"p.{ending}"
    printed = ddpg("export", run, "--out", out, "--license", "CC-BY-4.0")
    assert "1,064 observations" in printed.stdout
    assert f"ddpg evaluate --policy {out}" in printed.stdout
    assert returns(ddpg, "--policy", out) == pytest.approx(returns(ddpg, "--checkpoint", run), rel=1e-4)
    assert [path.name for path in tmp_path.iterdir()] == [out.name]


def test_the_command_to_play_it_names_the_modules_too(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    out = tmp_path / "a file.npz"
    assert (
        f"ddpg evaluate --policy '{out}' --import os" in ddpg("export", tiny_run, "--out", out, "--import", "os").stdout
    )


def test_an_ending_of_another_format_is_refused(refused: Any, tiny_run: Path, tmp_path: Path) -> None:
    said = refused("export", tiny_run, "--format", "torchscript", "--out", tmp_path / "p.onnx")
    assert "p.onnx has the ending of another format than --format torchscript; name one that ends in .pt" in said
    assert "--license is empty" in refused("export", tiny_run, "--license", "")


def test_what_a_file_says_of_itself(ddpg: Ddpg, pendulum_run: Any, tmp_path: Path) -> None:
    run = pendulum_run[0]
    shown = json.loads(ddpg("export", run, "--out", tmp_path / "p.npz", "--license", "CC-BY-4.0", "--json").stdout)
    said = Policy(tmp_path / "p.npz").metadata
    with np.load(run / "evaluations.npz") as file:
        best = file["results"].mean(axis=1).max()
    assert said["env_id"] == "Pendulum-v1"
    assert said["license"] == "CC-BY-4.0"
    assert said["seed"] == 7
    assert said["mean_return"] == pytest.approx(best)
    assert said["action_space"] == {"type": "Box", "shape": [1], "dtype": "float32", "low": -2.0, "high": 2.0}
    assert said["observation_space"]["shape"] == [3]
    assert "torch" in said["versions"]
    assert str(run) not in json.dumps(said)  # nothing of this machine
    assert shown["mean_return"] == said["mean_return"]
    assert [one["by"] for one in shown["latency"]][:1] == ["NumPy player"]
    assert shown["largest_difference"] < 1e-5


@pytest.mark.parametrize("ending", ["npz", "onnx"])
def test_ddpg_inspect_says_it(ddpg: Ddpg, refused: Any, pendulum_run: Any, tmp_path: Path, ending: str) -> None:
    if ending == "onnx":
        pytest.importorskip("onnxruntime")
    ddpg("export", pendulum_run[0], "--out", tmp_path / f"p.{ending}")
    shown = json.loads(ddpg("inspect", tmp_path / f"p.{ending}", "--json").stdout)
    assert shown["kind"] == "exported policy"
    assert shown["facts"]["environment"] == "Pendulum-v1"
    assert shown["facts"]["inputs"] == {"observation": "(3,)"}
    (tmp_path / f"bad.{ending}").write_bytes(b"nothing")
    assert "is no checkpoint, buffer" in refused("inspect", tmp_path / f"bad.{ending}")


def test_the_statistics_of_a_vec_normalize_are_in_the_file(ddpg: Ddpg, normalized_run: Path, tmp_path: Path) -> None:
    ddpg("export", normalized_run, "--out", tmp_path / "p.npz")
    assert returns(ddpg, "--policy", tmp_path / "p.npz") == pytest.approx(
        returns(ddpg, "--checkpoint", normalized_run), rel=1e-4
    )


def test_from_python(pendulum_run: Any, tmp_path: Path) -> None:
    model = DDPG.load(pendulum_run[0] / "best.zip")
    exported = export_policy(model, tmp_path / "p.npz", metadata={"robot": "arm 7"})
    assert exported.largest_difference < 1e-5
    policy = Policy(tmp_path / "p.npz")
    assert policy.metadata["robot"] == "arm 7"
    observation = np.array([0.5, -0.5, 3.0], np.float32)
    np.testing.assert_allclose(policy(observation), model.predict(observation, deterministic=True)[0], atol=1e-5)


@pytest.mark.parametrize("algorithm", [stable_baselines3.DDPG, stable_baselines3.TD3])
def test_sb3s_own_zips_and_models(algorithm: Any, ddpg: Ddpg, refused: Any, tmp_path: Path) -> None:
    env = VecNormalize(make_vec_env("Pendulum-v1"))
    model = algorithm("MlpPolicy", env, policy_kwargs={"net_arch": [8]}, seed=0, learning_starts=10)
    model.learn(40)
    model.save(tmp_path / "sb3.zip")
    env.save(str(tmp_path / "statistics.pkl"))
    assert export_policy(model, tmp_path / "python.npz").largest_difference < 1e-5
    named = ("export", tmp_path / "sb3.zip", "--out", tmp_path / "p.npz")
    assert "does not say what it was trained on; name it with --env" in refused(
        *named, "--normalization", tmp_path / "statistics.pkl"
    )
    ddpg(*named, "--env", "pendulum", "--normalization", tmp_path / "statistics.pkl")
    observations = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    wanted = model.predict(env.normalize_obs(observations), deterministic=True)[0]
    for name in ("python.npz", "p.npz"):
        np.testing.assert_allclose(Policy(tmp_path / name).predict(observations)[0], wanted, atol=2e-5)
    said = Policy(tmp_path / "p.npz").metadata
    assert said["env_id"] == "Pendulum-v1"
    assert said["mean_return"] is None


@pytest.mark.parametrize(
    ("options", "why"),
    [
        ((), "name a run folder or .zip with --checkpoint, or an exported .onnx or .npz with --policy"),
        (("--policy", "gone.npz"), "there is no file"),
        (("--policy", "a.pt"), "is TorchScript, which is a program of its author's"),
        (("--policy", "a.txt"), "ends in neither .onnx nor .npz"),
        (("--policy", "a.npz", "--checkpoint", "b"), "--checkpoint and --policy name two that play"),
        (("--policy", "a.npz", "--trust-pickle"), "--trust-pickle is about checkpoints"),
        (("--policy", "a.npz", "--normalization", "none"), "--normalization is about checkpoints"),
    ],
)
def test_what_cannot_be_evaluated(refused: Any, options: tuple[str, ...], why: str) -> None:
    assert why in refused("evaluate", *options)


def test_what_cannot_be_exported(refused: Any, pendulum_run: Any, tmp_path: Path) -> None:
    run = pendulum_run[0]
    assert "--out a.txt ends in none of .onnx, .npz, .pt" in refused("export", run, "--out", tmp_path / "a.txt")
    assert "--format jpg is none of onnx, npz, torchscript" in refused("export", run, "--format", "jpg")
    assert "does not exist; name a run folder" in refused("export", tmp_path / "gone")
    assert not [path for path in tmp_path.iterdir() if path.is_file()]


def test_an_environment_that_does_not_fit(refused: Any, ddpg: Ddpg, pendulum_run: Any, tmp_path: Path) -> None:
    ddpg("export", pendulum_run[0], "--out", tmp_path / "p.npz")
    told = refused("evaluate", "--policy", tmp_path / "p.npz", "--env", "MountainCarContinuous-v0")
    assert "was trained on observations of shape (3,), and this env has (2,): choose its own env with --env" in told


def test_a_file_that_differs_from_predict_is_not_written(
    pendulum_run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from sb3_ddpg_custom.export import write
    from sb3_ddpg_custom.export.from_policy import ExportError

    model = DDPG.load(pendulum_run[0] / "best.zip")
    play = write._player
    monkeypatch.setattr(write, "_player", lambda *given: lambda batch: play(*given)(batch) * 1.001)
    with pytest.raises(ExportError, match=r"the file differs from predict by .* nothing was written"):
        export_policy(model, tmp_path / "p.npz")
    assert not list(tmp_path.iterdir())


def test_hostile_onnx_files_run_nothing(refused: Any, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper

    def written(name: str, *nodes: Any, constants: tuple[Any, ...] = ()) -> Path:
        given = helper.make_tensor_value_info("observation", TensorProto.FLOAT, ["batch", 3])
        output = helper.make_tensor_value_info("action", TensorProto.FLOAT, ["batch", 1])
        graph = helper.make_graph(list(nodes), "policy", [given], [output], list(constants))
        (tmp_path / name).write_bytes(
            helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8).SerializeToString()
        )
        return tmp_path / name

    grows = written("grows.onnx", helper.make_node("Expand", ["observation", "observation"], ["action"]))
    assert "it holds the operator 'Expand', which no export writes" in refused("evaluate", "--policy", grows)
    own = written("own.onnx", helper.make_node("Add", ["observation", "observation"], ["action"], domain="evil"))
    assert "no export writes" in refused("evaluate", "--policy", own)
    outside = onnx.TensorProto(name="w", data_type=TensorProto.FLOAT, dims=[1])
    outside.data_location = TensorProto.EXTERNAL
    outside.external_data.add(key="location", value="/etc/passwd")
    add = helper.make_node("Add", ["observation", "w"], ["action"])
    assert "its weights lie outside of it" in refused(
        "evaluate", "--policy", written("o.onnx", add, constants=(outside,))
    )
    depth = helper.make_tensor("depth", TensorProto.INT64, [], [10**12])
    hot = helper.make_node("OneHot", ["observation", "depth", "observation"], ["action"])
    assert "blocks larger than any" in refused("evaluate", "--policy", written("h.onnx", hot, constants=(depth,)))
    (tmp_path / "garbage.onnx").write_bytes(b"\x08\x01garbage" * 50)
    assert "is no exported policy, or is damaged" in refused("evaluate", "--policy", tmp_path / "garbage.onnx")
