"""Envs that a training steps itself give it what SB3's loop gives it, bit by bit."""

import subprocess
import sys
from functools import partial, wraps
from typing import Any
from unittest.mock import Mock

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import make_model
from stable_baselines3.common.callbacks import BaseCallback, EvalCallback, StopTrainingOnMaxEpisodes
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.vec_env import DummyVecEnv, VecMonitor

from sb3_ddpg_custom import DDPG, ParameterNoise
from sb3_ddpg_custom.acting import collecting
from sb3_ddpg_custom.acting.envs_in_turn import own_envs, step_in_turn


class Walk(gym.Env[Any, Any]):
    """Episodes end by termination, by a time limit, or both at once, and say whether they succeeded."""

    __module__ = "gymnasium.of_this_test"  # code that is trusted
    action_space = spaces.Box(-2, 2, (1,), np.float32)

    def __init__(self, observation_space: spaces.Space[Any] | None = None) -> None:
        self.observation_space = observation_space or spaces.Box(-5, 5, (2,), np.float64)
        self.place = 0.0

    def observe(self) -> Any:
        if isinstance(self.observation_space, spaces.Box):
            return np.array([self.place, self.steps / 9])
        return np.int64(self.place + 5) if isinstance(self.observation_space, spaces.Discrete) else {"a": [self.place]}

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.steps = self.np_random.uniform(-3, 3), 0
        return self.observe(), {"where": self.place}

    def step(self, action: Any) -> Any:
        self.place = float(np.clip(self.place + 0.5 * action[0], -5, 5))
        self.steps += 1
        over = abs(self.place) < 0.3
        return self.observe(), -abs(self.place), over, self.steps >= 9, {"is_success": over, "where": self.place}


class Notes(BaseCallback):
    """Note what a callback sees at each step."""

    leaves_the_model_alone = True

    def __init__(self, last: int = 10_000) -> None:
        super().__init__()
        self.seen: list[Any] = []
        self.last = last

    def _on_step(self) -> bool:
        names = ("actions", "buffer_actions", "new_obs", "rewards", "dones", "num_collected_steps", "infos")
        self.seen.append([np.array(self.locals[name], copy=True) for name in names[:-1]])
        self.seen[-1] += [dict(info) for info in self.locals["infos"]]
        return self.num_timesteps < self.last


def walks(count: int) -> DummyVecEnv:
    return DummyVecEnv([lambda: Monitor(Walk()) for _ in range(count)])


def normal() -> NormalActionNoise:
    return NormalActionNoise(np.zeros(1), np.full(1, 0.3))


CASES: dict[str, Any] = {
    "plain": {},
    "noise": {"action_noise": normal()},
    "several envs": {"envs": 3, "action_noise": normal(), "gradient_steps": -1},
    "noise with a state": {"envs": 2, "action_noise": OrnsteinUhlenbeckActionNoise(np.zeros(1), np.ones(1))},
    "several steps": {"train_freq": (4, "step"), "gradient_steps": 2},
    "episodes": {"train_freq": (1, "episode")},
    "noise on weights": {"parameter_noise": ParameterNoise(0.2)},
    "normalised": {"policy_kwargs": {"normalize_observations": True}},
    "returns of several steps": {"n_steps": 3, "actor_average_tau": 0.01},
    "autograd": {"update": "autograd", "action_noise": normal()},
    "numbers as observations": {"space": spaces.Discrete(11)},
    "a callback that stops": {"last": 77, "action_noise": normal()},
}


def learned(case: dict[str, Any]) -> tuple[Any, Notes]:
    options = dict(case)
    callback, envs, space = Notes(options.pop("last", 10_000)), options.pop("envs", 1), options.pop("space", None)
    model = make_model(DummyVecEnv([lambda: Monitor(Walk(space))] * envs) if space else walks(envs), **options)
    return model.learn(240, callback, log_interval=2), callback


