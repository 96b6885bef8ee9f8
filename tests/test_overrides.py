"""What a subclass overrides is called, in every mode, as often as SB3's own ``learn()`` calls it.

The tests walk SB3's classes, so a release with a new method that ``learn()`` calls is asked about it, too.
"""

import inspect
import subprocess
import sys
from collections import Counter
from functools import cache
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import stable_baselines3
import torch as th
from helpers import SMALL
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.td3.policies import Actor, TD3Policy

from sb3_ddpg_custom import DDPG, ParameterNoise, ReplayBuffer
from sb3_ddpg_custom.overrides import overridden, overridden_for_acting, overridden_for_updates
from sb3_ddpg_custom.updates import FlatUpdate

WAYS = ["auto", "analytic", pytest.param("compiled", marks=pytest.mark.skipif(not find_spec("numba"), reason="Numba"))]
STEPS = 16
EARLY = SMALL | {"learning_starts": 8, "batch_size": 8}


def methods(base: type) -> list[str]:
    """All that a subclass of one of SB3's classes could override in it, less what Python and torch call."""
    names = {
        name
        for one in base.__mro__
        if one.__module__.startswith("stable_baselines3.")
        for name, value in vars(one).items()
        if inspect.isfunction(value) or isinstance(value, staticmethod)
    }
    return sorted(name for name in names if not name.startswith("__"))


def counting(base: type, name: str, calls: Counter[str]) -> Any:
    """Make a subclass that counts how often a method is called, and does nothing else."""
    original: Any = inspect.getattr_static(base, name)
    function = original.__func__ if isinstance(original, staticmethod) else original

    def method(*args: Any, **kwargs: Any) -> Any:
        calls[name] += 1
        return function(*args, **kwargs)

    return type(
        f"Counting{base.__name__}", (base,), {name: staticmethod(method) if function is not original else method}
    )


PARTS = {"policy": TD3Policy, "actor": Actor, "critic": ContinuousCritic, "buffer": SB3ReplayBuffer}


def calls_of(algorithm: Any, part: str, name: str, **kwargs: Any) -> int:
    calls: Counter[str] = Counter()
    policy: Any = "MlpPolicy"
    ours = algorithm is DDPG
    if part == "policy":
        policy = counting(TD3Policy, name, calls)
    if part == "buffer":
        kwargs["replay_buffer_class"] = counting(ReplayBuffer if ours else SB3ReplayBuffer, name, calls)
    if part == "algorithm":
        algorithm = counting(algorithm, name, calls)
    m = algorithm(policy, "Pendulum-v1", **{**EARLY, **kwargs})
    for network in ("actor", "critic"):
        if part == network:
            kind = counting(PARTS[part], name, calls)
            getattr(m.policy, network).__class__ = getattr(m.policy, f"{network}_target").__class__ = kind
    calls.clear()
    m.learn(STEPS)
    return calls[name]


@cache
def calls_of_sb3(part: str, name: str) -> int:
    return calls_of(stable_baselines3.DDPG, part, name)


@pytest.mark.parametrize(("part", "name"), [(part, name) for part, base in PARTS.items() for name in methods(base)])
@pytest.mark.parametrize("update", WAYS)
def test_what_sb3s_learn_calls_is_called(update: str, part: str, name: str) -> None:
    expected = calls_of_sb3(part, name)
    if expected == 0:
        pytest.skip("SB3's learn() does not call it")
    assert calls_of(DDPG, part, name, update=update) == expected


@pytest.mark.parametrize("name", methods(OffPolicyAlgorithm))
def test_what_sb3_calls_of_the_algorithm_is_called(name: str) -> None:
    expected = calls_of_sb3("algorithm", name)
    if expected == 0:
        pytest.skip("SB3's learn() does not call it")
    assert calls_of(DDPG, "algorithm", name) == expected


