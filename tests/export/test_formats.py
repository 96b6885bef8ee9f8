"""Every file format computes what ``predict`` does."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv, VecEnv, VecNormalize
from torch import nn

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.export.from_policy import ExportError, program_of
from sb3_ddpg_custom.export.npz_file import write_npz
from sb3_ddpg_custom.export.player import Policy
from sb3_ddpg_custom.export.write import export_policy

BOX = spaces.Box(-1, 1, (2,))
VECTOR = spaces.Box(-np.inf, np.inf, (5,))
PICTURE = spaces.Box(0, 255, (40, 44, 3), np.uint8)


class Toy(gym.Env[Any, Any]):
    """An environment of given spaces in which nothing happens."""

    def __init__(self, observations: spaces.Space[Any], actions: spaces.Space[Any]) -> None:
        self.observation_space, self.action_space = observations, actions

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        return self.observation_space.sample(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        return self.observation_space.sample(), 0.0, False, False, {}


def made(
    policy: str,
    observations: spaces.Space[Any],
    actions: spaces.Space[Any] = BOX,
    *,
    normalize: bool = False,
    **kwargs: Any,
) -> DDPG:
    """A model whose output layer is large enough for its actions to reach everywhere."""
    observations.seed(0)
    envs: VecEnv = DummyVecEnv([lambda: Toy(observations, actions)])
    if normalize:
        envs = VecNormalize(envs, clip_obs=5.0)
        envs.reset()
        for _ in range(20):
            envs.step(np.array([actions.sample()]))
    model = DDPG(policy, envs, seed=0, policy_kwargs={"net_arch": [16, 12], **kwargs}, device="cpu", buffer_size=10)
    with th.no_grad():
        for layer in model.policy.actor.mu:
            if isinstance(layer, nn.Linear):
                layer.weight *= 4
    normalizer: Any = model.policy._modules.get("normalizer")
    if normalizer is not None:
        samples = [observations.sample() for _ in range(20)]
        batch: Any = (
            {k: np.stack([s[k] for s in samples]) for k in samples[0]}
            if isinstance(samples[0], dict)
            else np.stack(samples)
        )
        normalizer.update(batch)
    return model


def observed(model: DDPG, number: int) -> Any:
    """Raw observations, as the environment draws them."""
    env = model.get_env()
    assert env is not None
    raw: VecEnv = env
    while hasattr(raw, "venv"):
        raw = raw.venv
    samples = [raw.observation_space.sample() for _ in range(number)]
    if isinstance(samples[0], dict):
        return {key: np.stack([sample[key] for sample in samples]) for key in samples[0]}
    return np.stack(samples)


def program(model: DDPG) -> Any:
    from sb3_ddpg_custom.checkpoint.normalization import to_arrays

    env = model.get_env()
    assert env is not None
    raw: VecEnv = env
    while hasattr(raw, "venv"):
        raw = raw.venv
    normalizer = model.get_vec_normalize_env()
    arrays = None if normalizer is None else to_arrays(normalizer)
    assert isinstance(env.action_space, spaces.Box)
    return program_of(model.policy, env.action_space, raw_space=raw.observation_space, normalization=arrays)


def expected(model: DDPG, observations: Any) -> Any:
    normalizer = model.get_vec_normalize_env()
    seen = observations if normalizer is None else normalizer.normalize_obs(observations)
    return model.predict(seen, deterministic=True)[0]


CASES: dict[str, Callable[[], DDPG]] = {
    "mlp": lambda: made("MlpPolicy", VECTOR),
    "float64": lambda: made("MlpPolicy", spaces.Box(-1e3, 1e3, (2, 3), np.float64)),
    "asymmetric": lambda: made(
        "MlpPolicy", VECTOR, spaces.Box(np.array([-3, 0, 1], np.float32), np.array([-1, 5, 9], np.float32))
    ),
    "one number": lambda: made("MlpPolicy", VECTOR, spaces.Box(-2.0, 3.0, ())),
    "matrix": lambda: made("MlpPolicy", VECTOR, spaces.Box(-2.0, 3.0, (2, 3))),
    "float64 actions": lambda: made("MlpPolicy", VECTOR, spaces.Box(-2.0, 3.0, (2,), np.float64)),
    "VecNormalize": lambda: made("MlpPolicy", spaces.Box(-50, 900, (4,)), normalize=True),
    "normalised": lambda: made("MlpPolicy", spaces.Box(-50, 900, (4,)), normalize_observations=True),
    "layer norm": lambda: made("MlpPolicy", VECTOR, layer_norm="both"),
    "both": lambda: made("MlpPolicy", spaces.Box(-9, 90, (4,)), layer_norm="both", normalize_observations=True),
    "simba": lambda: made("SimbaPolicy", spaces.Box(-9, 90, (4,)), net_arch={"pi": [8, 8], "qf": [8]}),
    "cnn": lambda: made("CnnPolicy", PICTURE),
    "cnn, channels first": lambda: made("CnnPolicy", spaces.Box(0, 255, (3, 40, 44), np.uint8)),
    "discrete": lambda: made("MlpPolicy", spaces.Discrete(7)),
    "multi-discrete": lambda: made("MlpPolicy", spaces.MultiDiscrete([3, 2, 5])),
    "multi-binary": lambda: made("MlpPolicy", spaces.MultiBinary(6)),
    "dict": lambda: made(
        "MultiInputPolicy",
        spaces.Dict({"eye": PICTURE, "arm": spaces.Box(-1, 1, (2, 2)), "mode": spaces.Discrete(3)}),
        features_extractor_kwargs={"cnn_output_dim": 16},
    ),
    "dict, normalised": lambda: made(
        "MultiInputPolicy",
        spaces.Dict({"eye": PICTURE, "arm": spaces.Box(-9, 70, (2, 2)), "leg": spaces.Box(-1, 1, (3,), np.float64)}),
        normalize_observations=True,
    ),
    "dict, VecNormalize": lambda: made(
        "MultiInputPolicy",
        spaces.Dict({"arm": spaces.Box(-9, 70, (2,)), "leg": spaces.Box(-1, 1, (3,))}),
        normalize=True,
    ),
    **{
        kind.__name__: lambda kind=kind: made("MlpPolicy", VECTOR, activation_fn=kind)  # type: ignore[misc]
        for kind in (nn.Tanh, nn.Sigmoid, nn.SiLU, nn.GELU, nn.ELU, nn.LeakyReLU)
    },
}


@pytest.fixture(params=CASES, ids=lambda name: name.replace(" ", "-"))
def model(request: pytest.FixtureRequest) -> DDPG:
    return CASES[request.param]()


def agree(given: Any, wanted: Any) -> None:
    assert given.shape == wanted.shape
    assert given.dtype == wanted.dtype
    assert np.ptp(wanted) > 0  # it acts
    np.testing.assert_allclose(given, wanted, rtol=0, atol=1e-5 * max(np.abs(wanted).max(), 1))


def test_the_player(model: DDPG, tmp_path: Path) -> None:
    write_npz(program(model), tmp_path / "p.npz", {"seed": 3})
    policy = Policy(tmp_path / "p.npz")
    observations = observed(model, 30)
    agree(policy.predict(observations)[0], expected(model, observations))
    assert policy.metadata == {"seed": 3}


def test_onnx(model: DDPG, tmp_path: Path) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    from sb3_ddpg_custom.export.onnx_file import METADATA, OPSET, write_onnx

    write_onnx(program(model), tmp_path / "p.onnx", {"seed": 3})
    read = onnx.load(tmp_path / "p.onnx")
    onnx.checker.check_model(read, full_check=True)
    assert [one.version for one in read.opset_import] == [OPSET]
    session = runtime.InferenceSession(tmp_path / "p.onnx", providers=["CPUExecutionProvider"])
    assert json.loads(session.get_modelmeta().custom_metadata_map[METADATA]) == {"seed": 3}
    for number in (1, 30):  # the batch is free
        observations = observed(model, number)
        parts = observations if isinstance(observations, dict) else {"observation": observations}
        given = session.run(None, parts)[0]
        wanted = expected(model, observations)
        assert given.shape == wanted.shape
        if number > 1:
            agree(given, wanted)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_torchscript(model: DDPG, tmp_path: Path) -> None:
    from sb3_ddpg_custom.export.torchscript_file import METADATA, write_torchscript

    written = program(model)
    write_torchscript(written, tmp_path / "p.pt", {"seed": 3})
    extra = {METADATA: ""}
    load: Any = th.jit.load
    module = load(tmp_path / "p.pt", _extra_files=extra)
    assert json.loads(extra[METADATA]) == {"seed": 3}
    observations = observed(model, 30)
    parts = [observations[one.name] for one in written.inputs] if isinstance(observations, dict) else [observations]
    agree(module(*map(th.from_numpy, parts)).numpy(), expected(model, observations))


def test_whole_actions_are_rounded_as_the_environment_gets_them(tmp_path: Path) -> None:
    actions = spaces.Box(np.array([-3, 0]), np.array([9, 200]), dtype=np.int16)
    model = made("MlpPolicy", VECTOR, actions)
    write_npz(program(model), tmp_path / "p.npz", {})
    observations = observed(model, 50)
    given = Policy(tmp_path / "p.npz").predict(observations)[0]
    assert given.dtype == np.int16
    np.testing.assert_array_equal(given, np.rint(expected(model, observations)))


def test_what_no_file_says_is_refused() -> None:
    class Own(nn.Module):
        def forward(self, x: th.Tensor) -> th.Tensor:
            return x

    with pytest.raises(ExportError, match=r"the network has a layer Own, and no file says what that computes"):
        program(made("MlpPolicy", VECTOR, activation_fn=Own))
    model = made("MlpPolicy", VECTOR)
    model.policy.actor.mu[0].register_forward_hook(lambda *_: None)
    with pytest.raises(ExportError, match="hooks"):
        program(model)
    with pytest.raises(ExportError, match="metadata must be plain data: Object of type float32"):
        export_policy(made("MlpPolicy", VECTOR), "p.npz", metadata={"return": np.float32(1)})
