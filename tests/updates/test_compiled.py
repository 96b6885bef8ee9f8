"""The compiled update: when it is taken, and what it leaves as it was. Its numbers are compared in test_analytic.py."""

import copy
import importlib
import logging
import sys
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from helpers import make_model
from torch import nn

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.updates import AnalyticUpdate, CompiledUpdate
from sb3_ddpg_custom.updates.compiled import machine_code as compiled
from sb3_ddpg_custom.updates.compiled.helpers import blas

pytest.importorskip("numba", reason="the numba extra is not installed")

from sb3_ddpg_custom.updates.compiled import kernels
from sb3_ddpg_custom.updates.flat import negligible_moments


def same(one: DDPG, other: DDPG) -> bool:
    pairs = zip(one.policy.state_dict().values(), other.policy.state_dict().values(), strict=True)
    return all(th.equal(a, b) for a, b in pairs)


def test_a_layout_by_hand() -> None:
    # Three inputs, two hidden units, one output, four rows: W is 2 x 3 and 1 x 2; x takes 12 numbers, y 8 and 4.
    assert kernels.layout([3, 2, 1], 4).tolist() == [[3, 2, 0, 6, 0, 12, -1], [2, 1, 8, 10, 12, 20, -1]]


def test_there_and_back_by_hand() -> None:
    # x = (1, 2) and (-1, 0); W = (1 1; 2 -1), b = (0, 1); then w = (3 5), c = -1.
    layers = kernels.layout([2, 2, 1], 2)
    parameters = np.array([1, 1, 2, -1, 0, 1, 3, 5, -1], np.float32)
    values, deltas = np.zeros(10, np.float32), np.zeros(10, np.float32)
    values[:4] = 1, 2, -1, 0
    # z = (3, 1) and (-1, -1): ReLU lets the first pass; 3·3 + 5·1 - 1 = 13, and -1
    assert kernels.forward(layers, parameters, values, 2).tolist() == [[13], [-1]]
    assert values[4:8].tolist() == [3, 1, 0, 0]
    deltas[8:] = 1, 10
    kernels.backward(layers, parameters, values, deltas, 2)
    assert deltas[4:8].tolist() == [3, 5, 0, 0]
    zeros = np.zeros(9, np.float32)
    network = kernels.Network(layers, parameters, values, deltas, zeros.copy(), zeros, zeros, zeros, zeros[:4])
    kernels.parameter_gradients(network, np.ones(2, np.float32))
    # δᵀ x = (3, 5)ᵀ (1, 2); Σ δ = (3, 5); (3, 1) from the first row alone; 1 + 10
    assert network.gradient.tolist() == [3, 6, 5, 10, 3, 5, 3, 1, 11]
    statistics, options = np.zeros(7, np.float32), np.array([0.0, 0.9, 0.999, 1e-8, 0, 0, 0, 0])
    assert kernels.step(network, options, statistics, 5, np.inf, 0.0, False)
    assert statistics[5] == pytest.approx(np.sqrt(9 + 36 + 25 + 100 + 9 + 25 + 9 + 1 + 121))


def test_nothing_hides_that_a_network_has_diverged() -> None:
    m: Any = make_model().learn(30)
    with th.no_grad():
        m.critic.qf0[0].bias[3] = th.nan
    m.train(1, 16)
    statistics = m.last_update
    assert [name for name, value in statistics._asdict().items() if not np.isnan(value)] == []


def test_moments_never_become_denormal() -> None:
    tiny = np.finfo(np.float32).tiny
    names = kernels.Network._fields[1:]
    network = kernels.Network(kernels.layout([1, 1], 1), **{name: np.zeros(2, np.float32) for name in names})
    options = kernels.AdamOptions(1e-3, 0.9, 0.95, 1e-8, 0.0, *negligible_moments(1e-8, th.float32))
    network.gradient[:] = 1e-3
    for step in range(2000):
        kernels.descend(network, options, 1.0, np.inf, 0.5)
        network.gradient[0] = 0
        for moment in (network.first, network.second):
            assert ((moment == 0) | (moment >= tiny)).all(), step
    assert network.first[0] == network.second[0] == 0
    assert network.first[1] > 1e-4


def test_auto_takes_it_where_it_can() -> None:
    assert type(make_model()._update) is CompiledUpdate
    assert type(make_model(policy_kwargs={"activation_fn": nn.Tanh})._update) is AnalyticUpdate
    assert type(make_model(policy_kwargs={"n_critics": 2})._update) is AnalyticUpdate
    assert type(make_model(precision="bfloat16")._update) is AnalyticUpdate