def test_the_walk_sees_what_matters() -> None:
    assert calls_of_sb3("actor", "forward") == 2 * (STEPS - 8) + (STEPS - 8)
    assert calls_of_sb3("critic", "q1_forward") == STEPS - 8
    assert calls_of_sb3("buffer", "to_torch") == 5 * (STEPS - 8)
    assert calls_of_sb3("algorithm", "_sample_action") == STEPS
    assert {"predict", "_predict", "set_training_mode"} <= set(methods(TD3Policy))


class Clipped(TD3Policy):
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        actions, state = super().predict(*args, **kwargs)
        return actions.clip(-0.1, 0.1), state


class Timid(Actor):
    def forward(self, obs: th.Tensor) -> th.Tensor:
        return 0.1 * super().forward(obs)


class Proud(ContinuousCritic):
    def q1_forward(self, obs: th.Tensor, actions: th.Tensor) -> th.Tensor:
        return super().q1_forward(obs, actions) + 3 * actions.sum(1, keepdim=True)


class Rewarding(ReplayBuffer):
    @staticmethod
    def _normalize_reward(reward: Any, env: Any = None) -> Any:
        return reward / 10


class Floats(ReplayBuffer):
    def to_torch(self, array: Any, copy: bool = True) -> th.Tensor:
        return super().to_torch(array, copy) * 0.5


class Shifted(ReplayBuffer):
    def _get_samples(self, batch_inds: Any, env: Any = None) -> Any:
        return super()._get_samples(batch_inds * 0, env)


class ClippedModel(DDPG):
    def predict(self, *args: Any, **kwargs: Any) -> Any:
        actions, state = super().predict(*args, **kwargs)
        return actions.clip(-0.1, 0.1), state


def build(update: Any, override: str) -> Any:
    algorithm = ClippedModel if override == "the model's predict" else DDPG
    buffers = {"_normalize_reward": Rewarding, "to_torch": Floats, "_get_samples": Shifted}
    policy: Any = Clipped if override == "predict" else "MlpPolicy"
    kwargs = {"replay_buffer_class": buffers.get(override), **EARLY}
    if override.startswith("priorities"):
        kwargs |= {"replay_buffer_class": Shifted, "replay_buffer_kwargs": {"priority_exponent": 0.6}}
    m = algorithm(policy, "Pendulum-v1", update=update, **kwargs)
    for name, kind in (("actor", Timid), ("critic", Proud)):
        if override == name:
            getattr(m, name).__class__ = getattr(m, f"{name}_target").__class__ = kind
    return m


OVERRIDES = ["predict", "the model's predict", "actor", "critic", *("_normalize_reward", "to_torch", "_get_samples")]


@pytest.mark.parametrize("override", [*OVERRIDES, "priorities with _get_samples"])
@pytest.mark.parametrize("update", WAYS)
def test_it_trains_what_autograd_trains(update: str, override: str) -> None:
    # One after the other: they share NumPy's generator.
    ours, reference = build(update, override).learn(40), build("autograd", override).learn(40)
    plain = build("autograd", "").learn(40)
    pairs = [*zip(ours.policy.state_dict().values(), reference.policy.state_dict().values(), strict=True)]
    for a, b in pairs:
        th.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    np.testing.assert_allclose(ours.replay_buffer.actions[:40], reference.replay_buffer.actions[:40], atol=1e-4)
    others = plain.policy.state_dict().values()
    assert not all(th.allclose(a, b, rtol=1e-3, atol=1e-5) for (a, _), b in zip(pairs, others, strict=True))


@pytest.mark.parametrize("noise", [None, ParameterNoise(0.2)])
@pytest.mark.parametrize("override", ["predict", "the model's predict"])
def test_a_policy_that_clips_is_clipped_while_it_explores(override: str, noise: Any) -> None:
    algorithm: Any = ClippedModel if override == "the model's predict" else DDPG
    policy: Any = Clipped if override == "predict" else "MlpPolicy"
    m = algorithm(policy, "Pendulum-v1", parameter_noise=noise, **EARLY).learn(40)
    explored = m.replay_buffer.actions[8:40]
    # ±0.1 N·m of Pendulum's ±2
    assert np.abs(explored).max() <= 0.05 + 1e-6
    assert np.abs(explored).max() > 0.01