@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_it_is_sb3s_loop_bit_by_bit(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    step = Mock(side_effect=step_in_turn)
    monkeypatch.setattr(collecting, "step_in_turn", step)
    own, seen = learned(case)
    steps = step.call_count
    monkeypatch.setattr(collecting, "own_envs", lambda env: None)
    sb3s, seen_by_sb3 = learned(case)
    assert steps == (0 if case.get("train_freq") == (1, "episode") else len(seen.seen))
    assert step.call_count == steps
    assert (own.num_timesteps, own._episode_num, own._n_updates) == (
        sb3s.num_timesteps,
        sb3s._episode_num,
        sb3s._n_updates,
    )
    for mine, other in zip(seen.seen, seen_by_sb3.seen, strict=True):
        for one, another in zip(mine, other, strict=True):
            _compare(one, another)
    weights, others = own.policy.state_dict(), sb3s.policy.state_dict()
    assert all(th.equal(weights[name], others[name]) for name in others)
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        np.testing.assert_array_equal(getattr(own.replay_buffer, name), getattr(sb3s.replay_buffer, name))
    np.testing.assert_array_equal(own._last_obs, sb3s._last_obs)
    for mine, other in ((own.ep_info_buffer, sb3s.ep_info_buffer), (own.ep_success_buffer, sb3s.ep_success_buffer)):
        assert [_without_time(one) for one in mine] == [_without_time(one) for one in other] != []
    for name in ("buf_rews", "buf_dones", "actions"):
        np.testing.assert_array_equal(getattr(own.env, name), getattr(sb3s.env, name))
    assert own.env.reset_infos == sb3s.env.reset_infos


def _compare(one: Any, another: Any) -> None:
    if isinstance(one, dict):
        one, another = _without_time(one), _without_time(another)
        assert one.keys() == another.keys()
        for key in one:
            _compare(one[key], another[key])
    else:
        np.testing.assert_array_equal(one, another)
        assert np.asarray(one).dtype == np.asarray(another).dtype


def _without_time(info: Any) -> Any:
    return {key: value for key, value in info.items() if key != "t"} if isinstance(info, dict) else info


@pytest.mark.parametrize(
    "env",
    [
        lambda: VecMonitor(DummyVecEnv([Walk])),
        lambda: DummyVecEnv([lambda: Walk(spaces.Dict({"a": spaces.Box(-5, 5, (1,))}))]),
    ],
)
def test_envs_that_do_more_are_left_to_sb3(env: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    own_step = Mock(side_effect=step_in_turn)
    monkeypatch.setattr(collecting, "step_in_turn", own_step)
    made = env()
    policy = "MultiInputPolicy" if isinstance(made.observation_space, spaces.Dict) else "MlpPolicy"
    model = make_model(made, policy).learn(40)
    assert model.num_timesteps == model.replay_buffer.size() == 40
    assert own_step.call_count == 0


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((DummyVecEnv, "step_wait"), (DummyVecEnv, "_obs_from_buf"), (OffPolicyAlgorithm, "_on_step")),
        *((DDPG, "_on_step"), (DDPG, "_update_info_buffer")),
    ],
)
def test_a_class_that_was_written_to_is_called(kind: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Mock(side_effect=getattr(kind, name))

    @wraps(getattr(kind, name))  # the name and the module of what it replaces
    def call(*args: Any) -> Any:
        return written(*args)

    monkeypatch.setattr(kind, name, call)
    make_model(walks(1)).learn(40)
    assert written.call_count >= 40


@pytest.mark.parametrize("name", ["_on_step", "_update_info_buffer"])
@pytest.mark.parametrize(
    "how", [lambda mock, own: mock, lambda mock, own: partial(mock), lambda mock, own: _as(own, mock)]
)
def test_a_method_that_was_assigned_is_called(name: str, how: Any) -> None:
    model = make_model(walks(1))
    own = getattr(model, name)
    assigned = Mock(side_effect=own)
    setattr(model, name, how(assigned, own))
    model.learn(40)
    assert assigned.call_count == 40


def _as(own: Any, mock: Any) -> Any:
    @wraps(own)
    def call(*args: Any) -> Any:
        return mock(*args)

    return call


@pytest.mark.parametrize(
    "how", [lambda mock, own: mock, lambda mock, own: partial(mock), lambda mock, own: _as(own, mock)]
)
def test_envs_that_were_written_to_are_called(how: Any) -> None:
    envs = walks(1)
    assert own_envs(envs) is envs
    step_wait = Mock(side_effect=envs.step_wait)
    envs.step_wait = how(step_wait, envs.step_wait)  # type: ignore[method-assign]
    assert own_envs(envs) is None
    make_model(envs).learn(40)
    assert step_wait.call_count == 40


def test_a_class_that_was_written_to_before_the_import_is_called() -> None:
    program = """
from stable_baselines3.common.vec_env import DummyVecEnv
calls, step_wait = [], DummyVecEnv.step_wait
DummyVecEnv.step_wait = lambda self: (calls.append(1), step_wait(self))[1]
from sb3_ddpg_custom import DDPG
DDPG("MlpPolicy", "Pendulum-v1", learning_starts=20, batch_size=16, buffer_size=99).learn(40)
print(len(calls))
"""
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "40"


@pytest.mark.parametrize("envs", [1, 2])
def test_a_noise_class_that_was_written_to_is_called(envs: int, monkeypatch: pytest.MonkeyPatch) -> None:
    written = Mock(return_value=np.zeros(1, np.float32))
    monkeypatch.setattr(NormalActionNoise, "__call__", lambda self: written())
    make_model(walks(envs), action_noise=normal()).learn(40)
    assert written.call_count == 40


def test_what_was_seen_of_a_step_stays_as_it_was() -> None:
    envs = walks(2)
    envs.reset()
    first = step_in_turn(envs, np.ones((2, 1), np.float32))
    kept = [np.copy(part) for part in first[:3]], [dict(info) for info in first[3]]
    step_in_turn(envs, -np.ones((2, 1), np.float32))
    for now, then in zip(first[:3], kept[0], strict=True):
        np.testing.assert_array_equal(now, then)
    assert first[3] == kept[1]


def test_sb3s_callbacks_work_beside_it() -> None:
    evaluations = EvalCallback(walks(1), n_eval_episodes=2, eval_freq=30, verbose=0)
    model = make_model(walks(1)).learn(10_000, [StopTrainingOnMaxEpisodes(12), evaluations])
    assert model._episode_num == 11  # as SB3's loop, which has not counted the last one when it stops
    assert np.isfinite(evaluations.last_mean_reward)


def test_a_copy_finds_envs_of_its_own() -> None:
    class Copies(Notes):
        def _on_rollout_start(self) -> None:
            model: Any = self.model
            assert model._own_envs is model.env
            assert model.__getstate__()["_own_envs"] is None

    model = make_model(walks(1)).learn(30, Copies())
    assert model._own_envs is None