@pytest.mark.parametrize(
    ("kwargs", "reason"),
    [
        ({"policy_kwargs": {"n_critics": 2}}, "it has several critics"),
        ({"policy_kwargs": {"activation_fn": nn.ELU}}, "its activations are not ReLU with a tanh behind the actor"),
        ({"policy_kwargs": {"optimizer_class": th.optim.RMSprop}}, "its optimiser is RMSprop"),
        ({"precision": "bfloat16"}, "computes in float32, not in precision='bfloat16'"),
    ],
)
def test_whoever_insists_hears_why_not(kwargs: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValueError, match=f"update='compiled' .*{reason}"):
        make_model(update="compiled", **kwargs)


@pytest.mark.parametrize("broken", ["sb3_ddpg_custom.updates.compiled.kernels", "threadpoolctl"])
def test_without_numba_the_update_by_hand_does_it(broken: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, broken, None)
    assert type(make_model()._update) is AnalyticUpdate
    with pytest.raises(ValueError, match=rf"import of {broken} halted.*pip install 'sb3-ddpg-custom\[numba\]'"):
        make_model(update="compiled")
    monkeypatch.undo()
    monkeypatch.setenv("NUMBA_DISABLE_JIT", "1")
    assert type(make_model()._update) is AnalyticUpdate


def test_a_copy_of_a_model_trains_on_memory_of_its_own() -> None:
    m = make_model().learn(40)
    other, left = copy.deepcopy(m._update), copy.deepcopy(m.policy)
    batch = next(iter(m.replay_buffer.batches(1, 16)))
    other(batch, 0.99)
    for a, b in zip(left.state_dict().values(), m.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)
    m._update(batch, 0.99)
    for a, b in zip(other.policy.state_dict().values(), m.policy.state_dict().values(), strict=True):
        assert th.equal(a, b)


def test_a_policy_that_leaves_float32_is_trained_on_by_hand() -> None:
    m: Any = make_model().learn(40)
    m.policy.to(th.bfloat16)
    before = m.actor.mu[0].weight.clone()
    m.train(1, 16)
    assert m._update.name == "analytic"
    assert m.actor.mu[0].weight.dtype is th.bfloat16
    assert not th.equal(before, m.actor.mu[0].weight)
    for dtype in (th.float16, th.bfloat16):
        m.policy.to(dtype)
        assert m._actor(np.ones((1, 3), np.float32)).shape == (1, 1)
    m.policy.to(th.float32)
    m.train(1, 16)
    assert type(m._update) is CompiledUpdate


@pytest.mark.parametrize(
    ("part", "shape"),
    [
        ("observations", (16, 2)),
        ("observations", (17, 3)),
        ("next_observations", (16, 4)),
        ("actions", (16, 2)),
        ("rewards", (8, 1)),
        ("dones", (16, 2)),
        ("discounts", (1, 1)),
    ],
)
def test_machine_code_gets_no_batch_of_another_shape(part: str, shape: tuple[int, int]) -> None:
    """No bounds are checked in there: a wider observation was written over other memory."""
    m: Any = make_model().learn(30)
    batch = next(iter(m.replay_buffer.batches(1, 16)))._replace(**{part: th.zeros(shape)})
    with pytest.raises(ValueError, match=rf"^{part} must have shape .*, got \({shape[0]}, {shape[1]}\)"):
        m._update(batch, 0.99)
    good = next(iter(m.replay_buffer.batches(1, 16)))
    m._update(good, 0.99)
    with pytest.raises(ValueError, match=part):
        m._update(batch, 0.99)
    # Nothing of the bad batch is kept for the one before it.
    assert m._update(good, 0.99).statistics.isfinite().all()
    with pytest.raises(ValueError, match=r"observations must have shape \(1, 3\), got \(1, 2\)"):
        m._update.act(np.ones((1, 2), np.float32))


def test_adam_with_a_small_epsilon_is_torchs() -> None:
    """Moments of such small gradients were once taken for those of silent units, and set to 0."""
    parameter = nn.Parameter(th.zeros(2))
    adam = th.optim.Adam([parameter], lr=1e-3, eps=1e-12)
    names = kernels.Network._fields[1:]
    network = kernels.Network(kernels.layout([1, 1], 1), **{name: np.zeros(2, np.float32) for name in names})
    network.gradient[:] = 1e-11, -1e-11
    options = kernels.AdamOptions(1e-3, 0.9, 0.999, 1e-12, 0.0, *negligible_moments(1e-12, th.float32))
    for _ in range(200):
        parameter.grad = th.tensor([1e-11, -1e-11])
        adam.step()
        kernels.descend(network, options, 1.0, np.inf, 0.0)
    np.testing.assert_allclose(network.parameters, parameter.detach().numpy(), rtol=1e-3)
    assert not network.targets.any()


