"""The algorithm as its users meet it: it learns, repeats itself, saves, and logs what it says it logs."""

import inspect
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import stable_baselines3
import torch as th
from gymnasium import spaces
from helpers import SMALL
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise, NormalActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm

from sb3_ddpg_custom import DDPG, AnnealedActionNoise, EpisodeScaledActionNoise, ReplayBuffer
from sb3_ddpg_custom.policies import initialise_outputs


def gaussian(sigma: float = 0.1) -> NormalActionNoise:
    return NormalActionNoise(np.zeros(1), sigma * np.ones(1))


def test_it_is_an_off_policy_algorithm_of_its_own() -> None:
    assert issubclass(DDPG, OffPolicyAlgorithm)
    assert not issubclass(DDPG, stable_baselines3.TD3)


def test_it_takes_every_argument_of_sb3s_ddpg_with_the_same_default_in_the_same_place() -> None:
    theirs = list(inspect.signature(stable_baselines3.DDPG.__init__).parameters.values())
    ours = list(inspect.signature(DDPG.__init__).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [(p.name, p.default) for p in theirs]
    assert all(p.kind is p.KEYWORD_ONLY and p.default is not p.empty for p in ours[len(theirs) :])


@pytest.mark.parametrize("seed", range(3))
def test_it_learns_the_identity(seed: int, identity_env: Any) -> None:
    model = DDPG(
        "MlpPolicy",
        identity_env,
        learning_rate=5e-3,
        action_noise=gaussian(0.3),
        **SMALL | {"batch_size": 64, "seed": seed},
    ).learn(500)
    asked = np.linspace(-0.9, 0.9, 7, dtype=np.float32).reshape(-1, 1)
    answers, _ = model.predict(asked, deterministic=True)
    assert np.abs(answers - asked).mean() < 0.15  # always answering 0 gives 0.51


def weights(model: Any) -> list[th.Tensor]:
    return list(model.policy.state_dict().values())


def same(a: Any, b: Any) -> bool:
    return all(th.equal(one, other) for one, other in zip(weights(a), weights(b), strict=True))


@pytest.mark.parametrize("noise", [gaussian, lambda: AnnealedActionNoise(gaussian()), lambda: None])
def test_the_same_seed_gives_the_same_weights(noise: Any) -> None:
    runs = [DDPG("MlpPolicy", "Pendulum-v1", action_noise=noise(), **SMALL | {"seed": 3}).learn(250) for _ in range(2)]
    other = DDPG("MlpPolicy", "Pendulum-v1", action_noise=noise(), **SMALL | {"seed": 4}).learn(250)
    assert same(*runs)
    assert not same(runs[0], other)


def test_training_equals_sb3s_bit_by_bit() -> None:
    # The whole matrix of parity is issue-sized; this is the guard that every change to the update meets first.
    pair = []
    for cls in (DDPG, stable_baselines3.DDPG):
        options = {**SMALL, "seed": 5, "batch_size": 100}
        extras: Any = {"update": "autograd"} if cls is DDPG else {}
        pair.append(cls("MlpPolicy", "Pendulum-v1", action_noise=gaussian(), **options, **extras).learn(400))
    assert same(*pair)


def test_save_and_load_keep_predictions_and_options(tmp_path: Path) -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", critic_learning_rate=2e-3, max_grad_norm=1.0, **SMALL).learn(60)
    model.save(tmp_path / "model")
    loaded = DDPG.load(tmp_path / "model", env=gym.make("Pendulum-v1"))
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_array_equal(model.predict(observations)[0], loaded.predict(observations)[0])
    assert (loaded.critic_learning_rate, loaded.max_grad_norm) == (2e-3, 1.0)
    loaded.learn(30, reset_num_timesteps=False)
    assert loaded.num_timesteps == 90
    assert loaded.critic.optimizer.param_groups[0]["lr"] == 2e-3


def test_sb3_loads_ours_and_we_load_sb3s(tmp_path: Path) -> None:
    observations = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    for writer, reader in ((DDPG, stable_baselines3.DDPG), (stable_baselines3.DDPG, DDPG)):
        model = writer("MlpPolicy", "Pendulum-v1", **SMALL).learn(40)
        model.save(tmp_path / "model")
        loaded = reader.load(tmp_path / "model")
        np.testing.assert_array_equal(model.predict(observations)[0], loaded.predict(observations)[0])


class Rates(BaseCallback):
    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[float, float]] = []

    def _on_rollout_start(self) -> None:
        model: Any = self.model
        self.seen.append((model.actor.optimizer.param_groups[0]["lr"], model.critic.optimizer.param_groups[0]["lr"]))

    def _on_step(self) -> bool:
        return True