def test_predict_that_is_assigned_counts_too() -> None:
    m: Any = DDPG("MlpPolicy", "Pendulum-v1", **EARLY)
    predict = m.predict
    m.predict = lambda *args, **kwargs: (predict(*args, **kwargs)[0].clip(-0.1, 0.1), None)
    m.learn(40)
    assert np.abs(m.replay_buffer.actions[8:40]).max() <= 0.05 + 1e-6


def test_a_subclass_that_overrides_nothing_of_this_stays_quick() -> None:
    class Mine(TD3Policy):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.name = "mine"

        def describe(self) -> str:
            return self.name

    m = DDPG(Mine, "Pendulum-v1", **EARLY).learn(20)
    assert isinstance(m._update, FlatUpdate)
    assert m._actor is not None


def test_a_method_of_a_class_that_is_replaced_is_obeyed(monkeypatch: pytest.MonkeyPatch) -> None:
    forward = Actor.forward
    monkeypatch.setattr(Actor, "forward", lambda self, obs: 0.1 * forward(self, obs))
    m = DDPG("MlpPolicy", "Pendulum-v1", **EARLY).learn(20)
    assert not isinstance(m._update, FlatUpdate)
    monkeypatch.undo()
    m.learn(5, reset_num_timesteps=False)
    assert isinstance(m._update, FlatUpdate)


BEFORE_THE_IMPORT = """
from collections import Counter
import stable_baselines3.td3.policies as policies
from stable_baselines3.common.buffers import BaseBuffer

calls = Counter()

def counted(owner, name):
    original = vars(owner)[name]
    function = getattr(original, "__func__", original)
    def method(*args, **kwargs):
        calls[name] += 1
        return function(*args, **kwargs)
    setattr(owner, name, staticmethod(method) if isinstance(original, staticmethod) else method)

counted(policies.Actor, "forward")
counted(policies.ContinuousCritic, "q1_forward")
counted(BaseBuffer, "_normalize_reward")
from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.updates import FlatUpdate

model = DDPG("MlpPolicy", "Pendulum-v1", policy_kwargs=dict(net_arch=[8]), batch_size=8, learning_starts=8).learn(16)
print(dict(sorted(calls.items())), isinstance(model._update, FlatUpdate))
"""


def test_what_was_written_to_sb3s_classes_before_the_import_is_called() -> None:
    answer = subprocess.run([sys.executable, "-c", BEFORE_THE_IMPORT], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "{'_normalize_reward': 8, 'forward': 24, 'q1_forward': 8} False"


def test_overridden_names_what_it_found() -> None:
    policy: Any = DDPG("MlpPolicy", "Pendulum-v1", **EARLY).policy
    assert overridden(policy, TD3Policy) is overridden_for_updates(policy) is overridden_for_acting(policy) is None
    policy.__class__ = Clipped
    assert overridden(policy, TD3Policy) == overridden_for_acting(policy) == "predict"
    assert overridden_for_updates(policy) is None
    assert overridden(object(), TD3Policy) == "object"


def test_priorities_and_a_draw_of_ones_own_do_not_go_together_with_several_envs() -> None:
    from gymnasium import spaces

    box = spaces.Box(-1, 1, (1,))
    buffer = Shifted(20, box, box, n_envs=2, priority_exponent=0.6)
    zeros = np.zeros((2, 1))
    buffer.add(zeros, zeros, zeros, np.zeros(2), np.zeros(2, bool), [{}, {}])
    with pytest.raises(ValueError, match=r"Shifted\._get_samples draws each transition's env itself"):
        buffer.sample(4)
