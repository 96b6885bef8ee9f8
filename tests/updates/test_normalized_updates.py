"""Updates and actions on normalised observations: by hand, compiled and through autograd, the same numbers."""

import copy
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest
import torch as th
from gymnasium import spaces
from helpers import make_batch, make_model
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.type_aliases import ReplayBufferSamples
from stable_baselines3.common.utils import ConstantSchedule

from sb3_ddpg_custom import ParameterNoise
from sb3_ddpg_custom.acting.numpy_actor import NumpyActor
from sb3_ddpg_custom.normalized_policies import NormalizedMlpPolicy
from sb3_ddpg_custom.observation_normalizer import ObservationNormalizer, RunningNormalizer
from sb3_ddpg_custom.updates import AnalyticUpdate, AutogradUpdate, CompiledUpdate, why_not_analytic

BY_HAND = [AnalyticUpdate] + ([CompiledUpdate] if find_spec("numba") else [])
WAYS = ["analytic"] + (["compiled"] if find_spec("numba") else [])
ON = {"normalize_observations": True}


def make_policy(dtype: th.dtype = th.float32, shape: tuple[int, ...] = (3,)) -> Any:
    th.manual_seed(0)
    observations, actions = spaces.Box(-1, 1, shape, np.float32), spaces.Box(-1, 1, (2,), np.float32)
    policy = NormalizedMlpPolicy(observations, actions, ConstantSchedule(1e-2), net_arch=[8, 6], n_critics=1).to(dtype)
    collect(policy, 7)
    return policy


def collect(policy: Any, seed: int) -> None:
    observations = np.random.default_rng(seed).normal([3, -100, 0.01], [2, 30, 0.001], (40, 3))
    policy.normalizer.update(observations.reshape(40, *policy.observation_space.shape))


def batch_of(seed: int, dtype: th.dtype, shape: tuple[int, ...]) -> ReplayBufferSamples:
    batch = make_batch(12, seed=seed, dtype=dtype)
    scale, shift = th.tensor([2, 30, 0.001], dtype=dtype), th.tensor([3, -100, 0.01], dtype=dtype)

    def raw(observations: Any) -> Any:
        return (observations * scale + shift).reshape(12, *shape)

    return batch._replace(observations=raw(batch.observations), next_observations=raw(batch.next_observations))