def test_learning_rates_stay_apart_through_every_training() -> None:
    rates = Rates()
    DDPG(
        "MlpPolicy",
        "Pendulum-v1",
        learning_rate=1e-4,
        critic_learning_rate=lambda progress: 1e-3 * progress,
        **SMALL,
    ).learn(100, callback=rates)
    trained = rates.seen[30:]
    assert all(actor == 1e-4 for actor, _ in trained)
    # training after step n uses the progress that remains then
    np.testing.assert_allclose([critic for _, critic in trained], [1e-3 * (1 - n / 100) for n in range(30, 100)])


def test_without_a_rate_of_its_own_the_critic_follows_the_actors_schedule() -> None:
    rates = Rates()
    DDPG("MlpPolicy", "Pendulum-v1", learning_rate=lambda progress: 1e-3 * progress, **SMALL).learn(60, callback=rates)
    assert all(actor == critic for actor, critic in rates.seen[25:])


def test_weight_decay_shrinks_the_critic_only() -> None:
    def critic_and_actor_norms(decay: float) -> tuple[float, float]:
        model = DDPG("MlpPolicy", "Pendulum-v1", critic_weight_decay=decay, learning_rate=1e-2, **SMALL).learn(200)
        assert model.actor.optimizer.param_groups[0]["weight_decay"] == 0
        norms = [sum(p.norm().item() for p in net.parameters()) for net in (model.critic, model.actor)]
        return norms[0], norms[1]

    free, decayed = critic_and_actor_norms(0.0), critic_and_actor_norms(1.0)
    assert decayed[0] < 0.7 * free[0]


def test_output_init_bounds_the_last_layers_and_copies_them_to_the_targets() -> None:
    model: Any = DDPG("MlpPolicy", "Pendulum-v1", output_init=3e-3, **SMALL)
    default: Any = DDPG("MlpPolicy", "Pendulum-v1", **SMALL)
    for network, target in ((model.actor.mu, model.actor_target.mu), (model.critic.qf0, model.critic_target.qf0)):
        last = [layer for layer in network if isinstance(layer, th.nn.Linear)][-1]
        assert 0 < last.weight.abs().max() <= 3e-3
        assert 0 < last.bias.abs().max() <= 3e-3
        assert all(th.equal(a, b) for a, b in zip(network.parameters(), target.parameters(), strict=True))
    assert th.equal(model.actor.mu[0].weight, default.actor.mu[0].weight)
    assert default.actor.mu[2].weight.abs().max() > 0.1


def test_output_init_needs_linear_outputs() -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", **SMALL)
    model.policy.actor.mu = th.nn.Sequential(th.nn.Tanh())
    with pytest.raises(ValueError, match="end in a linear layer"):
        initialise_outputs(model.policy, 3e-3)


def test_targets_start_as_hard_copies() -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", **SMALL)
    for online, target in ((model.actor, model.actor_target), (model.critic, model.critic_target)):
        assert all(th.equal(a, b) for a, b in zip(online.parameters(), target.parameters(), strict=True))


@pytest.mark.parametrize("update", ["analytic", "autograd"])
def test_a_callback_may_change_tau_and_the_bound_on_gradients(update: Any) -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", update=update, **SMALL).learn(30)
    before = [parameter.clone() for parameter in model.actor.parameters()]
    model.tau, model.max_grad_norm = 1.0, 1e-12
    model.train(gradient_steps=1, batch_size=8)
    for online, target in zip(model.critic.parameters(), model.critic_target.parameters(), strict=True):
        th.testing.assert_close(online, target)
    model.tau, model.max_grad_norm = 0.0, None
    model.train(gradient_steps=1, batch_size=8)
    assert not th.equal(next(model.critic.parameters()), next(model.critic_target.parameters()))
    assert not th.equal(before[0], next(model.actor.parameters()))


def test_no_gradient_steps_change_nothing() -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", **SMALL).learn(30)
    before = weights(model)[0].clone()
    model.train(gradient_steps=0)
    assert th.equal(before, weights(model)[0])


