"""Each rule says something of what is wrong, and nothing of what is only close to it."""

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_ddpg_custom.diagnosis import rules as rules_module
from sb3_ddpg_custom.diagnosis.facts import Curve, Facts
from sb3_ddpg_custom.diagnosis.rules import RULES, findings, seeds_disagree

STEPS = np.arange(1000, 31_000, 1000)
#: a training of 30,000 steps that learned: from about -100 to about 0, in episodes of 100 to 200 steps
EVALUATED = np.concatenate([np.linspace(-100, 0, 15), np.zeros(15)])


def facts(curves: dict[str, float] | None = None, **given: Any) -> Facts:
    """Give the facts of a healthy training, with what a test says in their place."""
    ends = np.arange(150, 30_001, 150)
    returns = np.concatenate([np.full(50, -100.0) + 5 * (-1.0) ** np.arange(50), np.linspace(-100, -2, 150)])
    healthy: dict[str, Any] = {
        "settings": {"noise_type": "normal", "noise_std": 0.1, "learning_starts": 1000, "n_timesteps": 30_000},
        "steps": 30_000,
        "evaluations": STEPS,
        "evaluation_returns": EVALUATED[:, None] + np.array([-1.0, 1.0]),
        "episode_steps": ends,
        "episode_returns": returns,
        "episode_lengths": np.where(np.arange(200) % 2, 100, 200),
    }
    values = {
        "train/q_mean": -5.0,
        "diagnosis/q_predicted": -4.0,
        "diagnosis/q_realised": -5.0,
        "diagnosis/q_spread": 3.0,
        "diagnosis/saturated_actions": 0.3,
        "diagnosis/dead_units_actor": 0.3,
        "diagnosis/dead_units_critic": 0.3,
        "diagnosis/exploration": 0.1,
        "diagnosis/largest_input": 2.0,
        "diagnosis/terminated": 1.0,
        **(curves or {}),
    }
    made = {tag: Curve(STEPS, np.full(30, value)) for tag, value in values.items()}
    return Facts(**{**healthy, "curves": made, **given})


def rules_of(found: Facts) -> list[str]:
    return [finding.rule for finding in findings(found)]


def test_nothing_is_said_of_a_healthy_training_nor_of_none_at_all() -> None:
    assert rules_of(facts()) == []
    assert rules_of(Facts()) == []
    assert rules_of(Facts(steps=10, settings={"noise_type": "normal", "noise_std": 0.1})) == []


SETTINGS = facts().settings
FLAT = np.full((30, 2), -100.0)


