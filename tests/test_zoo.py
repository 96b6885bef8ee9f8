"""rl_zoo3 with our class: what it is taught, what it keeps, and both of its programs from start to end."""

import argparse
import importlib
import json
import os
import subprocess
import sys
import types
import warnings
import zipfile
from collections.abc import Callable
from importlib import resources
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import yaml
from gymnasium import spaces

from sb3_ddpg_custom import DDPG

CONFIGS = Path(str(resources.files("sb3_ddpg_custom.zoo_configs")))
ROOT = Path(__file__).parent.parent
needs_rl_zoo3 = pytest.mark.skipif(find_spec("rl_zoo3") is None, reason="needs rl_zoo3")


@pytest.fixture
def zoo(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The module, imported anew; rl_zoo3 is as it was afterwards."""
    pytest.importorskip("rl_zoo3")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # other people's deprecations
        from rl_zoo3.exp_manager import ExperimentManager
        from rl_zoo3.utils import ALGOS

    monkeypatch.setitem(ALGOS, "ddpg", stable_baselines3.DDPG)
    for name in ("_preprocess_schedules", "_preprocess_action_noise"):
        monkeypatch.setattr(ExperimentManager, name, vars(ExperimentManager)[name])
    monkeypatch.delitem(sys.modules, "sb3_ddpg_custom.zoo", raising=False)
    yield importlib.import_module("sb3_ddpg_custom.zoo")
    sys.modules.pop("sb3_ddpg_custom.zoo")


@pytest.fixture
def manage(zoo: Any, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """Preprocess hyper-parameters as rl_zoo3 does, up to the call of the constructor."""

    def preprocess(algo: str = "ddpg", **hyperparams: Any) -> dict[str, Any]:
        manager = zoo.ExperimentManager(argparse.Namespace(), algo, "Pendulum-v1", str(tmp_path), verbose=0)
        hyperparams, *_ = manager._preprocess_hyperparams({"n_timesteps": 5, **hyperparams})
        env = types.SimpleNamespace(action_space=spaces.Box(-1, 1, (2,), np.float32))
        result: dict[str, Any] = manager._preprocess_action_noise(hyperparams, {}, env)
        assert manager.n_actions == 2
        return result

    return preprocess


def test_ddpg_is_ours_and_a_second_import_changes_nothing(zoo: Any) -> None:
    assert zoo.ALGOS["ddpg"] is DDPG
    assert zoo.ALGOS["td3"] is stable_baselines3.TD3
    before = zoo.ExperimentManager._preprocess_action_noise
    importlib.reload(zoo)
    assert zoo.ExperimentManager._preprocess_action_noise is before


@pytest.mark.parametrize(
    ("noise_type", "noise_std", "n_envs", "action_noise", "parameter_noise"),
    [
        ("normal-per-episode", 0.5, 1, "EpisodeScaledActionNoise(NormalActionNoise(mu=[0. 0.], ", "None"),
        (" bias-per-episode ", 0.5, 1, "EpisodeBias(constant [0.5 0.5], scale=1.0)", "None"),
        ("normal", "lin_0.2", 1, "AnnealedActionNoise(NormalActionNoise(mu=[0. 0.], sigma=[0.2 0.2]), ", "None"),
        ("ornstein-uhlenbeck", [0.05, 0.4], 3, "PerEnvActionNoise(OrnsteinUhlenbeckActionNoise(", "None"),
        ("adaptive-param", 0.3, 1, "None", "ParameterNoise(0.3, std=0.3, "),
    ],
)
def test_our_noise_is_understood(
    manage: Any, noise_type: str, noise_std: Any, n_envs: int, action_noise: str, parameter_noise: str
) -> None:
    found = manage(noise_type=noise_type, noise_std=noise_std, n_envs=n_envs, gamma=0.9)
    assert set(found) == {"gamma", "action_noise", "parameter_noise"}
    assert repr(found["action_noise"]).startswith(action_noise)
    assert repr(found["parameter_noise"]).startswith(parameter_noise)


def test_the_rest_is_rl_zoo3s_own(manage: Any, capsys: pytest.CaptureFixture[str]) -> None:
    found = manage(noise_type="normal", noise_std=0.1)
    assert set(found) == {"action_noise"}
    assert repr(found["action_noise"]) == "NormalActionNoise(mu=[0. 0.], sigma=[0.1 0.1])"
    assert "Applying normal noise with std 0.1" in capsys.readouterr().out
    assert set(manage(gamma=0.9)) == {"gamma"}
    # TD3 cannot take what DDPG takes, so it gets what rl_zoo3 makes of it
    other = manage(algo="td3", noise_type="normal-per-episode", noise_std=0.1)
    assert type(other["action_noise"]).__name__ == "NormalActionNoise"


def test_schedules(manage: Any) -> None:
    found = manage(learning_rate="lin_1e-3", critic_learning_rate="lin_4e-3")
    for key, start in (("learning_rate", 1e-3), ("critic_learning_rate", 4e-3)):
        assert [found[key](1.0), found[key](0.5), found[key](0.0)] == pytest.approx([start, start / 2, 0.0]), key
    assert manage(critic_learning_rate="2e-3") == {"critic_learning_rate": 2e-3}
    assert manage(critic_learning_rate=None) == {"critic_learning_rate": None}


@pytest.mark.parametrize(
    ("hyperparams", "message"),
    [
        ({"critic_learning_rate": "log_1e-3"}, "critic_learning_rate is 'log_1e-3'; expected a number"),
        ({"noise_type": "normal", "noise_std": "exp_0.2"}, "noise_std is 'exp_0.2'; expected a number"),
        ({"noise_type": "normal", "noise_std": [0.05, 0.4]}, "a range over envs, but n_envs is 1"),
        ({"noise_type": "adaptive-param"}, "'adaptive-param' without noise_std"),
        ({"noise_type": "pink", "noise_std": "lin_0.2"}, "noise_type is 'pink'; write null or one of normal,"),
    ],
)
def test_mistakes_are_told(manage: Any, hyperparams: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("[", r"\[")):
        manage(**hyperparams)


def test_a_changed_rl_zoo3_is_refused_and_left_as_it_is(zoo: Any) -> None:
    class Changed:
        @staticmethod
        def _preprocess_schedules(hyperparams: dict[str, Any]) -> dict[str, Any]:
            return hyperparams

        def _preprocess_action_noise(self, hyperparams: dict[str, Any]) -> dict[str, Any]:
            return hyperparams

    before = dict(vars(Changed))
    algorithms: dict[str, Any] = {"ddpg": stable_baselines3.DDPG}
    with pytest.raises(ImportError, match=r"_preprocess_action_noise takes \['self', 'hyperparams'\], where"):
        zoo.install(Changed, algorithms)
    del Changed._preprocess_schedules
    with pytest.raises(ImportError, match="_preprocess_schedules takes None, where"):
        zoo.install(Changed, algorithms)
    assert algorithms == {"ddpg": stable_baselines3.DDPG}
    assert vars(Changed)["_preprocess_action_noise"] is before["_preprocess_action_noise"]
    with pytest.raises(ImportError, match="no 'ddpg' to replace, only td3"):
        zoo.install(zoo.ExperimentManager, {"td3": stable_baselines3.TD3})


def test_without_rl_zoo3_the_remedy_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "rl_zoo3", None)
    monkeypatch.delitem(sys.modules, "rl_zoo3.exp_manager", raising=False)
    monkeypatch.delitem(sys.modules, "sb3_ddpg_custom.zoo", raising=False)
    with pytest.raises(ImportError, match="needs rl_zoo3, and rl_zoo3 is missing: pip install rl_zoo3"):
        importlib.import_module("sb3_ddpg_custom.zoo")


def rl_zoo3(program: str, folder: Path, *arguments: object) -> str:
    command = [sys.executable, "-W", "ignore", "-m", f"rl_zoo3.{program}", "--algo", "ddpg", "--env", "Pendulum-v1"]
    command += ["--gym-packages", "sb3_ddpg_custom.zoo", "-f", str(folder), "--num-threads", "1", "--device", "cpu"]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        [*command, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.long
@needs_rl_zoo3
@pytest.mark.parametrize("config", ["pendulum_classic", "range over envs", "adaptive-param"])
def test_train_and_enjoy(config: str, tmp_path: Path) -> None:
    path = CONFIGS / f"{config}.yml"
    if not path.exists():
        entry = {"n_timesteps": 9999, "policy": "MlpPolicy", "critic_learning_rate": "lin_2e-3"}
        if config == "range over envs":
            entry |= {"n_envs": 2, "noise_type": "normal", "noise_std": [0.05, 0.4]}
        else:
            entry |= {"noise_type": "adaptive-param", "noise_std": 0.2}
        path = tmp_path / "config.yml"
        path.write_text(yaml.safe_dump({"Pendulum-v1": entry}), encoding="utf-8")
    small = ["policy_kwargs:dict(net_arch=[8])", "buffer_size:1000", "learning_starts:50", "batch_size:16"]
    rl_zoo3("train", tmp_path, "-n", 300, "--seed", 1, "--eval-freq", -1, "--conf-file", path, "-params", *small)

    saved = tmp_path / "ddpg" / "Pendulum-v1_1" / "Pendulum-v1.zip"
    attributes = json.loads(zipfile.ZipFile(saved).read("data"))
    assert "critic_learning_rate" in attributes  # SB3's DDPG has no such thing
    assert attributes["num_timesteps"] == 300
    kind = {
        "pendulum_classic": "EpisodeScaledActionNoise",
        "range over envs": "PerEnvActionNoise",
        "adaptive-param": "ParameterNoise",
    }[config]
    noise = attributes["parameter_noise" if config == "adaptive-param" else "action_noise"]
    assert kind in noise[":type:"]
    model = DDPG.load(saved)
    assert model.predict(np.zeros(3, np.float32))[0].shape == (1,)

    if find_spec("requests") is None:
        pytest.skip("trained; rl_zoo3's enjoy needs requests, which it does not install: pip install requests")
    assert f"Loading {saved}" in rl_zoo3("enjoy", tmp_path, "--no-render", "-n", 50)


@needs_rl_zoo3
def test_rl_zoo3_alone_still_has_its_own() -> None:
    """Nothing but the import of the module changes rl_zoo3."""
    program = "import sb3_ddpg_custom.ddpg; from rl_zoo3 import ALGOS; print(ALGOS['ddpg'].__module__)"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert done.stdout.splitlines()[-1] == "stable_baselines3.ddpg.ddpg", done.stderr