@pytest.mark.parametrize(
    "options",
    [
        *({"critic_learning_rate": -1.0}, {"max_grad_norm": 0.0}, {"critic_weight_decay": -1}, {"output_init": 0.0}),
        *({"output_init": "a"}, {"parameter_noise": 0.2}, {"pre_tanh_penalty": [1]}, {"max_grad_norm": True}),
        *({"actor_weight_decay": -1e-9}, {"decoupled_weight_decay": 1e-2}, {"pre_tanh_penalty": -1e-5}),
    ],
)
def test_options_out_of_range_are_refused_by_name(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        DDPG("MlpPolicy", "Pendulum-v1", **options)


def test_an_unknown_update_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="update='magic' does not exist"):
        DDPG("MlpPolicy", "Pendulum-v1", update="magic")  # type: ignore[arg-type]


def test_time_limits_are_bootstrapped_and_the_true_last_observation_is_kept() -> None:
    model = DDPG("MlpPolicy", gym.make("Pendulum-v1", max_episode_steps=7), **SMALL).learn(15)
    buffer = model.replay_buffer
    assert isinstance(buffer, ReplayBuffer)
    assert buffer.dones[:15, 0].nonzero()[0].tolist() == [6, 13]
    terminated: Any = buffer.sample_batch(100)[3]
    assert terminated.sum() == 0
    # the next episode's first observation, which the VecEnv hands over, is not what followed the last action
    assert not np.array_equal(buffer.next_observations[6], buffer.observations[7])
    assert np.array_equal(buffer.next_observations[5], buffer.observations[6])


@pytest.mark.parametrize("n_envs", [1, 3])
def test_noise_hears_of_the_progress(n_envs: int) -> None:
    from stable_baselines3.common.env_util import make_vec_env

    noise = EpisodeScaledActionNoise(gaussian())
    env = make_vec_env(lambda: gym.make("Pendulum-v1", max_episode_steps=10), n_envs=n_envs)
    model = DDPG("MlpPolicy", env, action_noise=noise, **SMALL).learn(30 * n_envs + 1)
    told: Any = model.action_noise
    noises = told.noises if n_envs > 1 else [told]
    assert len(noises) == n_envs
    assert all(one.scale == 1 / (1 + 3 * n_envs) for one in noises)  # three episodes per env are over


class Clipped(ActionNoise):
    def __call__(self) -> np.ndarray[Any, Any]:
        return np.array([10.0], dtype=np.float32)


def test_the_stored_action_is_the_one_that_was_executed() -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", action_noise=Clipped(), **SMALL).learn(30)
    assert isinstance(model.replay_buffer, ReplayBuffer)
    assert (model.replay_buffer.actions[:30] == 1.0).all()


@pytest.mark.parametrize("options", [{"n_steps": 3}, {"optimize_memory_usage": True}, {"n_steps": 2, "gamma": 0.5}])
def test_n_steps_and_memory_saving_are_the_buffers_own(options: dict[str, Any]) -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", **SMALL | options).learn(40)
    buffer = model.replay_buffer
    assert type(buffer) is ReplayBuffer
    wanted = (options.get("n_steps", 1), "optimize_memory_usage" in options)
    assert (buffer.n_steps, buffer.optimize_memory_usage) == wanted
    assert buffer.n_steps == 1 or buffer.gamma == model.gamma
    assert model.n_steps == buffer.n_steps


def test_n_step_training_equals_sb3s_bit_by_bit() -> None:
    pair = []
    for cls in (DDPG, stable_baselines3.DDPG):
        options = {**SMALL, "seed": 5, "n_steps": 4, "buffer_size": 150, "batch_size": 100}
        env = gym.make("Pendulum-v1", max_episode_steps=30)
        extras: Any = {"update": "autograd"} if cls is DDPG else {}
        pair.append(cls("MlpPolicy", env, action_noise=gaussian(), **options, **extras).learn(250))
    assert same(*pair)


def test_memory_saving_does_not_change_the_training_nor_do_several_learns() -> None:
    pair = []
    for saving in (False, True):
        env = gym.make("Pendulum-v1", max_episode_steps=30)
        options = {**SMALL, "seed": 5, "n_steps": 3, "buffer_size": 80, "optimize_memory_usage": saving}
        model = DDPG("MlpPolicy", env, action_noise=gaussian(), **options)
        # the second begins in mid-episode; SB3 would warn here and make the last transition terminal
        model.learn(50).learn(30)
        buffer = model.replay_buffer
        assert isinstance(buffer, ReplayBuffer)
        terminated: Any = buffer.sample_batch(100)[3]
        assert not terminated.any()
        assert buffer.timeouts[:, 0].nonzero()[0].tolist() == [29, 49, 79]
        assert model.optimize_memory_usage is saving
        pair.append(model.learn(50, reset_num_timesteps=False))
    assert same(*pair)


