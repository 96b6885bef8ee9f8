"""A policy's networks, taken apart into a :class:`~sb3_ddpg_custom.export.program.Program`."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.preprocessing import is_image_space
from stable_baselines3.common.torch_layers import CombinedExtractor, FlattenExtractor, NatureCNN
from stable_baselines3.td3.policies import Actor, TD3Policy
from torch import nn

from sb3_ddpg_custom.action_spaces import is_whole, with_real_bounds
from sb3_ddpg_custom.export.program import Input, Program, Step
from sb3_ddpg_custom.observation_normalizer import RunningNormalizer, normalizer_of
from sb3_ddpg_custom.overrides import has_own
from sb3_ddpg_custom.residual_policies import ResidualBlock
from sb3_ddpg_custom.updates.hooks import has_hooks

ALONE = "observation"  # the input's name where observations are no Dict

_PLAIN = {nn.ReLU: "relu", nn.Tanh: "tanh", nn.Sigmoid: "sigmoid", nn.SiLU: "silu"}


class ExportError(ValueError):
    """The policy cannot be written as a file; the message says why."""


def program_of(
    policy: TD3Policy,
    action_space: spaces.Box,
    *,
    raw_space: spaces.Space[Any] | None = None,
    normalization: Mapping[str, NDArray[Any]] | None = None,
) -> Program:
    """Take a policy apart.

    :param policy: of SB3's DDPG or TD3, or of this package
    :param action_space: the environment's
    :param raw_space: the environment's observations, before images are turned channel-first; None for the policy's own
    :param normalization: statistics of a ``VecNormalize``, as checkpoints hold them; None without one
    :raises ExportError: if a network computes what no file says
    """
    actor = policy.actor
    if has_hooks([actor], []) or has_own(actor, "forward") or type(actor).forward is not Actor.forward:
        raise ExportError("the actor has a forward pass of its own, or hooks, which no file can say")
    own_space = policy.observation_space
    own = own_space.spaces if isinstance(own_space, spaces.Dict) else {ALONE: own_space}
    raw_space = own_space if raw_space is None else raw_space
    raw = raw_space.spaces if isinstance(raw_space, spaces.Dict) else {ALONE: raw_space}
    writer = _Writer()
    inputs, features = [], {}
    for name, space in own.items():
        inputs.append(Input(name, tuple(raw[name].shape or ()), np.dtype(raw[name].dtype)))
        value = _normalized(writer, name, normalization or {})
        if raw[name].shape != space.shape:
            value = writer.add("channels_first", value)
        within = normalizer_of(actor)
        part = None if within is None else within.parts._modules.get(name)
        if isinstance(part, RunningNormalizer):
            mean, deviation = (array.reshape(part.mean.shape) for array in part.constants())
            value = _normalize(writer, value, mean, deviation, part.clip)
        features[name] = _preprocessed(writer, value, space, divides=policy.normalize_images)
    value = _extracted(writer, actor.features_extractor, features)
    for layer in actor.mu:
        value = _layer(writer, layer, value)
    bounds: Any = with_real_bounds(action_space)
    low, high = bounds.low.reshape(-1), bounds.high.reshape(-1)
    kind = np.result_type(np.float32, low.dtype)
    writer.add("scale_action", value, arrays={"low": low.astype(kind), "span": (high - low).astype(kind)})
    if is_whole(action_space):
        kind = np.dtype(action_space.dtype)
        writer.add("round", writer.last, signed=float(kind.kind == "i"), bytes=float(kind.itemsize))
    return Program(tuple(inputs), tuple(writer.steps), tuple(action_space.shape), np.dtype(kind))


class _Writer:
    """Collects steps, and names what they write."""

    def __init__(self) -> None:
        self.steps: list[Step] = []

    @property
    def last(self) -> str:
        return self.steps[-1].writes

    def add(self, op: str, *reads: str, arrays: dict[str, Any] | None = None, **options: float) -> str:
        written = f"{op}.{len(self.steps)}"
        plain = {name: _array(value) for name, value in (arrays or {}).items()}
        self.steps.append(Step(op, reads, written, plain, options))
        return written


def _array(value: Any) -> NDArray[Any]:
    # A copy: the network may be trained on.
    return np.array(value.numpy(force=True) if isinstance(value, th.Tensor) else value)


def _normalized(writer: _Writer, name: str, arrays: Mapping[str, NDArray[Any]]) -> str:
    """Normalise an input as ``VecNormalize`` does, where it normalises this part."""
    if not arrays or not bool(arrays["norm_obs"]):
        return name
    prefix = f"observations.{name}" if f"observations.{name}.mean" in arrays else "observations"
    if f"{prefix}.mean" not in arrays:  # another part of a Dict
        return name
    deviation = np.sqrt(arrays[f"{prefix}.var"] + arrays["epsilon"])
    return _normalize(writer, name, arrays[f"{prefix}.mean"], deviation, float(arrays["clip_obs"]))


def _normalize(writer: _Writer, value: str, mean: Any, deviation: Any, clip: float) -> str:
    arrays = {"mean": np.asarray(mean, np.float64), "deviation": np.asarray(deviation, np.float64)}
    return writer.add("normalize", value, arrays=arrays, clip=clip)


def _preprocessed(writer: _Writer, value: str, space: spaces.Space[Any], *, divides: bool) -> str:
    """Do what SB3's ``preprocess_obs`` does."""
    if isinstance(space, spaces.Discrete):
        return writer.add("one_hot", value, arrays={"sizes": np.array([space.n], np.int64)})
    if isinstance(space, spaces.MultiDiscrete):
        return writer.add("one_hot", value, arrays={"sizes": np.ravel(space.nvec).astype(np.int64)})
    return writer.add("to_float", value, divisor=255.0 if divides and is_image_space(space) else 1.0)


