"""What is found about a training is what is there, and finding it changes nothing."""

import math
from typing import Any

import numpy as np
import pytest
import torch as th
from helpers import SMALL, make_model
from stable_baselines3.common.logger import KVWriter, Logger
from torch import nn

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.diagnosis.diagnose import Diagnosis, dead_share, diagnose, realised_returns


class Recorder(KVWriter):
    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:
        self.rows.append({**key_values, "step": step})

    def close(self) -> None:
        pass


def test_returns_of_an_episode_that_ends_and_of_one_that_is_cut() -> None:
    rewards = np.array([[1.0, 1.0], [2.0, 1.0], [4.0, 1.0], [8.0, 1.0], [0.0, 1.0]])
    terminated = np.array([[0, 0], [0, 0], [1, 0], [0, 0], [0, 0]], bool)
    cut = np.array([[0, 0], [0, 0], [0, 0], [0, 0], [1, 1]], bool)
    returns, decided = realised_returns(rewards, terminated, cut, np.full((5, 2), 16.0), 0.5)
    # 4, 2 + 4/2, 1 + 4/2; behind: Q is 16, so 8 + 16/2.
    assert returns[:, 0].tolist() == [3.0, 4.0, 4.0, 16.0, 16.0]
    assert returns[:, 1].tolist() == [2.875, 3.75, 5.5, 9.0, 16.0]
    # Of what counts, 1/2 to the power of the distance is a prediction: a quarter after two steps.
    assert decided[:, 0].tolist() == [True, True, True, False, False]
    assert decided[:, 1].tolist() == [True, True, True, False, False]


def test_without_discount_only_episodes_that_end_are_known() -> None:
    ones, no = np.ones((4, 1)), np.zeros((4, 1), bool)
    end, cut = no.copy(), no.copy()
    end[1], cut[3] = True, True
    returns, decided = realised_returns(ones, end, cut, ones * 100, 1.0)
    assert decided.ravel().tolist() == [True, True, False, False]
    assert returns.ravel()[:2].tolist() == [2.0, 1.0]
    # A discount that vanishes within the window tells nothing rather than anything.
    long = np.ones((1000, 1))
    last = np.zeros((1000, 1), bool)
    last[-1] = True
    returns, decided = realised_returns(long, last, ~last & last, long, 0.3)
    assert np.isfinite(returns[decided]).all()


def test_dead_units_are_counted() -> None:
    network = nn.Sequential(nn.Linear(1, 4), nn.ReLU(), nn.Linear(4, 1))
    with th.no_grad():
        network[0].weight.copy_(th.tensor([[1.0], [-1.0], [1.0], [0.0]]))  # type: ignore[operator]
        network[0].bias.copy_(th.tensor([0.0, 0.0, -5.0, -1.0]))  # type: ignore[operator]
    # x = 1 and -1: the first two fire once each, the others never.
    assert dead_share(network, th.tensor([[1.0], [-1.0]])) == 0.5
    assert math.isnan(dead_share(nn.Sequential(nn.Linear(1, 1), nn.Tanh()), th.ones(1, 1)))


def test_saturation_and_overestimation_of_a_model_that_has_both() -> None:
    model = make_model().learn(450)
    with th.no_grad():
        model.actor.mu[-2].bias.fill_(100.0)  # its tanh has no slope left
        model.critic.q_networks[0][-1].bias.fill_(1000.0)  # Pendulum's returns are below 0
        model.critic.q_networks[0][-1].weight.zero_()
    found = diagnose(model)
    assert found is not None
    assert found.saturated_actions == 1.0
    assert found.q_spread == 0.0
    assert found.q_predicted == pytest.approx(1000.0)
    assert found.q_realised < 250.0  # a quarter of what counts may be a prediction
    assert found.overestimation == pytest.approx(found.q_predicted - found.q_realised)


@pytest.mark.parametrize(("update", "steps"), [("autograd", 400), ("analytic", 400), ("compiled", 1400)])
def test_it_is_logged_and_changes_nothing(update: str, steps: int, monkeypatch: pytest.MonkeyPatch) -> None:
    if update == "compiled":
        pytest.importorskip("numba")
    recorder = Recorder()
    model = DDPG("MlpPolicy", "Pendulum-v1", update=update, **SMALL)  # type: ignore[arg-type]
    model.set_logger(Logger(None, [recorder]))
    model.learn(steps, log_interval=1)
    logged = [row for row in recorder.rows if "diagnosis/saturated_actions" in row]
    assert [row["step"] for row in logged] == [200, 1200][: 1 + (steps > 1200)]
    assert {f"diagnosis/{name}" for name in Diagnosis._fields} <= logged[-1].keys()
    monkeypatch.setattr("sb3_ddpg_custom.diagnosis.diagnose.diagnose", lambda model: None)
    other = DDPG("MlpPolicy", "Pendulum-v1", update=update, **SMALL)  # type: ignore[arg-type]
    other.learn(steps, log_interval=1)
    for one, two in zip(model.policy.parameters(), other.policy.parameters(), strict=True):
        assert th.equal(one, two)


def test_networks_that_may_draw_are_left_alone() -> None:
    model = make_model().learn(250)
    assert diagnose(model) is not None
    model.actor.mu.insert(1, nn.Dropout(0.5))
    assert diagnose(model) is None
    model.actor.mu[1] = nn.Identity()
    assert diagnose(model) is not None
    handle = model.critic.register_forward_hook(lambda *_: None)
    assert diagnose(model) is None
    handle.remove()
    model.actor.forward = model.actor.forward
    assert diagnose(model) is None


def test_dicts_images_and_several_envs() -> None:
    from stable_baselines3.common.env_util import make_vec_env
    from stable_baselines3.common.envs import FakeImageEnv, SimpleMultiObsEnv

    images = make_model(FakeImageEnv(screen_height=40, screen_width=40, discrete=False), "CnnPolicy").learn(60)
    assert diagnose(images) is not None
    parts = make_model(SimpleMultiObsEnv(discrete_actions=False), "MultiInputPolicy").learn(60)
    assert diagnose(parts) is not None
    several = make_model(make_vec_env("Pendulum-v1", 3), gamma=0.9).learn(900)
    found = diagnose(several)
    assert found is not None
    assert math.isfinite(found.q_predicted)
