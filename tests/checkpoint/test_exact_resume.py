"""k steps, a kill and a resume equal an uninterrupted training, to the last bit of everything that it is made of."""

import random
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
import torch as th
from helpers import make_model
from stable_baselines3 import SAC, TD3, HerReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.monitor import Monitor
from stable_baselines3.common.noise import NormalActionNoise, OrnsteinUhlenbeckActionNoise
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv, VecFrameStack, VecMonitor, VecNormalize

from sb3_ddpg_custom import AnnealedActionNoise, ParameterNoise
from sb3_ddpg_custom.checkpoint.beside import PlainState
from sb3_ddpg_custom.checkpoint.exact import ExactCheckpoint, ResumeError, restore
from sb3_ddpg_custom.wrappers import EpisodeReplayer

TOTAL, KILLED_AT = 400, 271


class KilledError(Exception):
    pass


class Kill(BaseCallback):
    def __init__(self, at: int = KILLED_AT) -> None:
        super().__init__()
        self.at = at

    def _on_step(self) -> bool:
        if self.num_timesteps >= self.at:
            raise KilledError
        return True


def single(env_id: str = "Pendulum-v1", **kwargs: Any) -> gym.Env[Any, Any]:
    return EpisodeReplayer(Monitor(gym.make(env_id, **kwargs)))


def envs(n_envs: int = 1, **kwargs: Any) -> Any:
    return make_vec_env("Pendulum-v1", n_envs, wrapper_class=EpisodeReplayer, env_kwargs=kwargs)


def everything(model: Any) -> dict[str, Any]:
    """All that could differ, as bytes and numbers."""
    seen = {f"policy {name}": tensor.numpy().tobytes() for name, tensor in model.policy.state_dict().items()}
    for name in ("actor", "critic"):
        states = getattr(model.policy, name).optimizer.state_dict()["state"].values()
        for place, state in enumerate(states):
            seen |= {f"{name} {place} {key}": value.numpy().tobytes() for key, value in state.items()}
    buffer = model.replay_buffer
    filled = buffer.size()
    for name in ("observations", "next_observations", "actions", "rewards", "dones", "timeouts"):
        array = getattr(buffer, name, None)
        parts = array if isinstance(array, dict) else {"": array}
        seen |= {f"buffer {name} {key}": part[:filled].tobytes() for key, part in parts.items() if part is not None}
    if getattr(buffer, "priorities", None) is not None:
        seen["priorities"] = buffer.priorities.tree.weights.tobytes(), buffer.priorities.largest
    if getattr(buffer, "final_observations", None) is not None:
        seen["finals"] = (
            buffer.final_observations.rows.tobytes(),
            buffer.views.get("final_slots", np.empty(0)).tobytes(),
        )
    last: Any = model._last_obs
    seen["last observation"] = [part.tobytes() for part in (last.values() if isinstance(last, dict) else [last])]
    seen["episodes"] = [(one["r"], one["l"]) for one in model.ep_info_buffer]
    seen["counts"] = model.num_timesteps, model._n_updates, model._episode_num, buffer.pos, buffer.full
    seen["random"] = random.random(), np.random.random(), float(th.rand(())), model.action_space.sample().tobytes()
    if model.get_vec_normalize_env() is not None:
        normalize = model.get_vec_normalize_env()
        seen["normalize"] = normalize.ret_rms.var, normalize.obs_rms.mean.tobytes(), normalize.returns.tobytes()
    if getattr(model, "parameter_noise", None) is not None:
        seen["parameter noise"] = model.parameter_noise.std
    return seen


def assert_resumes_exactly(
    make: Callable[[], Any], folder: Path, *, every: int = 60, killed_at: int = KILLED_AT
) -> Any:
    theirs = everything(ExactCheckpoint(folder / "whole", every_steps=10**9).learn(make(), TOTAL))
    with pytest.raises(KilledError):
        ExactCheckpoint(folder / "killed", every_steps=every).learn(make(), TOTAL, Kill(killed_at))
    callback = ExactCheckpoint(folder / "killed", every_steps=every)
    resumed = callback.learn(make(), TOTAL)
    assert callback.inexact_because is None
    ours = everything(resumed)
    assert [name for name in theirs if ours[name] != theirs[name]] == []
    return resumed


def noise(sigma: float = 0.2) -> NormalActionNoise:
    return NormalActionNoise(np.zeros(1), sigma * np.ones(1))