@pytest.mark.parametrize(
    ("rule", "wrong", "close"),
    [
        # Rewards of at most 105 an episode of at least 100 steps add up to 105 / 100 / (1 - 0.99) = 105.
        ("critic-diverges", {"curves": {"train/q_mean": 316.0}}, {"curves": {"train/q_mean": 314.0}}),
        ("critic-diverges", {"curves": {"train/q_mean": -316.0}}, {"curves": {"train/q_mean": float("nan")}}),
        # -5 came of it: half as much and the spread of 3 above it is 0.5.
        ("q-overestimates", {"curves": {"diagnosis/q_predicted": 0.6}}, {"curves": {"diagnosis/q_predicted": 0.4}}),
        (
            "tanh-saturates",
            {
                "curves": {"diagnosis/saturated_actions": 0.95},
                "evaluation_returns": FLAT + EVALUATED[::-1, None] / 10,
                "episode_returns": -100 + 5 * (-1.0) ** np.arange(200),
            },
            {"curves": {"diagnosis/saturated_actions": 1.0}},  # and it has learned
        ),
        (
            "tanh-saturates",
            {
                "curves": {"diagnosis/saturated_actions": 1.0},
                "evaluation_returns": FLAT,
                "episode_returns": np.full(200, -100.0),
            },
            # It had learned before it was first evaluated.
            {
                "curves": {"diagnosis/saturated_actions": 1.0},
                "evaluation_returns": FLAT,
                "episode_returns": np.concatenate([np.full(5, -101.0), np.full(195, -100.0)]),
            },
        ),
        ("units-die", {"curves": {"diagnosis/dead_units_critic": 0.9}}, {}),
        (
            "units-die",
            {"curves": {"diagnosis/dead_units_actor": 0.9}},
            {"curves": {"diagnosis/dead_units_actor": 0.89}},
        ),
        ("nothing-explores", {"settings": {**SETTINGS, "noise_type": None}}, {"settings": {}}),
        ("nothing-explores", {"settings": {**SETTINGS, "noise_std": 0.0}}, {}),
        ("nothing-explores", {"curves": {"diagnosis/exploration": 0.009}}, {"curves": {"diagnosis/exploration": 0.01}}),
        ("observations-out-of-scale", {"curves": {"diagnosis/largest_input": 10.1}}, {}),
        ("learning-never-starts", {"settings": {**SETTINGS, "learning_starts": 30_000}}, {}),
        ("learning-never-starts", {"evaluation_returns": FLAT + 1}, {"evaluation_returns": FLAT + 9}),
        (
            "time-limit-is-terminal",
            {"episode_lengths": np.full(200, 150)},
            {"episode_lengths": np.full(200, 150), "curves": {"diagnosis/terminated": 0.9}},
        ),
        # Training ends at about -35 in the mean; the middle nine tenths of it are 97 wide.
        ("evaluations-differ", {"evaluation_returns": FLAT - 40}, {"evaluation_returns": FLAT + 20}),
        ("replay-ratio-is-off", {"settings": {**SETTINGS, "train_freq": 11}}, {"settings": {"train_freq": 10}}),
        ("replay-ratio-is-off", {"settings": {**SETTINGS, "gradient_steps": 11, "n_envs": 1}}, {}),
        ("replay-ratio-is-off", {"settings": {**SETTINGS, "n_envs": 16}}, {"settings": {"gradient_steps": -1}}),
        (
            "forgets",
            {"evaluation_returns": np.concatenate([EVALUATED[:25], np.full(5, -40.0)])[:, None] + [-1.0, 1.0]},
            {"evaluation_returns": np.concatenate([EVALUATED[:25], np.full(5, -20.0)])[:, None] + [-1.0, 1.0]},
        ),
    ],
)
def test_a_rule_at_its_threshold(rule: str, wrong: dict[str, Any], close: dict[str, Any]) -> None:
    assert rule in rules_of(facts(**wrong))
    assert rule not in rules_of(facts(**close))


@pytest.mark.parametrize(("factor", "fires"), [(150.0, False), (1500.0, True), (1e-3, True), (0.0, False)])
def test_the_scale_of_rewards(factor: float, fires: bool) -> None:
    # About 0.15 a step in the median of the late episodes.
    assert ("rewards-out-of-scale" in rules_of(facts(episode_returns=facts().episode_returns * factor))) is fires


def test_every_rule_has_its_row_in_the_docs() -> None:
    page = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text("utf-8")
    in_code = set(re.findall(r'^        "([a-z-]+)",$', Path(rules_module.__file__).read_text("utf-8"), re.MULTILINE))
    in_code |= set(re.findall(r'^ {16}"([a-z-]+)",$', Path(rules_module.__file__).read_text("utf-8"), re.MULTILINE))
    assert len(in_code) == len(RULES) + 1
    assert set(re.findall(r"^\| `([a-z-]+)` \|", page, re.MULTILINE)) == in_code


def test_seeds() -> None:
    gains = np.full(3, 100.0)
    assert seeds_disagree(np.array([0.0, 40.0, 51.0]), gains) is not None
    assert seeds_disagree(np.array([0.0, 40.0, 49.0]), gains) is None
    assert seeds_disagree(np.array([0.0, 90.0]), gains[:2]) is None
    assert seeds_disagree(np.zeros(3), np.zeros(3)) is None


def test_the_gravest_comes_first_with_advice_and_source() -> None:
    assert len(RULES) == 12
    wrong = facts(
        {"train/q_mean": 1e4, "diagnosis/q_predicted": 1e4, "diagnosis/largest_input": 1e3},
        settings={"noise_type": None, "learning_starts": 1000, "n_timesteps": 30_000, "train_freq": 100},
        evaluation_returns=FLAT,
    )
    said = findings(wrong)
    assert [one.rule for one in said][:3] == ["critic-diverges", "learning-never-starts", "nothing-explores"]
    assert all(one.advice and one.source for one in said)