def test_two_hundred_steps_of_adamw_are_torchs() -> None:
    parameter = nn.Parameter(th.tensor([2.0, -1.0], dtype=th.float64))
    adam = th.optim.AdamW([parameter], lr=1e-2, weight_decay=0.5)
    names = kernels.Network._fields[1:]
    arrays: dict[str, Any] = {name: np.zeros(2) for name in names}
    network = kernels.Network(kernels.layout([1, 1], 1), **arrays)
    network.parameters[:] = 2.0, -1.0
    options = kernels.AdamOptions(1e-2, 0.9, 0.999, 1e-8, 0.5, 0.0, 0.0, decoupled=True)
    for step in range(200):
        network.gradient[:] = np.sin(step), np.cos(0.3 * step)
        parameter.grad = th.from_numpy(network.gradient.copy())
        adam.step()
        kernels.descend(network, options, 1.0, np.inf, 1.0)
        if step == 0:  # gradients 0 and 1: 2 - 0.01 · 0.5 · 2, and -1 + 0.01 · 0.5 · 1 - 0.01
            np.testing.assert_allclose(network.parameters, [1.99, -1.005], atol=1e-9)
    np.testing.assert_allclose(network.parameters, parameter.detach().numpy(), rtol=1e-12)
    np.testing.assert_array_equal(network.targets, network.parameters)


class Rows(gym.ObservationWrapper[Any, Any, Any]):
    """Pendulum's three numbers as another type, in a matrix."""

    def __init__(self, dtype: type[Any]) -> None:
        super().__init__(gym.make("Pendulum-v1"))
        self.dtype = dtype
        self.observation_space = gym.spaces.Box(0, 200, (3, 1), dtype)

    def observation(self, observation: Any) -> Any:
        return (10 * observation + 90).astype(self.dtype)[:, None]


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.float16, np.uint8])
@pytest.mark.parametrize("buffer_kwargs", [{}, {"n_steps": 3}, {"priority_exponent": 0.6}])
def test_every_batch_is_read_anew_whatever_it_looks_like(dtype: type[Any], buffer_kwargs: dict[str, Any]) -> None:
    trained = []
    for update in ("compiled", "analytic"):
        m = make_model(Rows(dtype), update=update, replay_buffer_kwargs=buffer_kwargs, learning_rate=1e-4)
        assert type(m._update) is (CompiledUpdate if update == "compiled" else AnalyticUpdate)
        trained.append(m.learn(60))
    for a, b in zip(*(m.policy.state_dict().values() for m in trained), strict=True):
        th.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)


def test_the_same_seed_gives_the_same_weights() -> None:
    assert same(
        make_model(policy_kwargs={"net_arch": [70, 64]}, batch_size=130).learn(60),
        make_model(policy_kwargs={"net_arch": [70, 64]}, batch_size=130).learn(60),
    )


def test_each_product_is_one_threads_and_other_numbers_of_threads_are_given_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    m: Any = make_model(policy_kwargs={"net_arch": [128, 64]}, batch_size=64).learn(30)
    memory = m._update._memory
    libraries = [library for library in blas().lib_controllers if library.user_api == "blas"]
    for library in libraries:
        library.set_num_threads(2)
    inside: list[int] = []

    def look(*arguments: Any) -> None:
        inside.extend(library.get_num_threads() for library in libraries)

    monkeypatch.setattr(kernels, "update", look)
    memory.update(None, 0.5, guards=False)
    assert inside == [1] * len(libraries)
    assert [library.get_num_threads() for library in libraries] == [2] * len(libraries)


def test_the_first_compilation_is_announced_once(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    for done, lines in ((True, 0), (False, 1)):
        compiled.kernels.cache_clear()
        monkeypatch.setattr(kernels, "is_compiled", lambda function, done=done: done)
        monkeypatch.setattr(compiled, "_was_said", False)
        with caplog.at_level(logging.WARNING):
            make_model().learn(25)
        assert [record.getMessage()[:31] for record in caplog.records] == ["compiling the update with Numba"] * lines
    monkeypatch.undo()
    assert kernels.is_compiled()


def test_where_nothing_can_be_kept_it_is_compiled_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    import numba

    def njit(**options: Any) -> Any:
        if options.pop("cache", False):
            raise RuntimeError("cannot cache function: no locator available")
        return jit(**options)

    jit = numba.njit
    monkeypatch.setattr(numba, "njit", njit)
    anew = importlib.util.module_from_spec(kernels.__spec__)
    kernels.__spec__.loader.exec_module(anew)  # type: ignore[union-attr]
    assert not anew.is_compiled()
    row = np.arange(6.0, dtype=np.float32)
    assert anew._cut(row, 2, 2, 2).tolist() == [[2, 3], [4, 5]]