CASES: dict[str, Callable[[], Any]] = {
    "plain": lambda: make_model(single()),
    "normal noise": lambda: make_model(single(), action_noise=noise()),
    "three envs": lambda: make_model(envs(n_envs=3), action_noise=noise()),
    "OU noise": lambda: make_model(
        envs(n_envs=2), action_noise=OrnsteinUhlenbeckActionNoise(np.zeros(1), 0.2 * np.ones(1))
    ),
    "annealed noise": lambda: make_model(single(), action_noise=AnnealedActionNoise(noise())),
    "parameter noise": lambda: make_model(envs(n_envs=2), parameter_noise=ParameterNoise(0.2, adapt_every_steps=10)),
    "VecNormalize": lambda: make_model(VecNormalize(envs(n_envs=2))),
    "frames": lambda: make_model(VecFrameStack(envs(), 3)),
    "frames, normalised": lambda: make_model(VecNormalize(VecFrameStack(envs(n_envs=2), 2))),
    "VecMonitor": lambda: make_model(VecMonitor(DummyVecEnv([lambda: EpisodeReplayer(gym.make("Pendulum-v1"))] * 2))),
    "n-step": lambda: make_model(single(max_episode_steps=30), n_steps=3),
    "memory saving": lambda: make_model(single(max_episode_steps=30), optimize_memory_usage=True, buffer_size=150),
    "priorities": lambda: make_model(
        single(max_episode_steps=30), replay_buffer_kwargs={"priority_exponent": 0.6}, buffer_size=150
    ),
    "all of them": lambda: make_model(
        VecNormalize(envs(n_envs=2, max_episode_steps=25)),
        n_steps=2,
        optimize_memory_usage=True,
        replay_buffer_kwargs={"priority_exponent": 0.6},
        buffer_size=120,
        action_noise=noise(),
    ),
    "ring come round": lambda: make_model(single(), buffer_size=90),
    "several updates": lambda: make_model(envs(n_envs=2), train_freq=4, gradient_steps=-1),
    "whole episodes": lambda: make_model(single(max_episode_steps=25), train_freq=(1, "episode"), gradient_steps=10),
    "schedule": lambda: make_model(single(), learning_rate=lambda progress: 1e-3 * progress, critic_learning_rate=2e-3),
    "decoupled weight decay": lambda: make_model(
        single(), actor_weight_decay=0.1, critic_weight_decay=0.3, decoupled_weight_decay=True
    ),
    "AdamW": lambda: make_model(single(), policy_kwargs={"optimizer_class": th.optim.AdamW}),
    "pre-tanh penalty": lambda: make_model(single(), pre_tanh_penalty=0.5),
    "autograd": lambda: make_model(single(), update="autograd", train_freq=4),
    "by hand": lambda: make_model(single(), update="analytic"),
    "layer norm": lambda: make_model(single(), policy_kwargs={"layer_norm": "both"}),
    "layer norm through autograd": lambda: make_model(
        single(), policy_kwargs={"layer_norm": "critic"}, update="autograd", train_freq=4
    ),
    "normalised in the policy": lambda: make_model(
        envs(n_envs=2, max_episode_steps=25), policy_kwargs={"normalize_observations": True}, action_noise=noise()
    ),
    "normalised in the policy, autograd": lambda: make_model(
        single(), policy_kwargs={"normalize_observations": True}, update="autograd", train_freq=4
    ),
    "batch norm, own networks": lambda: make_model(single(), policy_kwargs={"activation_fn": th.nn.Tanh}),
}


@pytest.mark.parametrize("case", CASES)
def test_it_goes_on_exactly(case: str, tmp_path: Path) -> None:
    assert_resumes_exactly(CASES[case], tmp_path)


@pytest.mark.parametrize(
    ("env_id", "needs"),
    [
        ("MountainCarContinuous-v0", "gymnasium"),
        ("LunarLanderContinuous-v3", "Box2D"),
        ("BipedalWalker-v3", "Box2D"),
        ("HalfCheetah-v5", "mujoco"),
        ("Hopper-v5", "mujoco"),
    ],
)
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_every_simulator_goes_on_exactly(env_id: str, needs: str, tmp_path: Path) -> None:
    if find_spec(needs) is None:
        pytest.skip(f"{needs} is not installed")
    assert_resumes_exactly(lambda: make_model(single(env_id)), tmp_path)


def test_subprocesses(tmp_path: Path) -> None:
    made: list[Any] = []

    def make() -> Any:
        made.append(make_vec_env("Pendulum-v1", 2, wrapper_class=EpisodeReplayer, vec_env_cls=SubprocVecEnv))
        return make_model(made[-1], action_noise=noise())

    try:
        assert_resumes_exactly(make, tmp_path)
    finally:
        for env in made:
            env.close()


