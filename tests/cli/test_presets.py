"""Settings under a name, from Python and from every command that takes settings."""

from pathlib import Path

import pytest
import yaml
from helpers import Ddpg
from helpers.configs import resolved

from sb3_ddpg_custom import DDPG, PRESETS
from sb3_ddpg_custom.cli.config.resolve import aliases
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.experiments.from_train import jobs_of
from sb3_ddpg_custom.cli.experiments.options import SeedsRequest, StudyRequest
from sb3_ddpg_custom.cli.experiments.study_file import jobs_of_file
from sb3_ddpg_custom.cli.training.options import TrainRequest

ROBUST, PLAIN = (3, 3e-5), (1, None)


def _cures(entry: dict[str, object]) -> tuple[object, object]:
    return entry.get("n_steps", 1), entry.get("actor_average_tau")


@pytest.mark.parametrize(("name", "expected"), [("robust", ROBUST), ("plain", PLAIN)])
def test_python_and_commands_have_the_same(name: str, expected: tuple[object, object]) -> None:
    model = DDPG("MlpPolicy", "Pendulum-v1", buffer_size=10, **PRESETS[name])
    assert (model.n_steps, model.actor_average_tau) == expected
    settings = resolved("pendulum", overrides=[f"preset={name}"]).settings
    assert (settings.n_steps, settings.actor_average_tau) == expected


def test_plain_takes_back_whatever_a_shipped_configuration_adds_to_ddpg() -> None:
    cures = ("pre_tanh_penalty", "critic_weight_decay", "actor_weight_decay", "decoupled_weight_decay")
    for alias in aliases():
        settings = resolved(alias, overrides=["preset=plain"]).settings
        assert (settings.n_steps, settings.actor_average_tau) == PLAIN
        assert all(getattr(settings, name) is None for name in cures)
        assert settings.policy == "MlpPolicy"
        assert set(settings.policy_kwargs) <= {"net_arch"}


def test_what_is_set_holds_over_a_preset_wherever_it_stands() -> None:
    request = TrainRequest(env="pendulum", preset="robust", overrides=("n_steps=5",))
    assert resolved("pendulum", overrides=request.all_overrides).settings.n_steps == 5


def test_an_unknown_one_is_refused(ddpg: Ddpg) -> None:
    with pytest.raises(UsageError, match="'robst' is unknown; did you mean 'robust'"):
        resolved("pendulum", overrides=["preset=robst"])
    assert "there are plain, robust" in ddpg("train", "pendulum", "--preset", "x", code=2).stderr
    assert "--set 'preset' is not key=value" in ddpg("config", "pendulum", "--set", "preset", code=2).stderr
    assert "did you mean 'plain'" in ddpg("config", "pendulum", "--preset", "plian", code=2).stderr


def test_config_shows_what_a_preset_stands_for(ddpg: Ddpg) -> None:
    shown = yaml.safe_load(ddpg("config", "pendulum", "--preset", "robust", "--set", "actor_average_tau=0.1").stdout)
    assert _cures(shown["Pendulum-v1"]) == (3, 0.1)


def test_presets_beside_each_other(tmp_path: Path) -> None:
    request = TrainRequest(env="pendulum", out=tmp_path, overrides=("n_steps=2",))
    jobs = jobs_of(request, SeedsRequest(seeds="0", compare=("plain",), more=("robust", "default")))
    assert {job.setting: _cures(job.entry) for job in jobs} == {"plain": PLAIN, "robust": ROBUST, "default": (2, None)}


def test_a_preset_for_many_seeds_names_their_folder(tmp_path: Path) -> None:
    (job,) = jobs_of(TrainRequest(env="pendulum", preset="robust", out=tmp_path), SeedsRequest(seeds="0"))
    assert (job.setting, _cures(job.entry)) == ("preset=robust", ROBUST)


def test_a_study_takes_presets_and_bounds_for_all_and_presets_for_one(tmp_path: Path) -> None:
    file = tmp_path / "study.yml"
    file.write_text(
        "envs: [pendulum]\nseeds: 0\ntrain: {preset: robust, action_bounds: '-1,1'}\n"
        "settings: {all: {}, five: {n_steps: 5}, plain: {preset: plain}, two: {n_steps: 2, preset: plain}}"
    )
    jobs = jobs_of_file(StudyRequest(file=file, out=tmp_path))
    assert {job.setting: _cures(job.entry) for job in jobs} == {
        "all": ROBUST,
        "five": (5, 3e-5),
        "plain": PLAIN,
        "two": (2, None),
    }
    assert all(job.entry["action_bounds"] == [-1.0, 1.0] for job in jobs)


def test_a_run_records_what_it_stands_for(ddpg: Ddpg, tmp_path: Path) -> None:
    short = ("--steps", 200, "--eval-episodes", 1, "--video", "none")
    ddpg("train", "pendulum", "--preset", "robust", *short, "--out", tmp_path, "--name", "a")
    config = yaml.safe_load((tmp_path / "Pendulum-v1" / "a" / "config.yml").read_text())
    assert _cures(config["Pendulum-v1"]) == ROBUST
    assert "preset" not in config["run"]