@pytest.mark.usefixtures("float64_networks")
@pytest.mark.parametrize("shape", [(3,), (3, 1)])
@pytest.mark.parametrize("update_class", BY_HAND)
def test_every_number_is_autograds_while_the_statistics_move(update_class: Any, shape: tuple[int, ...]) -> None:
    seen = []
    for way in (AutogradUpdate, update_class):
        policy = make_policy(th.float64, shape)
        update, results = way(policy, tau=0.1), []
        for step in range(20):
            result = update(batch_of(step, th.float64, shape), 0.9)
            results += [*result.statistics, result.td_errors.clone()]
            collect(policy, step)
        seen.append([*results, *policy.state_dict().values()])
    for one, other in zip(*seen, strict=True):
        th.testing.assert_close(one, other, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("update_class", BY_HAND)
def test_the_same_tensors_are_normalised_anew_each_time(update_class: Any) -> None:
    # A buffer may fill the same tensors again, and the statistics may have moved since.
    batch, other = batch_of(0, th.float32, (3,)), batch_of(1, th.float32, (3,))
    alike = []
    for again in (True, False):
        policy = make_policy()
        update = update_class(policy, tau=0.1)
        mine = copy.deepcopy(batch)
        update(mine, 0.9)
        collect(policy, 1)
        if again:
            for name in ("observations", "actions", "next_observations", "dones", "rewards"):
                getattr(mine, name).copy_(getattr(other, name))
        update(mine if again else other, 0.9)
        alike.append(policy.state_dict())
    assert [name for name in alike[0] if not th.equal(alike[0][name], alike[1][name])] == []


@pytest.mark.parametrize("update_class", BY_HAND)
@pytest.mark.parametrize("n_envs", [1, 5, 4000])
def test_quick_actions_are_the_policys(update_class: Any, n_envs: int) -> None:
    policy = make_policy()
    quick = NumpyActor.of(update_class(policy, tau=0.1))
    assert quick is not None
    for dtype in (np.float32, np.float64):
        observations = np.random.default_rng(0).normal([3, -100, 0.01], [2, 30, 0.001], (n_envs, 3)).astype(dtype)
        with th.no_grad():
            expected = policy.actor(th.from_numpy(observations)).numpy()
        np.testing.assert_allclose(quick(observations), expected, atol=1e-6)
        collect(policy, 3)
        assert not np.allclose(quick(observations), expected, atol=1e-6)


def clips_at_one(m: Any) -> None:
    m.policy.normalizer.alone.clip = 1.0


def begins_anew(m: Any) -> None:
    m.policy.normalizer.load_state_dict(ObservationNormalizer(m.observation_space).state_dict())


def takes_another(m: Any) -> None:
    another = ObservationNormalizer(m.observation_space)
    for network in (m.policy, m.actor, m.critic, m.actor_target, m.critic_target):
        network.normalizer = another


def takes_another_part(m: Any) -> None:
    m.policy.normalizer.parts["observation"] = RunningNormalizer((3,), clip=0.5)


def takes_another_mean(m: Any) -> None:
    m.policy.normalizer.alone.mean = th.ones(3, dtype=th.float64)


def gives_the_critic_its_own(m: Any) -> None:
    m.critic.normalizer = copy.deepcopy(m.critic.normalizer)


def normalises_in_its_own_way(m: Any) -> None:
    m.policy.normalizer.alone.forward = th.tanh


CHANGES: list[Callable[[Any], None]] = [
    clips_at_one,
    begins_anew,
    takes_another,
    takes_another_part,
    takes_another_mean,
    gives_the_critic_its_own,
    normalises_in_its_own_way,
]


@pytest.mark.usefixtures("float64_networks")
@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("way", WAYS)
def test_what_a_script_changes_is_obeyed(way: str, change: Callable[[Any], None]) -> None:
    trained = []
    for name in ("autograd", way):
        m = make_model(update=name, policy_kwargs=ON)
        m.policy.double()
        m.learn(40)
        change(m)
        m.learn(30, reset_num_timesteps=False)
        trained.append(m.policy.state_dict())
    for one, other in zip(*(state.values() for state in trained), strict=True):
        th.testing.assert_close(one, other, rtol=1e-8, atol=1e-9)


def test_moving_statistics_are_no_change() -> None:
    m = make_model(policy_kwargs=ON).learn(40)
    flat = m._update.flat
    m.learn(40, reset_num_timesteps=False)
    assert m._update.flat is flat
    assert flat.is_known()
    assert flat.acts_as_known()


def test_what_the_formulas_do_not_cover_is_said() -> None:
    policy = make_policy()
    assert why_not_analytic(policy) is None
    policy.critic.normalizer = copy.deepcopy(policy.critic.normalizer)
    assert why_not_analytic(policy) == "its networks do not share one normalisation of observations"
    policy = make_policy()
    policy.normalizer.parts["observation"] = type("Own", (RunningNormalizer,), {})((3,))
    assert why_not_analytic(policy) == "its observations are normalised in a way of its own"


def test_noise_on_weights_acts_on_normalised_observations() -> None:
    env = make_vec_env("Pendulum-v1", 3)
    m = make_model(env, policy_kwargs=ON, parameter_noise=ParameterNoise(0.2)).learn(90)
    actor = m._perturbed_actor
    assert actor._acting._goes_by_layers
    for index in range(3):
        actor._acting.set(index, dict(m.actor.named_parameters()))
    observations = m._last_obs
    with th.no_grad():
        expected = m.actor(th.from_numpy(observations))
        th.testing.assert_close(actor._acting(th.from_numpy(observations)), expected)


def test_it_goes_with_bfloat16_products() -> None:
    assert make_model(policy_kwargs=ON, precision="bfloat16").learn(40)._n_updates == 20