def _extracted(writer: _Writer, extractor: nn.Module, features: dict[str, str]) -> str:
    if type(extractor) is CombinedExtractor:
        parts = [
            _of_image(writer, part, features[key]) if type(part) is NatureCNN else writer.add("flatten", features[key])
            for key, part in extractor.extractors.items()
        ]
        return parts[0] if len(parts) == 1 else writer.add("concat", *parts)
    (value,) = features.values()
    if type(extractor) is NatureCNN:
        return _of_image(writer, extractor, value)
    if type(extractor) is FlattenExtractor:
        return writer.add("flatten", value)
    raise ExportError(
        f"the features extractor {type(extractor).__name__} is somebody's own; there are files for SB3's Flatten, "
        "NatureCNN and CombinedExtractor"
    )


def _of_image(writer: _Writer, extractor: NatureCNN, value: str) -> str:
    for layer in (*extractor.cnn, *extractor.linear):
        value = _layer(writer, layer, value)
    return value


def _layer(writer: _Writer, layer: Any, value: str) -> str:
    kind = type(layer)
    if kind is nn.Linear:
        bias = layer.bias if layer.bias is not None else th.zeros(layer.out_features)
        return writer.add("linear", value, arrays={"weight": layer.weight.float(), "bias": bias.float()})
    if kind is nn.LayerNorm and layer.weight is not None and len(layer.normalized_shape) == 1:
        bias = layer.bias if layer.bias is not None else th.zeros_like(layer.weight)
        arrays = {"weight": layer.weight.float(), "bias": bias.float()}
        return writer.add("layer_norm", value, arrays=arrays, epsilon=layer.eps)
    if kind is nn.Conv2d and _is_simple(layer):
        bias = layer.bias if layer.bias is not None else th.zeros(layer.out_channels)
        arrays = {"weight": layer.weight.float(), "bias": bias.float()}
        return writer.add("conv", value, arrays=arrays, stride=layer.stride[0])
    if kind in _PLAIN:
        return writer.add(_PLAIN[kind], value)
    if kind is nn.LeakyReLU:
        return writer.add("leaky_relu", value, slope=layer.negative_slope)
    if kind is nn.ELU:
        return writer.add("elu", value, alpha=layer.alpha)
    if kind is nn.GELU and layer.approximate == "none":
        return writer.add("gelu", value)
    if kind is nn.Flatten and (layer.start_dim, layer.end_dim) == (1, -1):
        return writer.add("flatten", value)
    if kind in (nn.Identity, nn.Dropout):  # which does nothing but in training
        return value
    if kind is ResidualBlock:
        within = value
        for part in _parts_of(layer):
            within = _layer(writer, part, within)
        return writer.add("add", value, within)
    raise ExportError(
        f"the network has a layer {kind.__name__}, and no file says what that computes; there are Linear, Conv2d "
        "without padding, LayerNorm, SimBa's blocks, and ReLU, Tanh, Sigmoid, SiLU, GELU, LeakyReLU and ELU"
    )


def _parts_of(block: ResidualBlock) -> Iterator[nn.Module]:
    yield from (block.norm, block.widen, nn.ReLU(), block.narrow)


def _is_simple(layer: nn.Conv2d) -> bool:
    stride = layer.stride
    return (
        layer.padding in (0, (0, 0), "valid")
        and layer.dilation == (1, 1)
        and layer.groups == 1
        and stride[0] == stride[-1]
    )
