"""``ddpg train --track``: MLflow and trackio with their stores on the disk, and what goes wrong."""

import json
import sqlite3
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers import Ddpg

from sb3_ddpg_custom.cli.tracking import trackers

OPTIONS = ("--steps", 400, "--eval-every", 200, "--eval-episodes", 1, "--seed", 3, "--video", "none", "--name", "r")
SMALL = ("--set", "policy_kwargs.net_arch=[8]", "--set", "learning_starts=100")
pytestmark = pytest.mark.filterwarnings("ignore")  # of the trackers' own packages


@pytest.fixture
def train(ddpg: Ddpg, tmp_path: Path) -> Any:
    def run(*options: object, code: int = 0) -> Any:
        return ddpg("train", "pendulum", *OPTIONS, *SMALL, "--out", tmp_path / "runs", *options, code=code)

    return run


def metrics_of(store: Path, name: str) -> list[tuple[int, float]]:
    """Steps and values of a metric in MLflow's files, over all runs."""
    lines = [line.split() for file in store.glob(f"*/*/metrics/{name}") for line in file.read_text().splitlines()]
    return [(int(step), float(value)) for _, value, step in lines]


def test_mlflow_gets_curves_and_settings_and_a_resumed_run_goes_on(
    train: Any, ddpg: Ddpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("mlflow")
    store = tmp_path / "store"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", store.as_uri())
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    train("--track", "mlflow")
    run = tmp_path / "runs" / "Pendulum-v1" / "r"
    evaluated = metrics_of(store, "eval/mean_reward")
    assert [step for step, _ in evaluated] == [200, 400]
    assert metrics_of(store, "rollout/ep_rew_mean")
    (settings,) = store.glob("*/*/params/learning_starts")
    assert settings.read_text() == "100"
    ddpg("resume", run, "--steps", 600)
    assert [step for step, _ in metrics_of(store, "eval/mean_reward")] == [200, 400, 600]
    assert len(list(store.glob("*/*/params/seed"))) == 1  # one run
    assert "\nstatus: 3\n" in next(store.glob("*/*/meta.yaml")).read_text()  # finished


def test_trackio_gets_curves(train: Any, ddpg: Ddpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("trackio")
    monkeypatch.setattr("trackio.utils.TRACKIO_DIR", tmp_path / "store")
    monkeypatch.setattr("trackio.sqlite_storage.TRACKIO_DIR", tmp_path / "store")
    train("--track", "trackio")
    ddpg("resume", tmp_path / "runs" / "Pendulum-v1" / "r", "--steps", 600)
    with sqlite3.connect(tmp_path / "store" / "Pendulum-v1.db") as database:
        rows = list(database.execute("select run_name, step, metrics from metrics order by step"))
    evaluated = [(name, step) for name, step, held in rows if b"eval/mean_reward" in held]
    assert evaluated == [("Pendulum-v1-r", 200), ("Pendulum-v1-r", 400), ("Pendulum-v1-r", 600)]


def test_a_tracker_that_fails_is_left_alone(train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Fails:
        calls = 0

        def log(self, numbers: Any, step: int) -> None:
            Fails.calls += 1
            raise ConnectionError("the line is dead")

        def finish(self, *, is_well: bool) -> None:
            raise ConnectionError("still dead")

    monkeypatch.setitem(trackers._BEGIN, "mlflow", lambda run: Fails())
    printed = train("--track", "mlflow")
    assert printed.stderr.count("nothing more is tracked from here on: the line is dead") == 1
    assert Fails.calls == 1
    assert (tmp_path / "runs" / "Pendulum-v1" / "r" / "final.zip").exists()


def test_what_does_not_begin_is_a_sentence(train: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "--track foo is none of wandb, mlflow, trackio" in train("--track", "foo", code=2).stderr
    monkeypatch.setitem(sys.modules, "wandb", None)
    told = train("--track", "wandb", code=2).stderr
    assert 'pip install "sb3-ddpg-custom[wandb]"' in told

    def refuses(run: Any) -> Any:
        raise PermissionError("no key")

    monkeypatch.setitem(trackers._BEGIN, "mlflow", refuses)
    assert "--track mlflow: no key (PermissionError in" in train("--track", "mlflow", code=2).stderr
    assert not (tmp_path / "runs" / "Pendulum-v1" / "r").exists()


def test_a_hostile_note_of_the_tracker_is_no_id(tmp_path: Path) -> None:
    run = trackers.Tracked(project="p", name="r", folder=tmp_path, settings={}, goes_on=True)
    for text in ("", "[]", '{"id": 7}', "{", json.dumps({"id": None})):
        (tmp_path / "tracking.json").write_text(text)
        assert trackers._kept(run) is None
