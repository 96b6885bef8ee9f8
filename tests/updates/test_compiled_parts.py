"""One compiled update shared out among threads: the same numbers, whoever computes them."""

import gc
import multiprocessing
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import make_model

from sb3_ddpg_custom.updates import CompiledUpdate, UpdateStatistics

pytest.importorskip("numba", reason="the numba extra is not installed")

from sb3_ddpg_custom.updates.compiled import kernels
from sb3_ddpg_custom.updates.compiled.helpers import Helpers

WIDE: dict[str, Any] = {"policy_kwargs": {"net_arch": [200, 190]}, "batch_size": 200, "learning_starts": 50}


@pytest.fixture(autouse=True)
def as_many_threads_as_before() -> Iterator[None]:
    before = th.get_num_threads()
    yield
    th.set_num_threads(before)


def trained(threads: int, steps: int = 70, **options: Any) -> Any:
    th.set_num_threads(threads)
    return make_model(**{**WIDE, **options}).learn(steps)


@pytest.mark.parametrize(("threads", "parts"), [(1, [200]), (2, [100, 100]), (3, [66, 67, 67]), (64, [66, 67, 67])])
def test_a_batch_is_parted_where_that_pays(threads: int, parts: list[int]) -> None:
    m = trained(threads, 51)
    assert [part.rows.stop - part.rows.start for part in m._update._memory._parts] == parts


@pytest.mark.parametrize("options", [{"policy_kwargs": {"net_arch": [64, 64]}}, {"batch_size": 100}])
def test_small_networks_and_small_batches_stay_in_one_piece(options: dict[str, Any]) -> None:
    assert len(trained(2, 51, **options)._update._memory._parts) == 1


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"max_grad_norm": 0.05},
        {"pre_tanh_penalty": 0.3, "critic_weight_decay": 1e-2, "decoupled_weight_decay": True},
        {"policy_kwargs": {"net_arch": [200, 190], "layer_norm": "both"}},
        {"policy_kwargs": {"net_arch": [200, 190], "normalize_observations": True}},
        {"replay_buffer_kwargs": {"priority_exponent": 0.6}},
        {"n_steps": 3},
    ],
)
def test_parts_give_what_the_whole_gives(options: dict[str, Any]) -> None:
    one, others = trained(1, 58, **options), [trained(threads, 58, **options) for threads in (2, 3)]
    for other in others:
        assert len(other._update._memory._parts) > 1
        for a, b in zip(one.policy.state_dict().values(), other.policy.state_dict().values(), strict=True):
            th.testing.assert_close(a, b, rtol=1e-3, atol=2e-5)
        np.testing.assert_allclose(one.last_update, other.last_update, rtol=2e-3, atol=1e-5)


def test_in_float64_parts_differ_in_the_last_digits_only(monkeypatch: pytest.MonkeyPatch) -> None:
    results, gradients = [], []
    for threads in (1, 2, 3):
        m = trained(1, 60)
        m.policy.double()
        update = CompiledUpdate(m.policy, tau=0.1, max_grad_norm=0.2)
        update.pre_tanh_penalty = 0.1
        batch = type(b := m.replay_buffer.sample(200))(*(part.double() for part in b[:5]), discounts=None)
        th.set_num_threads(threads)
        results.append([np.copy(part.numpy()) for part in update(batch, 0.98)])
        gradients.append([parameter.grad.clone() for parameter in m.policy.actor.parameters()])
        weights = th.cat([parameter.flatten() for parameter in m.policy.parameters()])
        results[-1].append(weights.detach().numpy())
    for result, gradient in zip(results[1:], gradients[1:], strict=True):
        for a, b in zip(results[0], result, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-9, atol=1e-12)
        th.testing.assert_close(gradients[0], gradient, rtol=1e-9, atol=1e-13)
    assert UpdateStatistics(*results[1][0]).grad_norm_critic > 0


def test_the_same_number_of_threads_gives_the_same_bits() -> None:
    one, other = trained(2), trained(2)
    assert all(map(th.equal, one.policy.state_dict().values(), other.policy.state_dict().values()))