def test_a_foreign_buffer_still_hears_that_n_steps_is_ignored() -> None:
    buffer_class = stable_baselines3.common.buffers.ReplayBuffer
    with pytest.warns(UserWarning, match="`n_steps=3` is ignored"):
        DDPG("MlpPolicy", "Pendulum-v1", n_steps=3, replay_buffer_class=buffer_class, **SMALL)


def test_an_n_step_zip_loads_here_and_in_sb3(tmp_path: Path) -> None:
    options: dict[str, Any] = {"n_steps": 3, "gamma": 0.9, "optimize_memory_usage": True}
    model = DDPG("MlpPolicy", "Pendulum-v1", **SMALL | options).learn(40)
    model.save(tmp_path / "model")
    loaded = DDPG.load(tmp_path / "model", env=gym.make("Pendulum-v1"))
    with pytest.warns(UserWarning, match="n_steps"):  # of any class but its own, also where it passes n_steps on
        theirs = stable_baselines3.DDPG.load(tmp_path / "model", env=gym.make("Pendulum-v1"))
    for one in (loaded, theirs):
        buffer = one.replay_buffer
        assert isinstance(buffer, ReplayBuffer)
        assert (buffer.n_steps, buffer.gamma, buffer.optimize_memory_usage) == (3, 0.9, True)
        one.learn(30)
    again = DDPG.load(tmp_path / "model", gamma=0.8)
    assert isinstance(again.replay_buffer, ReplayBuffer)
    assert again.replay_buffer.gamma == 0.8


class NumberedEnv(gym.Env[Any, Any]):
    """Observations of a Dict space that count up; each episode has its own hundred."""

    observation_space = spaces.Dict({"n": spaces.Box(-1, 1e6, (1,), np.float32), "level": spaces.Discrete(10)})
    action_space = spaces.Box(-1, 1, (1,), np.float32)
    episode = 0

    def observe(self) -> dict[str, Any]:
        return {"n": np.array([self.episode * 100 + self.steps], np.float32), "level": self.steps}

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self.episode, self.steps = self.episode + 1, 0
        return self.observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        ended = self.steps == 5 + self.episode % 4
        return self.observe(), 1.0, ended and self.episode % 2 == 0, ended and self.episode % 2 == 1, {}


@pytest.mark.parametrize("n_envs", [1, 2])
def test_dict_observations_go_with_every_option(n_envs: int) -> None:
    from stable_baselines3.common.env_util import make_vec_env

    env = make_vec_env(NumberedEnv, n_envs=n_envs)
    options: dict[str, Any] = {"n_steps": 3, "gamma": 0.5, "optimize_memory_usage": True, "buffer_size": 60}
    kwargs = {"priority_exponent": 0.6}
    model = DDPG("MultiInputPolicy", env, replay_buffer_kwargs=kwargs, **SMALL | options).learn(150)
    model.learn(53)
    assert model.replay_buffer is not None
    batch: Any = model.replay_buffer.sample(500)
    steps = batch.next_observations["n"] - batch.observations["n"]
    # sequences stay inside an episode, and sums and discounts tell their length
    assert set(steps.flatten().tolist()) == {1.0, 2.0, 3.0}
    np.testing.assert_array_equal(batch.discounts, 0.5**steps)
    np.testing.assert_array_equal(batch.rewards, 2 - 2 * 0.5**steps)
    np.testing.assert_array_equal(batch.next_observations["n"] % 100, batch.next_observations["level"])


@pytest.mark.parametrize("options", [{}, {"n_steps": 2, "optimize_memory_usage": True}])
def test_it_learns_the_identity_with_priorities(options: dict[str, Any], identity_env: Any) -> None:
    model = DDPG(
        "MlpPolicy",
        identity_env,
        learning_rate=5e-3,
        action_noise=gaussian(0.3),
        replay_buffer_kwargs={"priority_exponent": 0.6},
        **SMALL | {"policy_kwargs": {"net_arch": [16]}, "batch_size": 64} | options,
    ).learn(500)
    asked = np.linspace(-0.9, 0.9, 7, dtype=np.float32).reshape(-1, 1)
    answers, _ = model.predict(asked, deterministic=True)
    # always answering 0 is wrong by 0.51 on average
    assert np.abs(answers - asked).mean() < 0.15
    buffer = model.replay_buffer
    assert isinstance(buffer, ReplayBuffer)
    assert buffer.priorities is not None
    # the last training but one saw 1/500 of the way left, and every priority but the newest has been learned
    assert buffer.priorities.beta > 0.99
    assert len(np.unique(buffer.priorities.tree.weights[:500])) > 300
