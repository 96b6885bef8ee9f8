"""What a script does to a model between two trainings is what trains: every quick way ends where autograd ends.

Everything is computed in float64, so that a difference is a fault and not rounding. Each change is made in three
places: between two ``learn()``, by a callback in the middle of one, and between two ``train()``.
"""

import copy
import pickle
from collections.abc import Callable, Iterator
from functools import cache
from importlib.util import find_spec
from typing import Any

import cloudpickle
import numpy as np
import pytest
import torch as th
from helpers import make_model
from helpers.script_changes import CHANGES, ENDS, activation_of_critics, adam, freeze, halve, widen
from stable_baselines3.common import policies
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.preprocessing import preprocess_obs

from sb3_ddpg_custom import DDPG, ParameterNoise, ReplayBuffer
from sb3_ddpg_custom.updates import AnalyticUpdate, AutogradUpdate, CompiledUpdate, FlatUpdate

WAYS = ["auto", "analytic", pytest.param("compiled", marks=pytest.mark.skipif(not find_spec("numba"), reason="Numba"))]


@pytest.fixture(autouse=True)
def float64(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """SB3 casts observations to float32, which networks in float64 do not take."""

    def preprocess(*args: Any, **kwargs: Any) -> Any:
        return preprocess_obs(*args, **kwargs).double()  # type: ignore[union-attr]

    monkeypatch.setattr(policies, "preprocess_obs", preprocess)
    yield
    while ENDS:
        ENDS.pop()()


def model(update: Any, **kwargs: Any) -> Any:
    settings = {"policy_kwargs": {"net_arch": [8, 6]}, "learning_starts": 6, "batch_size": 8, "buffer_size": 100}
    m = make_model(update=update, **{**settings, **kwargs})
    m.policy.double()
    return m


class Change(BaseCallback):
    """Make a change in the middle of ``learn()``.

    :param change: what to do
    :param at: after how many steps of this training
    """

    def __init__(self, change: Callable[[Any], object], at: int = 4) -> None:
        super().__init__()
        self.change, self.at = change, at

    def _on_step(self) -> bool:
        if self.n_calls == self.at:
            self.change(self.model)
        return True


def between_learns(m: Any, change: Callable[[Any], object]) -> None:
    m.learn(10)
    change(m)
    m.learn(6, reset_num_timesteps=False)


def in_a_callback(m: Any, change: Callable[[Any], object]) -> None:
    m.learn(9).learn(9, callback=Change(change), reset_num_timesteps=False)


def between_trainings(m: Any, change: Callable[[Any], object]) -> None:
    m.learn(10)
    change(m)
    for _ in range(5):
        m.train(1, m.batch_size)


PLACES = {place.__name__: place for place in (between_learns, in_a_callback, between_trainings)}


def everything(m: Any) -> list[th.Tensor]:
    tensors = [*m.policy.state_dict().values()]
    for network in (m.actor, m.critic):
        states = network.optimizer.state_dict()["state"].values()
        tensors += [value for state in states for value in state.values() if isinstance(value, th.Tensor)]
    buffer = m.replay_buffer
    return [*tensors, *map(th.from_numpy, (buffer.observations[: buffer.pos], buffer.actions[: buffer.pos]))]


def trained(update: Any, place: str, change: str, **kwargs: Any) -> list[th.Tensor]:
    m = model(update, **kwargs)
    PLACES[place](m, CHANGES[change])
    while ENDS:
        ENDS.pop()()
    return [tensor.detach().clone() for tensor in everything(m)]


@cache
def by_autograd(place: str, change: str) -> list[th.Tensor]:
    return trained("autograd", place, change)


@pytest.mark.parametrize("update", WAYS)  # the fastest to change: they share what autograd came to
@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("change", CHANGES)
def test_it_ends_where_autograd_ends(update: str, place: str, change: str) -> None:
    ours = trained(update, place, change)
    for a, b in zip(ours, by_autograd(place, change), strict=True):
        th.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


SAME = ("a count replaced", "moments shared", "gradients shared", "the list of critics replaced")


OF_THE_ACTOR = [
    *(
        "nothing",
        "the actor frozen",
        "one bias frozen",
        "a layer replaced",
        "a layer widened",
        "an activation replaced",
    ),
    *(
        "an activation's class changed",
        "a forward assigned",
        "the actor's forward assigned",
        "forward hook",
        "weights written",
    ),
    *("weights rebound", "a layer parametrized", "the policy replaced", "the actor replaced", "predict assigned"),
]


@pytest.mark.parametrize("change", OF_THE_ACTOR)
@pytest.mark.parametrize("place", ["between_learns", "in_a_callback"])
def test_parameter_noise_acts_with_the_actor_as_it_is(place: str, change: str) -> None:
    quick, reference = (
        trained(update, place, change, parameter_noise=ParameterNoise(0.2, adapt_every_steps=5))
        for update in ("auto", "autograd")
    )
    for a, b in zip(quick, reference, strict=True):
        th.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
    plain = trained("autograd", place, change)
    assert not th.allclose(plain[-1], quick[-1])  # other actions were played


def test_noise_is_drawn_anew_for_an_actor_of_another_build() -> None:
    m = model("auto", parameter_noise=ParameterNoise(0.2)).learn(12)
    widen(m)
    m.learn(20, callback=Change(widen), reset_num_timesteps=False)
    assert m._perturbed_actor._acting.weights["mu.0.weight"].shape == (1, 9, 3)


@pytest.mark.parametrize("change", [name for name in CHANGES if name not in ("nothing", "frozen and thawed")])
def test_the_changes_are_changes(change: str) -> None:
    """Else the comparison would pass whatever happens."""
    if change in ("a hook come and gone", "shared with other processes", "a bias of one number replaced", *SAME):
        pytest.skip("changes how it is computed, not what")
    if change in ("weights tied to a target's", "a group added"):
        pytest.skip("changes what is stepped")
    before, after = by_autograd("between_trainings", "nothing"), by_autograd("between_trainings", change)
    if change == "predict assigned":
        before, after = by_autograd("between_learns", "nothing"), by_autograd("between_learns", change)
    same = [a.shape == b.shape and th.allclose(a, b, rtol=1e-6) for a, b in zip(before, after, strict=False)]
    assert not all(same)


def ways(m: Any, *changes: Callable[[Any], object]) -> list[str]:
    m.learn(16)
    seen = [m._update.name]
    for change in changes:
        change(m)
        m.train(2, 8)
        seen.append(m._update.name)
    return seen


@pytest.mark.skipif(not find_spec("numba"), reason="Numba")
def test_it_comes_back_with_one_line_for_each_way(caplog: Any) -> None:
    m = model("auto")
    change = CHANGES["the actor frozen"], lambda m: freeze(m.actor, thaw=True)
    assert ways(m, *change, *change) == ["compiled", "autograd", "compiled", "autograd", "compiled"]
    assert [record.getMessage() for record in caplog.records if "updates go on" in record.getMessage()] == [
        "updates go on through autograd: some of its parameters are frozen",
        "updates go on compiled: what stood against it is gone",
    ]


@pytest.mark.skipif(not find_spec("numba"), reason="Numba")
def test_the_next_quick_way_is_taken_where_one_is_left() -> None:
    m = model("compiled")
    assert ways(m, activation_of_critics, lambda m: m.actor.mu.register_forward_hook(halve)) == [
        *("compiled", "analytic", "autograd"),
    ]


def test_what_was_asked_for_later_is_done_too() -> None:
    m = model("auto").learn(12)
    m.update = "autograd"
    m.train(1, 8)
    assert isinstance(m._update, AutogradUpdate)
    m.update = "analytic"
    m.train(1, 8)
    assert isinstance(m._update, FlatUpdate)
    m.update = "quick"
    with pytest.raises(ValueError, match="update='quick' does not exist"):
        m.train(1, 8)


@pytest.mark.parametrize("update", WAYS)
@pytest.mark.parametrize(
    "change",
    [
        "Adam anew",
        "AdamW",
        "decoupled_weight_decay",
        "pre_tanh_penalty",
        "weights loaded",
        "a hook come and gone",
        "tau",
        "nothing",
    ],
)
def test_a_harmless_change_costs_no_speed(update: str, change: str) -> None:
    m = model(update).learn(12)
    kind = type(m._update)
    CHANGES[change](m)
    m.train(1, 8)
    assert type(m._update) is kind in (AnalyticUpdate, CompiledUpdate)


@pytest.mark.parametrize("update", WAYS)
@pytest.mark.parametrize("max_grad_norm", [None, 0.01])
def test_gradients_can_be_looked_at(update: str, max_grad_norm: float | None) -> None:
    quick, reference = (model(way, max_grad_norm=max_grad_norm).learn(20) for way in (update, "autograd"))
    for name in ("actor", "critic"):
        for a, b in zip(getattr(quick, name).parameters(), getattr(reference, name).parameters(), strict=True):
            th.testing.assert_close(a.grad, b.grad, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("update", WAYS)
def test_memory_that_a_script_holds_goes_on_being_the_policys(update: str) -> None:
    m = model(update).learn(1)
    held = m.actor.mu[0].weight.detach()
    m.learn(14)
    freeze(m.critic)
    m.learn(2, reset_num_timesteps=False)
    freeze(m.critic, thaw=True)
    m.learn(2, reset_num_timesteps=False)
    assert th.equal(held, m.actor.mu[0].weight)


class Copier(BaseCallback):
    def _on_step(self) -> bool:
        if self.n_calls == 14:
            self.copied: Any = copy.deepcopy(self.model.policy)
            self.pickled: Any = pickle.loads(pickle.dumps(self.model.policy))
        return True


@pytest.mark.parametrize("update", ["auto", "analytic", "autograd"])
def test_copies_live_on(update: str) -> None:
    m, copier = model(update), Copier()
    m.learn(15, callback=copier)
    for policy in (copier.copied, copier.pickled, pickle.loads(cloudpickle.dumps(m.policy))):
        policy.set_training_mode(True)
        assert policy.actor.mu[0].training
        policy.predict(np.zeros((1, 3), np.float32))
        assert not policy.actor.mu[0].training


@pytest.mark.parametrize("copier", [copy.deepcopy, lambda m: pickle.loads(cloudpickle.dumps(m))])
@pytest.mark.parametrize("update", ["auto", "analytic", "autograd"])
def test_a_copied_model_trains_on(update: str, copier: Any) -> None:
    m = model(update).learn(20)
    copied = copier(m)
    for one in (m, copied):
        np.random.seed(3)
        one.train(3, 8)
    for a, b in zip(everything(m), everything(copied), strict=True):
        th.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)
    assert not th.equal(m.actor.mu[0].weight, model(update).actor.mu[0].weight)
    copied.learn(4, reset_num_timesteps=False)
    assert not th.equal(m.actor.mu[0].weight, copied.actor.mu[0].weight)


@pytest.mark.parametrize("update", WAYS)
def test_weights_tied_inside_a_network(update: str) -> None:
    trained = []
    for way in (update, "autograd"):
        m = model("auto", policy_kwargs={"net_arch": [8, 8, 8]})
        m.update = way
        for network in (m.actor, m.actor_target):
            network.mu[4].weight = network.mu[2].weight
        m.actor.optimizer = adam(m.actor)
        trained.append(everything(m.learn(20)))
    for a, b in zip(*trained, strict=True):
        th.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


def test_a_square_matrix_turned_on_the_spot() -> None:
    trained = []
    for way in ("auto", "autograd"):
        m = model(way, policy_kwargs={"net_arch": [8, 8]}).learn(14)
        m.actor.mu[2].weight.data = m.actor.mu[2].weight.data.T
        m.train(3, 8)
        trained.append(m.actor.mu[2].weight.detach().clone())
    th.testing.assert_close(*trained, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("change", ["the actor frozen", "SGD", "forward pre-hook", "an activation nobody knows"])
def test_a_copy_is_taken_of_what_no_quick_way_fits_any_more(change: str) -> None:
    m = model("auto").learn(14)
    CHANGES[change](m)
    copied = copy.deepcopy(m)
    for one in (m, copied):
        np.random.seed(1)
        one.train(2, 8)
    for a, b in zip(everything(m), everything(copied), strict=True):
        th.testing.assert_close(a, b, rtol=1e-12, atol=1e-12)


def test_a_plain_pickle_holds_a_model() -> None:
    m = model("analytic").learn(14)
    assert pickle.loads(pickle.dumps(m)).learn(14)._n_updates > m._n_updates


class Behaviour(DDPG):
    """Acts with other weights than it trains."""

    other: Any

    def _sample_action(self, *args: Any, **kwargs: Any) -> Any:
        own, self.policy.actor = self.policy.actor, self.other
        try:
            return super()._sample_action(*args, **kwargs)
        finally:
            self.policy.actor = own


def test_a_subclass_may_act_with_another_actor() -> None:
    seen: list[Any] = []
    for update in ("auto", "autograd"):
        m: Any = Behaviour("MlpPolicy", "Pendulum-v1", update=update, learning_starts=5, seed=0, batch_size=8)
        m.other = copy.deepcopy(m.policy.double().actor)
        m.learn(20)
        seen.append(m.replay_buffer.actions[:20].copy())
    np.testing.assert_allclose(seen[0], seen[1], atol=1e-5)


def test_a_batch_with_gradients_is_taken() -> None:
    class Curious(ReplayBuffer):
        def sample(self, *args: Any, **kwargs: Any) -> Any:
            batch: Any = super().sample(*args, **kwargs)
            return batch._replace(rewards=batch.rewards.requires_grad_())

    assert model("auto", replay_buffer_class=Curious).learn(20)._n_updates > 0


@pytest.mark.parametrize("change", ["amsgrad on the way", "SGD", "a layer of the critic frozen"])
def test_a_change_before_the_first_update(change: str) -> None:
    """States of no steps stood in the optimiser already, in the type and with the options of the beginning."""
    trained = []
    for way in ("auto", "autograd"):
        m = model(way)  # made in float32, then moved to float64
        CHANGES[change](m)
        trained.append(everything(m.learn(16)))
    for a, b in zip(*trained, strict=True):
        th.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("update", WAYS)
def test_a_layer_that_was_frozen_for_a_while_is_trained_as_quickly_as_before(update: str) -> None:
    trained = []
    for way in (update, "autograd"):
        m = model(way).learn(14)
        kind = type(m._update)
        for layer in (m.actor.mu[0], m.critic.qf0[2]):
            freeze(layer)
        m.train(3, 8)
        assert isinstance(m._update, AutogradUpdate)
        for layer in (m.actor.mu[0], m.critic.qf0[2]):
            freeze(layer, thaw=True)
        m.train(4, 8)
        assert type(m._update) is kind
        trained.append(everything(m))
    for a, b in zip(*trained, strict=True):
        th.testing.assert_close(a, b, rtol=1e-9, atol=1e-9)