class Goal(gym.Env[Any, Any]):
    """Reach a goal on a line; the goal stays where the last but one was."""

    def __init__(self) -> None:
        box = gym.spaces.Box(-10, 10, (1,), np.float32)
        self.observation_space = gym.spaces.Dict({"observation": box, "achieved_goal": box, "desired_goal": box})
        self.action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
        self.goals = [0.5, -0.5]

    def _observe(self) -> dict[str, Any]:
        place = np.array([self.place], np.float32)
        return {"observation": place, "achieved_goal": place, "desired_goal": np.array([self.goals[0]], np.float32)}

    def compute_reward(self, achieved: Any, desired: Any, infos: Any) -> Any:
        del infos
        return -(np.abs(achieved - desired)[..., 0] > 0.1).astype(np.float32)

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        self.place, self.steps = 0.0, 0
        self.goals = [self.goals[1], float(self.np_random.uniform(-1, 1))]  # what only replaying attributes brings back
        return self._observe(), {}

    def step(self, action: Any) -> Any:
        self.place += 0.2 * float(action[0])
        self.steps += 1
        observed = self._observe()
        reward = float(self.compute_reward(observed["achieved_goal"], observed["desired_goal"], {}))
        return observed, reward, False, self.steps >= 20, {}


@pytest.mark.parametrize("buffer_size", [110, 200_000])
def test_hindsight_and_state_that_outlives_episodes(buffer_size: int, tmp_path: Path) -> None:
    assert_resumes_exactly(
        lambda: make_model(
            EpisodeReplayer(Monitor(Goal())),
            "MultiInputPolicy",
            replay_buffer_class=HerReplayBuffer,
            learning_starts=50,
            buffer_size=buffer_size,
        ),
        tmp_path,
    )
    states = [*tmp_path.glob("*/state-*.zip")]
    assert states
    assert max(path.stat().st_size for path in states) < 100_000  # what the buffer holds, and not what it could


@pytest.mark.parametrize("algorithm", [TD3, SAC])
def test_sb3s_own_algorithms_go_on_exactly_too(algorithm: Any, tmp_path: Path) -> None:
    def make() -> Any:
        small = {"policy_kwargs": {"net_arch": [8]}, "learning_starts": 20, "batch_size": 8, "buffer_size": 300}
        return algorithm("MlpPolicy", envs(n_envs=2), seed=1, device="cpu", **small)

    whole = ExactCheckpoint(tmp_path / "whole", every_steps=10**9).learn(make(), TOTAL)
    with pytest.raises(KilledError):
        ExactCheckpoint(tmp_path / "killed", every_steps=60).learn(make(), TOTAL, Kill())
    resumed = ExactCheckpoint(tmp_path / "killed", every_steps=60).learn(make(), TOTAL)
    for name, tensor in whole.policy.state_dict().items():
        assert th.equal(tensor, resumed.policy.state_dict()[name]), name
    np.testing.assert_array_equal(whole.replay_buffer.rewards, resumed.replay_buffer.rewards)


@pytest.mark.parametrize("killed_at", [1, 59, 60, 61, 119, 399])
def test_whenever_it_is_killed(killed_at: int, tmp_path: Path) -> None:
    assert_resumes_exactly(CASES["all of them"], tmp_path, killed_at=killed_at)


def test_killed_again_and_again(tmp_path: Path) -> None:
    make = CASES["priorities"]
    whole = everything(ExactCheckpoint(tmp_path / "whole", every_steps=10**9).learn(make(), TOTAL))
    for at in range(50, TOTAL, 70):
        with pytest.raises(KilledError):
            ExactCheckpoint(tmp_path / "killed", every_steps=20).learn(make(), TOTAL, Kill(at))
    resumed = ExactCheckpoint(tmp_path / "killed", every_steps=20).learn(make(), TOTAL)
    assert everything(resumed) == whole


def test_the_same_call_again_does_nothing(tmp_path: Path) -> None:
    ExactCheckpoint(tmp_path / "run").learn(make_model(single()), 60)
    model = ExactCheckpoint(tmp_path / "run").learn(make_model(single()), 60)
    assert model.num_timesteps == 60
    assert model._n_updates == 40


class Drifting(gym.Wrapper[Any, Any, Any, Any]):
    """Its observations depend on how often this process has stepped: it cannot be replayed."""

    drift = 0.0

    def step(self, action: Any) -> Any:
        Drifting.drift += 1e-3
        observation, *rest = self.env.step(action)
        return observation + np.float32(Drifting.drift), *rest


