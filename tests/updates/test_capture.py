"""A recorded update does what the same update does call by call, whatever changes in between."""

import copy
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch as th
from helpers import make_batch, make_policy
from helpers.reads import Reads
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.td3.policies import TD3Policy
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.updates import AnalyticUpdate
from sb3_ddpg_custom.updates.by_hand.capture import WARM_UPS, Recorded

needs_cuda = pytest.mark.skipif(not th.cuda.is_available(), reason="needs a GPU")


class Tape(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """A CUDA graph on the CPU: repeats torch's operations with the tensors and the numbers of the recording.

    What the recording has computed is taken back, since a graph's capture computes nothing.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.before: dict[int, tuple[Any, Any]] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        for tensor in tree_leaves((args, kwargs)):
            if isinstance(tensor, th.Tensor):
                storage: Any = tensor.untyped_storage()
                self.before.setdefault(storage.data_ptr(), (storage, storage.clone()))
        result = func(*args, **(kwargs or {}))
        self.operations.append((func, args, kwargs or {}, result))
        return result

    def rewind(self) -> None:
        for storage, content in self.before.values():
            storage.copy_(content)

    def replay(self) -> None:
        for func, args, kwargs, recorded in self.operations:
            result = func(*args, **kwargs)
            for old, new in zip(tree_leaves(recorded), tree_leaves(result), strict=True):
                if isinstance(old, th.Tensor) and old.data_ptr() != new.data_ptr():
                    old.copy_(new)


class TapeRecorder:
    def __init__(self) -> None:
        self.warm_ups = self.recordings = self.replays = 0

    def warm_up(self, work: Callable[[], object]) -> None:
        self.warm_ups += 1
        work()

    def record(self, work: Callable[[], object]) -> Callable[[], object]:
        self.recordings += 1
        with Tape() as tape:
            work()
        tape.rewind()

        def replay() -> None:
            self.replays += 1
            tape.replay()

        return replay


class NoRecorder(TapeRecorder):
    """Fails as a capture does that meets a call which CUDA cannot record."""

    def record(self, work: Callable[[], object]) -> Callable[[], object]:
        self.recordings += 1
        raise RuntimeError("operation not permitted when stream is capturing\nCUDA kernel errors might be …")


exact_policy, exact_batch = partial(make_policy, dtype=th.float64), partial(make_batch, dtype=th.float64)


def set_rates(policy: TD3Policy, step: int) -> None:
    # Falls linearly, in numbers that float32 has too.
    policy.actor.optimizer.param_groups[0]["lr"] = 2**-7 * (1 - step / 32)
    policy.critic.optimizer.param_groups[0]["lr"] = 2**-6 * (1 - step / 64)


def states(policy: TD3Policy) -> list[th.Tensor]:
    optimizers = [policy.actor.optimizer.state_dict(), policy.critic.optimizer.state_dict()]
    moments = [value for o in optimizers for state in o["state"].values() for value in state.values()]
    return [*policy.state_dict().values(), *moments]


def run(update: AnalyticUpdate, steps: range, change: Any = None, at: int = -1, batch_size: int = 16) -> list[Any]:
    seen = []
    for step in steps:
        set_rates(update.policy, step)
        if step == at:
            change(update)
        result = update(exact_batch(16 if step < at else batch_size, seed=step), gamma=0.9)
        seen += [result.statistics, result.td_errors.clone()]
    return [*seen, *states(update.policy)]


def assert_same(recorded: list[Any], expected: list[Any]) -> None:
    assert len(recorded) == len(expected)
    assert all(th.equal(a, b) for a, b in zip(recorded, expected, strict=True))


def test_twenty_updates_under_a_schedule_are_the_eager_ones() -> None:
    recorder = TapeRecorder()
    options: dict[str, Any] = {"tau": 0.1, "max_grad_norm": 0.5}
    recorded = run(AnalyticUpdate(exact_policy(), **options, recorder=recorder), range(20))
    assert_same(recorded, run(AnalyticUpdate(exact_policy(), **options), range(20)))
    assert (recorder.warm_ups, recorder.recordings, recorder.replays) == (WARM_UPS, 1, 20 - WARM_UPS)


def test_products_in_bfloat16_are_recorded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sb3_ddpg_custom.updates.by_hand.products._ENOUGH_FOR_BFLOAT16", 0)
    options: dict[str, Any] = {"tau": 0.1, "precision": "bfloat16"}
    recorder = TapeRecorder()
    recorded = run(AnalyticUpdate(make_policy(), **options, recorder=recorder), range(8))
    assert_same(recorded, run(AnalyticUpdate(make_policy(), **options), range(8)))
    assert recorder.replays == 8 - WARM_UPS


def test_neither_warm_up_nor_recording_counts_as_an_update_of_its_own() -> None:
    update = AnalyticUpdate(exact_policy(), tau=0.1, recorder=TapeRecorder())
    for steps in range(1, WARM_UPS + 4):
        update(exact_batch(seed=steps), gamma=0.9)
        counts = {state["step"].item() for state in update.policy.actor.optimizer.state.values()}
        assert counts == {steps}


def set_tau(update: AnalyticUpdate) -> None:
    update.tau = 0.3


def set_bound(update: AnalyticUpdate) -> None:
    update.max_grad_norm = 0.01


def set_penalty(update: AnalyticUpdate) -> None:
    update.pre_tanh_penalty = 0.5


def option(network: str, **options: Any) -> Callable[[AnalyticUpdate], None]:
    return lambda update: getattr(update.policy, network).optimizer.param_groups[0].update(options)


def load_states(update: AnalyticUpdate) -> None:
    optimizer = update.policy.critic.optimizer
    optimizer.load_state_dict(copy.deepcopy(optimizer.state_dict()))


def replace_data(update: AnalyticUpdate) -> None:
    for parameter in update.policy.actor.parameters():
        parameter.data = parameter.data.clone() * 0.5


def write_in_place(update: AnalyticUpdate) -> None:
    with th.no_grad():
        for parameter in update.policy.actor.parameters():
            parameter.mul_(0.5)


@pytest.mark.parametrize(
    ("change", "batch_size", "recordings"),
    [
        (set_tau, 16, 2),
        (set_bound, 16, 2),
        (set_penalty, 16, 2),
        (option("actor", betas=(0.8, 0.99)), 16, 2),
        (option("critic", weight_decay=0.1), 16, 2),
        (option("critic", eps=1e-3), 16, 2),
        (option("actor", weight_decay=0.1, decoupled_weight_decay=True), 16, 2),
        (load_states, 16, 2),
        (replace_data, 16, 2),
        (write_in_place, 16, 1),  # the tensors are the same
        (lambda update: None, 5, 2),
    ],
)
def test_what_a_recording_holds_on_to_is_recorded_anew(change: Any, batch_size: int, recordings: int) -> None:
    recorder = TapeRecorder()
    changed = run(AnalyticUpdate(exact_policy(), tau=0.1, recorder=recorder), range(16), change, 8, batch_size)
    assert_same(changed, run(AnalyticUpdate(exact_policy(), tau=0.1), range(16), change, 8, batch_size))
    assert recorder.recordings == recordings


def test_a_number_that_always_changes_is_never_recorded() -> None:
    recorder = TapeRecorder()
    update = AnalyticUpdate(exact_policy(), tau=0.1, recorder=recorder)
    for step in range(10):
        update.tau = 0.1 + step / 100
        update(exact_batch(seed=step), gamma=0.9)
    assert (recorder.warm_ups, recorder.recordings) == (10, 0)


def test_an_updates_statistics_outlive_the_next_one() -> None:
    update = AnalyticUpdate(exact_policy(), tau=0.1, recorder=TapeRecorder())
    results = [update(exact_batch(seed=step), gamma=0.9).statistics for step in range(WARM_UPS + 3)]
    kept = [statistics.clone() for statistics in results]
    update(exact_batch(seed=99), gamma=0.9)
    assert_same(results, kept)
    assert len({statistics[0].item() for statistics in results}) == len(results)


def test_where_recording_fails_training_goes_on_after_one_line(caplog: pytest.LogCaptureFixture) -> None:
    recorder = NoRecorder()
    recorded = run(AnalyticUpdate(exact_policy(), tau=0.1, recorder=recorder), range(10), set_tau, 7)
    assert_same(recorded, run(AnalyticUpdate(exact_policy(), tau=0.1), range(10), set_tau, 7))
    assert recorder.recordings == 1
    (line,) = [record for record in caplog.records if record.levelno == logging.WARNING]
    assert line.getMessage() == (
        "updates are computed call by call: capturing them as a CUDA graph failed "
        "(operation not permitted when stream is capturing)"
    )


def test_a_recording_that_cannot_be_repeated_is_given_up_and_the_work_done() -> None:
    done: list[str] = []

    class Broken(TapeRecorder):
        def record(self, work: Callable[[], object]) -> Callable[[], object]:
            return lambda: 1 / 0

    recorded = Recorded(Broken())
    for _ in range(WARM_UPS + 2):
        recorded(lambda: done.append("work"), "key")
    assert len(done) == WARM_UPS + 2


def test_a_training_of_recorded_updates_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    options: dict[str, Any] = {"learning_rate": 2**-10, "learning_starts": 20, "batch_size": 16, "seed": 0}
    recorder, weights = TapeRecorder(), []
    for found in (recorder, None):
        monkeypatch.setattr("sb3_ddpg_custom.updates.by_hand.analytic.recorder_for", lambda device, found=found: found)
        networks = {"net_arch": [16]}
        model = DDPG(
            "MlpPolicy", "Pendulum-v1", **options, policy_kwargs=networks, device="cpu", update="analytic"
        ).learn(60)
        model.set_parameters(copy.deepcopy(model.get_parameters()))  # its optimisers' states are new tensors
        weights.append(model.learn(30, reset_num_timesteps=False).policy.state_dict())
    assert (recorder.warm_ups, recorder.recordings, recorder.replays) == (2 * WARM_UPS, 2, 70 - 2 * WARM_UPS)
    recorded, expected = weights
    assert_same(list(recorded.values()), list(expected.values()))


def test_on_the_cpu_nothing_is_recorded() -> None:
    assert AnalyticUpdate(exact_policy(), tau=0.1)._recorded is None


@needs_cuda
def test_cuda_graphs_do_what_their_kernels_do_one_by_one(caplog: pytest.LogCaptureFixture) -> None:
    results = []
    for recorder in (None, NoRecorder()):
        policy = make_policy(device="cuda")
        update = AnalyticUpdate(policy, tau=0.1, max_grad_norm=0.5, recorder=recorder)
        for step in range(20):
            set_rates(policy, step)
            batch = [None if part is None else part.float().cuda() for part in exact_batch(seed=step)]
            update(ReplayBufferSamples(*batch), gamma=0.9)  # type: ignore[arg-type]
        if recorder is None:
            assert update._recorded is not None
            assert update._recorded._replay is not None
            assert not caplog.records
        results.append(states(policy))
    for a, b in zip(*results, strict=True):
        th.testing.assert_close(a, b, rtol=1e-5, atol=1e-6)


@needs_cuda
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_training_on_cuda_takes_graphs_and_records_there(precision: Any, caplog: pytest.LogCaptureFixture) -> None:
    options: dict[str, Any] = {"learning_starts": 100, "batch_size": 256, "buffer_size": 500, "seed": 0}
    model: Any = DDPG("MlpPolicy", "Pendulum-v1", **options, device="cuda", precision=precision)
    model.learn(700)
    assert model._update._recorded._replay is not None
    assert model.replay_buffer._mirror is not None
    assert all(th.isfinite(parameter).all() for parameter in model.policy.parameters())
    assert not caplog.records


def test_an_update_reads_nothing_back_from_the_device() -> None:
    update = AnalyticUpdate(make_policy(), tau=0.1, max_grad_norm=0.5)
    update.pre_tanh_penalty = 0.1
    batches = [exact_batch(seed=seed) for seed in range(3)]
    with Reads() as reads:
        for batch in batches:
            update(batch, 0.99)
    assert reads.found == []
    with Reads() as reads:
        batches[0].rewards.max().item()  # what it would have found
    assert reads.found == ["_local_scalar_dense.default"]


@needs_cuda
@pytest.mark.parametrize("n_steps", [1, 3])
def test_a_training_step_on_cuda_waits_once(n_steps: int) -> None:
    options: dict[str, Any] = {"learning_starts": 100, "n_steps": n_steps, "seed": 0}
    model: Any = DDPG("MlpPolicy", "Pendulum-v1", device="cuda", **options).learn(300)
    th.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchroniz") as waits:
            model.train(1, 256)
    finally:
        th.cuda.set_sync_debug_mode("default")
    assert len(waits) == 1  # for the statistics
