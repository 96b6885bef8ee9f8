"""The products of a layer are the same on every path, and the path is chosen by arithmetic."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch as th
from stable_baselines3.common.type_aliases import ReplayBufferSamples

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.updates import AutogradUpdate, FlatUpdate, UpdateStatistics
from sb3_ddpg_custom.updates.by_hand import products
from sb3_ddpg_custom.updates.by_hand.products import (
    Bfloat16Products,
    OneDnnProducts,
    Operation,
    Products,
    choose_products,
)

HAS_ONEDNN = th.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
needs_onednn = pytest.mark.skipif(not HAS_ONEDNN, reason="torch was built without oneDNN")
KINDS = [Products, Bfloat16Products, pytest.param(OneDnnProducts, marks=needs_onednn)]


def run(operations: Sequence[Operation]) -> None:
    for operation in operations:
        operation()


def rows(*numbers: list[float]) -> th.Tensor:
    return th.tensor(numbers, dtype=th.float32)


@pytest.mark.parametrize("kind", KINDS)
def test_by_hand(kind: type[Products]) -> None:
    # Small whole numbers are exact in bfloat16, too.
    x, weight, delta = rows([1, 2], [3, 4], [0, 1]), rows([1, -1], [2, 0]), rows([1, 0], [0, 1], [2, 2])
    z, into_weight, into_input = th.empty(3, 2), th.empty(2, 2), th.empty(3, 2)
    layer = kind(x, weight, z, delta)
    run(layer.forward(th.tensor([10.0, -3.0]), relu=False))
    # 1·1 - 1·2 + 10 = 9, 2·1 - 3 = -1, …
    assert z.tolist() == [[9, -1], [9, 3], [9, -3]]
    run(layer.forward(th.tensor([10.0, -3.0]), relu=True))
    assert z.tolist() == [[9, 0], [9, 3], [9, 0]]
    run([*layer.begin_backward(), *layer.into_weight(into_weight), *layer.into_input(into_input)])
    # δᵀ x = (1, 2) + 2 (0, 1) for the first output, (3, 4) + 2 (0, 1) for the second
    assert into_weight.tolist() == [[1, 4], [3, 6]]
    # δ W = (1, -1); (2, 0); 2 (1, -1) + 2 (2, 0)
    assert into_input.tolist() == [[1, -1], [2, 0], [6, -2]]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("batch", "inputs", "outputs"), [(32, 5, 64), (32, 64, 5), (32, 64, 1), (1, 3, 2), (40, 50, 60)]
)
def test_every_shape_on_every_path(kind: type[Products], batch: int, inputs: int, outputs: int) -> None:
    th.manual_seed(0)
    wide = th.randn(batch, inputs + 2)
    x, weight, delta, bias = wide[:, :inputs], th.randn(outputs, inputs), th.randn(batch, outputs), th.randn(outputs)
    z, into_weight, into_input = th.empty(batch, outputs), th.empty(outputs, inputs), th.empty(batch, inputs)
    layer = kind(x, weight, z, delta)
    run([*layer.forward(bias, relu=False), *layer.begin_backward()])
    run([*layer.into_weight(into_weight), *layer.into_input(into_input)])
    # bfloat16 has 8 bits: each factor is off by 2⁻⁹ at most, and the result again.
    tolerance = 2.0**-6 if kind is Bfloat16Products else 1e-5
    for result, expected in (
        (z, x.double() @ weight.double().t() + bias.double()),
        (into_weight, delta.double().t() @ x.double()),
        (into_input, delta.double() @ weight.double()),
    ):
        scale = expected.abs().max()
        assert (result - expected).abs().max() <= tolerance * scale


def test_bfloat16_rounds_factors_and_nothing_else() -> None:
    fine = 1 + 2.0**-10  # bfloat16 rounds it to 1
    x, weight, z = rows([fine]), rows([fine]), th.empty(1, 1)
    run(Bfloat16Products(x, weight, z, z).forward(th.tensor([fine]), relu=False))
    assert z.item() == 1 + fine
    assert x.item() == weight.item() == fine


def test_the_path_depends_on_type_size_and_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    small, medium, large = th.empty(64, 64), th.empty(128, 64), th.empty(300, 400)
    assert choose_products(th.empty(400, 23), 256, "float32") is Products  # 2.4 million, but narrow
    assert choose_products(small, 64, "float32") is Products  # 0.26 million multiply-adds
    assert choose_products(medium, 256, "float32") is OneDnnProducts  # 2.1 million
    assert choose_products(medium, 256, "bfloat16") is OneDnnProducts
    assert choose_products(large, 256, "bfloat16") is Bfloat16Products  # 31 million
    assert choose_products(large.double(), 256, "bfloat16") is Products
    monkeypatch.setattr(products, "onednn_is_faster", lambda: False)
    assert choose_products(large, 256, "float32") is Products


MIDDLING: dict[str, Any] = {"policy_kwargs": {"net_arch": [256, 160]}, "batch_size": 128, "seed": 0, "device": "cpu"}


def updated(**options: Any) -> tuple[DDPG, UpdateStatistics]:
    """Make one update of networks whose middle layers take 5 million multiply-adds."""
    model = DDPG("MlpPolicy", "Pendulum-v1", **MIDDLING, buffer_size=10, **options)
    generator = th.Generator().manual_seed(1)

    def normal(width: int) -> th.Tensor:
        return th.randn(128, width, generator=generator)

    batch = ReplayBufferSamples(normal(3), normal(1).tanh(), normal(3), th.zeros(128, 1), 5 * normal(1))
    return model, UpdateStatistics(*model._update(batch, 0.9).statistics.tolist())


@needs_onednn
def test_an_update_through_onednn_is_autograds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "onednn_is_faster", lambda: True)
    ours, seen = updated()
    reference, expected = updated(update="autograd")
    assert isinstance(ours._update, FlatUpdate)
    np.testing.assert_allclose(seen, expected, rtol=1e-4, atol=1e-5)
    for a, b in zip(ours.policy.state_dict().values(), reference.policy.state_dict().values(), strict=True):
        th.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("update", ["analytic", "autograd"])
def test_bfloat16_is_float32_but_for_rounding(update: Any) -> None:
    rounded, seen = updated(update=update, precision="bfloat16")
    reference, expected = updated(update=update)
    assert seen != expected  # it is in use
    np.testing.assert_allclose(seen, expected, rtol=0.05, atol=0.01)
    tensors = [*rounded.policy.state_dict().values()]
    for state in rounded.critic.optimizer.state.values():
        tensors += [state["exp_avg"], state["exp_avg_sq"]]
    assert {tensor.dtype for tensor in tensors} == {th.float32}
    moments = [
        th.cat([state["exp_avg"].flatten() for state in model.critic.optimizer.state.values()])
        for model in (rounded, reference)
    ]
    assert th.cosine_similarity(moments[0], moments[1], dim=0) > 0.999


def test_autograds_losses_are_float32_in_bfloat16() -> None:
    model, _ = updated(update="autograd", precision="bfloat16")
    assert isinstance(model._update, AutogradUpdate)
    assert all(p.grad is not None and p.grad.dtype == th.float32 for p in model.critic.parameters())


def test_a_precision_that_does_not_exist() -> None:
    with pytest.raises(ValueError, match="precision='half' does not exist: choose 'float32' or 'bfloat16'"):
        DDPG("MlpPolicy", "Pendulum-v1", buffer_size=10, precision="half")  # type: ignore[arg-type]