def test_an_env_that_is_not_deterministic_is_named_and_goes_on(tmp_path: Path, caplog: Any) -> None:
    def make() -> Any:
        return make_model(EpisodeReplayer(Monitor(Drifting(gym.make("Pendulum-v1")))))

    with pytest.raises(KilledError):
        ExactCheckpoint(tmp_path, every_steps=60).learn(make(), TOTAL, Kill())
    callback = ExactCheckpoint(tmp_path, every_steps=60)
    assert callback.learn(make(), TOTAL).num_timesteps == TOTAL
    assert callback.inexact_because == (
        "env 0 is not deterministic: its episode came out otherwise when it was played again; all episodes begin anew"
    )
    assert callback.inexact_because in caplog.text
    manifest, _ = callback.store.newest()
    assert manifest is not None
    assert manifest.facts["exact"] is False


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"gamma": 0.9}, "gamma is 0.9 here and was 0.99"),
        ({"buffer_size": 100}, "buffer_size is 100 here and was 500"),
        ({"policy_kwargs": {"net_arch": [5]}}, "policy_kwargs is"),
        ({"n_steps": 2}, "n_steps is 2 here and was 1"),
        ({"train_freq": 2}, "train_freq"),
        ({"action_noise": NormalActionNoise(np.zeros(1), np.ones(1))}, "action_noise is NormalActionNoise"),
        ({"parameter_noise": ParameterNoise(0.1)}, "parameter_noise is ParameterNoise"),
        ({"policy_kwargs": {"activation_fn": th.nn.Tanh}}, "policy_kwargs is"),
        ({"action_bounds": (-1, 1)}, r"action_bounds is \[-1, 1\] here and was None"),
    ],
)
def test_another_model_is_refused(settings: dict[str, Any], named: str, tmp_path: Path) -> None:
    ExactCheckpoint(tmp_path).learn(make_model(single()), 60)
    with pytest.raises(ResumeError, match=named):
        restore(make_model(single(), **settings), ExactCheckpoint(tmp_path))


def test_envs_in_other_wrappers_are_refused(tmp_path: Path) -> None:
    ExactCheckpoint(tmp_path).learn(make_model(single()), 60)
    with pytest.raises(ResumeError, match="the envs are in VecFrameStack, and were in none"):
        restore(make_model(VecFrameStack(envs(), 1)), ExactCheckpoint(tmp_path))


def test_what_a_callback_has_annealed_stays_so(tmp_path: Path) -> None:
    class Anneal(BaseCallback):
        def _on_step(self) -> bool:
            self.model.tau = 0.5 / (1 + self.num_timesteps)  # type: ignore[attr-defined]
            return True

    def learn(folder: str, *others: BaseCallback) -> Any:
        return ExactCheckpoint(tmp_path / folder, every_steps=50).learn(
            make_model(single()), TOTAL, [*others, Anneal()]
        )

    whole = everything(learn("whole"))
    with pytest.raises(KilledError):
        learn("killed", Kill())
    assert everything(learn("killed")) == whole


def test_a_callbacks_counters_go_on(tmp_path: Path) -> None:
    class Odd(BaseCallback):
        """Changes the training at every seventh call."""

        def _on_step(self) -> bool:
            if self.n_calls % 7 == 0:
                self.model.gamma = 1 - 1 / (2 + self.n_calls)  # type: ignore[attr-defined]
            return True

    def learn(folder: str, *others: BaseCallback) -> Any:
        odd = Odd()
        checkpoint = ExactCheckpoint(tmp_path / folder, every_steps=50, also={"odd": PlainState(odd)})
        return checkpoint.learn(make_model(single()), TOTAL, [*others, odd])

    whole = everything(learn("whole"))
    with pytest.raises(KilledError):
        learn("killed", Kill())
    assert everything(learn("killed")) == whole


def test_a_folder_without_checkpoints_restores_nothing(tmp_path: Path) -> None:
    assert restore(make_model(single()), ExactCheckpoint(tmp_path)) is None


def test_a_restored_model_is_saved_as_any_other(tmp_path: Path) -> None:
    """Its zip used to hold what the next ``learn`` had to put back, and trained nothing when it was loaded."""
    ExactCheckpoint(tmp_path / "run").learn(make_model(single()), 60)
    model = ExactCheckpoint(tmp_path / "run").learn(make_model(single()), 60)
    model.save(tmp_path / "model")
    loaded = type(model).load(tmp_path / "model", env=single())
    assert loaded.learn(100)._n_updates == model._n_updates + 80


def test_without_a_replayer_it_says_so(tmp_path: Path, caplog: Any) -> None:
    callback = ExactCheckpoint(tmp_path)
    callback.learn(make_model(gym.make("Pendulum-v1")), 60)
    assert "the envs are not in an EpisodeReplayer" in caplog.text
    assert "EpisodeReplayer" in str(callback.inexact_because)
