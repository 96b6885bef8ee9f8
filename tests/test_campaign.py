"""What a campaign keeps, and the table that is made of it."""

import json
import os
import signal
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from conftest import SMALL
from helpers import Ddpg

ROOT = Path(__file__).parents[1]
MISSING = {"a": range(5), "b": range(2)}


@pytest.fixture
def scripts(monkeypatch: pytest.MonkeyPatch) -> tuple[Any, Any]:
    monkeypatch.syspath_prepend(str(ROOT / "benchmarks"))
    for name in ("campaign", "tables", "ablation"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return import_module("campaign"), import_module("tables")


def test_there_is_a_study_for_every_shipped_configuration(scripts: tuple[Any, Any]) -> None:
    campaign, _ = scripts
    shipped = {path.stem for path in (ROOT / "zoo_configs").glob("*.yml")} - {"default"}
    assert set(campaign.ORDER) == shipped
    assert {path.stem for path in campaign.STUDIES.glob("*.yml")} >= shipped


def test_settings_are_named_by_what_is_not_as_usual(scripts: tuple[Any, Any]) -> None:
    campaign, _ = scripts
    name = campaign.settings_hash({"n_timesteps": 10, "tau": 0.5})
    assert campaign.settings_hash({"n_timesteps": 10, "tau": 0.5, "gamma": 0.99, "n_steps": 1}) == name
    assert campaign.settings_hash({"n_timesteps": 10, "tau": 0.4}) != name
    assert campaign.settings_hash({"n_timesteps": 11, "tau": 0.5}) != name


def test_no_core_is_idle_and_no_setting_runs_ahead(scripts: tuple[Any, Any]) -> None:
    campaign, _ = scripts
    lacks = [SimpleNamespace(seed=seed, setting=name) for name, seeds in MISSING.items() for seed in seeds]
    assert campaign.parts(lacks, 2) == [([0], {"a", "b"}), ([1], {"a", "b"}), ([2, 3], {"a"}), ([4], {"a"})]
    assert campaign.parts(lacks, 1) == [([0], {"a", "b"}), ([1], {"a", "b"}), ([2], {"a"}), ([3], {"a"}), ([4], {"a"})]
    assert campaign.parts(lacks, 3)[0] == ([0, 1], {"a", "b"})


@pytest.mark.parametrize("code", [128 + signal.SIGTERM, -signal.SIGTERM, 0])
def test_who_ends_a_campaign_ends_its_study(
    scripts: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    """Whether the study has saved its runs, has only just begun, or was at its end already."""
    campaign, _ = scripts

    class Study:
        returncode: int | None = None

        def __init__(self, command: list[str]) -> None:
            self.command = command

        def poll(self) -> int | None:
            if self.returncode is None:
                os.kill(os.getpid(), signal.SIGTERM)
            return self.returncode

        def terminate(self) -> None:
            self.returncode = code

    monkeypatch.setattr(campaign.subprocess, "Popen", Study)
    monkeypatch.setattr(campaign, "_LOOK_SECONDS", 0.0)
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit) as ended:
        campaign._make("reacher", campaign.STUDIES / "reacher.yml", [0], {"default"}, tmp_path, "1")
    assert ended.value.code == 143
    assert signal.getsignal(signal.SIGTERM) is before


def test_a_finished_run_is_kept_once(
    ddpg: Ddpg, tmp_path: Path, scripts: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, _ = scripts
    monkeypatch.setattr(campaign, "RESULTS", tmp_path / "results")
    ddpg("train", "pendulum", "--seeds", "3", "--steps", 200, "--eval-episodes", 2, *SMALL, "--out", tmp_path / "runs")
    (run,) = (path.parent for path in (tmp_path / "runs").rglob("config.yml"))
    campaign.keep_results(tmp_path / "runs", "mine")
    (kept,) = (tmp_path / "results" / "mine").iterdir()
    result = json.loads(kept.read_text())
    assert (result["env"], result["seed"], result["settings"]["n_timesteps"]) == ("Pendulum-v1", 3, 200)
    with np.load(run / "evaluations.npz") as file:
        np.testing.assert_allclose(result["returns"], file["results"], atol=6e-4)
    inside = result["diagnosis"]
    assert {"q_mean", "q_predicted", "q_realised", "overestimation", "saturated_actions"} <= inside.keys()
    assert all(len(values) == len(result["steps"]) for values in inside.values())
    before = kept.stat().st_mtime_ns
    campaign.keep_results(tmp_path / "runs", "mine")
    assert kept.stat().st_mtime_ns == before


def test_best_and_final_are_kept_apart(scripts: tuple[Any, Any], tmp_path: Path) -> None:
    _, tables = scripts
    folder = tmp_path / "pendulum"
    folder.mkdir()
    entry = tables._entry("pendulum")
    for seed in (0, 1):
        # 20 evaluations; the best one is the first, and the last ten are -100 - seed.
        returns = [[-50.0, -50.0]] + [[-300.0, -300.0]] * 9 + [[-100.0 - seed, -100.0 - seed]] * 10
        result = {"settings": entry, "seed": seed, "returns": returns}
        (folder / f"default-seed-{seed}.json").write_text(json.dumps(result))
    (folder / "default-seed-2.json").write_text(json.dumps({"settings": {**entry, "tau": 0.9}, "returns": [[0.0]]}))
    row = tables.row_of("pendulum", tmp_path)
    assert (row["seeds"], row["older"], row["best"], row["final"]) == (2, 1, -50.0, -100.5)
    assert row["interval"] == [-101.0, -100.0]
    (line,) = (line for line in tables._lines([row]) if "pendulum" in line)
    assert line.startswith("| pendulum | 5,000 | 2 | -100.5 [-101.0, -100.0] | -50.0 |")
    assert tables.row_of("humanoid", tmp_path)["seeds"] == 0


def test_the_readmes_table_is_of_the_results_that_are_kept(scripts: tuple[Any, Any]) -> None:
    _, tables = scripts
    readme = (ROOT / "README.md").read_text("utf-8")
    for line in tables._lines([tables.row_of(name) for name in tables.ORDER]):
        assert line in readme, "make tables"


def test_the_ablations_table_is_of_the_results_that_are_kept(scripts: tuple[Any, Any]) -> None:
    ablation = import_module("ablation")
    page = (ROOT / "docs" / "ablation.md").read_text("utf-8")
    for line in ablation.lines_of("hopper_ablation"):
        assert line in page, "python benchmarks/ablation.py"


def test_a_row_of_an_ablation(scripts: tuple[Any, Any], tmp_path: Path) -> None:
    ablation = import_module("ablation")
    folder = tmp_path / "hopper_ablation"
    folder.mkdir()
    for seed in range(3):
        returns = [[100.0 * seed, 100.0 * seed]] * 9 + [[1000.0, 3000.0]] + [[500.0, 1500.0]] * 10
        inside = {"q_predicted": [None] * 19 + [480.0], "q_realised": [240.0] * 20, "saturated_actions": [0.25] * 20}
        (folder / f"n3-seed-{seed}.json").write_text(json.dumps({"returns": returns, "diagnosis": inside}))
    lines = ablation.lines_of("hopper_ablation", tmp_path)
    assert "| n3 | 3 | 1,000 [1,000, 1,000] | 2,000 | 50 % | 480 | 240 | 25 % |" in lines
    assert "| plain | 0 | not run yet | | | | | |" in lines


def test_what_is_kept_is_not_run_again(
    scripts: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, _ = scripts
    monkeypatch.setattr(campaign, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(campaign, "STUDIES", tmp_path)
    study = {"envs": ["pendulum"], "seeds": "0-1", "settings": {"a": {}, "b": {"tau": 0.5}}, "train": {"steps": 300}}
    (tmp_path / "mine.yml").write_text(json.dumps(study))
    made: list[Any] = []
    monkeypatch.setattr(campaign, "_make", lambda name, file, seed, settings, *_: made.append((seed, settings)))
    campaign.main(["mine"], "1", tmp_path / "runs")
    assert made == [([0], {"a", "b"}), ([1], {"a", "b"})]

    request = campaign.StudyRequest(file=tmp_path / "mine.yml", out=tmp_path / "runs")
    jobs = campaign.jobs_of_file(request)
    for job in jobs[:3]:  # a with both seeds, b with the first one
        result = campaign.result_of(job, "mine")
        result.parent.mkdir(parents=True, exist_ok=True)
        settings = job.entry if job.setting == "a" else {**job.entry, "tau": 0.4}  # b has changed since
        result.write_text(json.dumps({"settings": settings}))
    made.clear()
    campaign.main(["mine"], "1", tmp_path / "runs")
    assert made == [([0], {"b"}), ([1], {"b"})]
    part = campaign.part_of(study, "mine", [1], {"b"})
    assert part == {**study, "name": "mine", "seeds": [1], "settings": {"b": {"tau": 0.5}}}
    assert "settings" not in campaign.part_of({"envs": ["pendulum"]}, "mine", [1], {"default"})


def test_a_campaign_makes_what_is_missing(
    scripts: tuple[Any, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    campaign, _ = scripts
    monkeypatch.setattr(campaign, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(campaign, "STUDIES", tmp_path)
    monkeypatch.setattr(campaign, "_LOOK_SECONDS", 0.1)
    small = {"policy_kwargs.net_arch": [8], "learning_starts": 20, "batch_size": 8}
    train = {"steps": 100, "eval_every": 50, "eval_episodes": 1, "eval_max_steps": 20}
    (tmp_path / "mine.yml").write_text(
        json.dumps({"envs": ["pendulum"], "seeds": [3], "settings": {"a": small}, "train": train})
    )
    campaign.main(["mine"], "1", tmp_path / "runs")
    (result,) = (tmp_path / "results" / "mine").iterdir()
    assert result.name == "a-seed-3.json"
    assert json.loads(result.read_text())["steps"] == [50, 100]
    assert (tmp_path / "runs" / "mine.seed-3.yml").exists()  # which the study's own words name


def test_the_averages_of_an_actor_are_tabled(scripts: tuple[Any, Any], tmp_path: Path) -> None:
    averaging = import_module("averaging")
    for seed, (last, best) in enumerate([(30.0, 60.0), (10.0, 10.0)]):
        returns = {"actor": [best, *[last] * 29], "0.001": [0.0, *[50.0] * 29]}
        result = {"env": "Hopper-v5", "seed": seed, "steps": list(range(30)), "returns": returns}
        (tmp_path / f"hopper-seed-{seed}.json").write_text(json.dumps(result))
    (tmp_path / "hopper-seed-2.json").write_text(json.dumps({**result, "steps": list(range(29))}))  # not ended yet
    assert averaging.lines_of(tmp_path) == [
        "| environment | seeds | the actor itself | average, 0.001 |",
        "| --- | ---: | ---: | ---: |",
        "| Hopper-v5 | 2 | 20 (75 %) | 50 (100 %) |",  # 30 of 60 and 10 of 10
    ]
    page = averaging.PAGE.read_text("utf-8")
    assert "\n".join(averaging.lines_of(averaging.RESULTS)) in page
