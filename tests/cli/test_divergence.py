"""Updates that come out as no numbers end a training with what is good, or take it back to there."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers import Ddpg, make_model

from sb3_ddpg_custom.checkpoint import read_checkpoint
from sb3_ddpg_custom.updates import UpdateStatistics
from sb3_ddpg_custom.updates.divergence import NonFiniteUpdateError
from sb3_ddpg_custom.updates.statistics_log import summary as means

QUICK = ("--set=learning_starts=20", "--set=batch_size=16", "--set=policy_kwargs.net_arch=[16,16]", "--seed=7")


class Exploding(gym.Env[Any, Any]):
    """Rewards that float32 holds, and whose squares it does not, from a step on."""

    observation_space = gym.spaces.Box(-1, 1, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)
    steps = 0

    def __init__(self, bad_from: int = 70) -> None:
        self.bad_from = bad_from

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        super().reset(seed=seed)
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), {}

    def step(self, action: Any) -> Any:
        del action
        Exploding.steps += 1
        reward = -1e30 if Exploding.steps >= self.bad_from else -1.0
        return self.np_random.uniform(-1, 1, 2).astype(np.float32), reward, False, False, {}


@pytest.fixture
def exploding(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def register(**kwargs: int) -> None:
        Exploding.steps = 0
        spec = gym.envs.registration.EnvSpec(
            "Exploding-v0", lambda **_: Exploding(**kwargs), max_episode_steps=20, disable_env_checker=True
        )
        monkeypatch.setitem(gym.registry, "Exploding-v0", spec)

    return register


def test_it_stops_and_keeps_the_batch(ddpg: Ddpg, exploding: Callable[..., None], tmp_path: Path) -> None:
    exploding()
    options = ("--steps", 300, "--eval-every", 1000, "--eval-episodes", 1, "--checkpoint-every", 10, "--out", tmp_path)
    error = ddpg("train", "Exploding-v0", *options, *QUICK, code=1).stderr.splitlines()[-1]
    assert "critic_loss is inf" in error
    assert "the batch has rewards of size 1.0e+30; scale them, or normalise" in error
    run = tmp_path / "Exploding-v0" / "1"
    (kept,) = run.glob("diverged-*.npz")
    with np.load(kept) as batch:
        assert batch["rewards"].min() == np.float32(-1e30)
        assert batch["observations"].shape == (16, 2)
    assert not list(run.glob("**/step_*.zip"))
    # What is on the disk is what was good.
    assert "from step 70 on" in ddpg("resume", run, code=1).stderr


def test_it_goes_back_and_on_with_smaller_steps(
    ddpg: Ddpg, exploding: Callable[..., None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    exploding(bad_from=10**9)
    trainings = 0

    def summary(statistics: Any) -> UpdateStatistics:
        nonlocal trainings
        trainings += 1
        return means(statistics)._replace(critic_loss=np.inf if trainings == 50 else 1.0)

    monkeypatch.setattr("sb3_ddpg_custom.ddpg.summary", summary)
    options = ("--steps", 150, "--eval-every", 1000, "--eval-episodes", 1, "--checkpoint-every", 10, "--out", tmp_path)
    printed = ddpg("train", "Exploding-v0", *options, *QUICK, "--on-divergence", "rollback:2")
    assert "back to the last checkpoint, with 0.5 of the learning rates" in printed.stderr
    run = tmp_path / "Exploding-v0" / "1"
    assert read_checkpoint(run / "final.zip").attributes["num_timesteps"] == 150
    rates = {group["lr"] for group in read_checkpoint(run / "final.zip").parameters["actor.optimizer"]["param_groups"]}
    assert rates == {5e-4}


def test_it_goes_back_so_many_times_only(ddpg: Ddpg, exploding: Callable[..., None], tmp_path: Path) -> None:
    exploding()
    options = ("--steps", 300, "--eval-every", 1000, "--eval-episodes", 1, "--checkpoint-every", 10, "--out", tmp_path)
    printed = ddpg("train", "Exploding-v0", *options, *QUICK, "--on-divergence", "rollback", code=1).stderr
    assert printed.count("back to the last checkpoint") == 3
    assert "with 0.125 of the learning rates" in printed
    assert printed.splitlines()[-1].startswith("ddpg: training stopped at step")


@pytest.mark.parametrize("text", ["", "go", "rollback:0", "rollback:", "rollback:x", "stop:2"])
def test_what_the_option_takes(ddpg: Ddpg, tmp_path: Path, text: str) -> None:
    error = ddpg("train", "pendulum", "--out", tmp_path, "--on-divergence", text, code=2).stderr
    assert "is neither stop, rollback nor such as rollback:5" in error


@pytest.mark.parametrize("update", ["auto", "analytic", "autograd"])
def test_from_python_it_raises_where_it_is_asked_to(update: str) -> None:
    model = make_model(Exploding(bad_from=0), update=update)
    model.stops_at_non_finite = True
    with pytest.raises(NonFiniteUpdateError, match=r"critic_loss is inf.*rewards of size"):
        model.learn(60)
    # It was left out, and all that would have followed.
    assert all(bool(tensor.isfinite().all()) for tensor in model.policy.state_dict().values())
    as_sb3 = make_model(gym.wrappers.TimeLimit(Exploding(bad_from=0), 20), update=update).learn(60)
    assert not np.isfinite(as_sb3.last_update.critic_loss)