def test_a_gradient_that_is_no_number_is_refused_whichever_part_has_it() -> None:
    m = trained(2)
    m._update.guards = True
    for row in (0, 199):
        batch = m.replay_buffer.sample(200)
        batch.rewards[row] = th.nan
        before = [parameter.clone() for parameter in m.policy.parameters()]
        statistics = UpdateStatistics(*m._update(batch, 0.99).statistics.tolist())
        assert np.isnan(statistics.critic_loss)
        assert np.isnan(statistics.grad_norm_critic)
        assert all(map(th.equal, before, m.policy.parameters()))


def test_two_models_train_at_once_in_two_threads() -> None:
    th.set_num_threads(2)
    alone = [make_model(**WIDE, seed=seed) for seed in (1, 2)]
    states: list[Any] = [m.replay_buffer for m in alone]
    rng = np.random.default_rng(0)
    for buffer in states:
        for _ in range(300):
            s, s2, a = rng.normal(size=(1, 3)), rng.normal(size=(1, 3)), rng.uniform(-1, 1, (1, 1))
            buffer.add(s, s2, a, rng.normal(size=1), np.array([False]), [{}])
    batches = [buffer.sample(200) for buffer in states]
    copies = [make_model(**WIDE, seed=seed) for seed in (1, 2)]

    def work(m: Any, batch: Any) -> None:
        for _ in range(50):
            m._update(batch, 0.99)

    for m, batch in zip(alone, batches, strict=True):
        work(m, batch)
    threads = [threading.Thread(target=work, args=pair) for pair in zip(copies, batches, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for one, other in zip(alone, copies, strict=True):
        assert all(map(th.equal, one.policy.state_dict().values(), other.policy.state_dict().values()))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system has no fork")
def test_a_forked_process_has_helpers_of_its_own() -> None:
    m = trained(2)
    expected = _trained_on(m)
    m = trained(2)
    queue: Any = multiprocessing.get_context("fork").SimpleQueue()
    process = multiprocessing.get_context("fork").Process(target=lambda: queue.put(_trained_on(m)), daemon=True)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert queue.get() == expected


def _trained_on(m: Any) -> list[float]:
    m._update(m.replay_buffer.sample(200), 0.99)
    # NumPy's sums: torch's own threads do not outlive a fork.
    return [float(parameter.detach().numpy().sum()) for parameter in m.policy.parameters()]


def test_a_helper_that_fails_is_heard_and_waited_for() -> None:
    done: list[int] = []

    def fail(number: int) -> None:
        done.append(number)
        if number == 2:
            raise MemoryError("no room")

    helpers = Helpers(2, kernels.watch)
    for _ in range(2):
        with pytest.raises(MemoryError, match="no room"):
            helpers.compute(fail, [(1,), (2,), (3,)])
    assert sorted(done) == [1, 1, 2, 2, 3, 3]
    done.clear()

    def fail_here(number: int) -> None:
        if number == 1:
            raise KeyboardInterrupt
        time.sleep(0.05)
        done.append(number)

    with pytest.raises(KeyboardInterrupt):
        helpers.compute(fail_here, [(1,), (2,), (3,)])
    assert sorted(done) == [2, 3]


def test_helpers_compute_all_parts_but_the_first_and_end_with_their_update() -> None:
    before = set(threading.enumerate())
    where: set[threading.Thread] = set()

    def work() -> None:
        where.add(threading.current_thread())
        time.sleep(0.02)

    helpers = Helpers(2, kernels.watch)
    helpers.compute(work, [(), (), ()])
    own = where - {threading.current_thread()}
    assert len(own) == 2
    assert not own & before
    del helpers
    gc.collect()
    for thread in own:
        thread.join(10)
        assert not thread.is_alive()


def test_a_watch_ends_when_the_count_changes_or_after_so_many_looks() -> None:
    counts = np.array([3, 0])
    assert kernels.watch(counts, 0, 2, 1000) == 0
    assert kernels.watch(counts, 1, 0, 1000) == 1000
    threading.Timer(0.05, lambda: counts.__setitem__(1, 1)).start()
    assert 0 < kernels.watch(counts, 1, 0, 10**12) < 10**12
