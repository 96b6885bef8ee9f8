"""``ddpg tune``: what is searched, by how many processes, and what is left when some of them die."""

import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from conftest import SMALL
from helpers import Ddpg
from helpers.studies import steps_of, wait_until

from sb3_ddpg_custom.cli.config.resolve import resolve
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.search.options import TuneRequest
from sb3_ddpg_custom.cli.search.same_search import check_same_search
from sb3_ddpg_custom.cli.search.space import Choice, Range, default_space_text, read_space
from sb3_ddpg_custom.cli.search.storage import Claims
from sb3_ddpg_custom.cli.search.trial_runs import evaluations
from sb3_ddpg_custom.cli.search.tune import _check_space

optuna = pytest.importorskip("optuna")
# No pruning: which of two trials is below the median depends on which comes first.
EPISODES_OF_20 = "--set=env_wrapper=[{gymnasium.wrappers.TimeLimit: {max_episode_steps: 20}}]"
QUICK = ("--steps", "200", "--eval-episodes", "1", "--seeds-per-trial", "2", "--no-prune", EPISODES_OF_20, *SMALL)
SPACE = """
learning_rate: {low: 1e-4, high: 1e-2, log: true}
n_steps: {low: 1, high: 3}
policy_kwargs.net_arch: {choices: [[8], [16, 16]]}
"""


@pytest.fixture
def space(tmp_path: Path) -> Path:
    path = tmp_path / "space.yml"
    path.write_text(SPACE)
    return path


def test_the_default_space_names_real_settings() -> None:
    space = read_space(None)
    assert space["tau"] == Range(low=0.001, high=0.05, log=True)
    assert space["n_steps"] == Choice([1, 3, 5])
    assert space["policy_kwargs.net_arch"] == Choice([[64, 64], [256, 256], [400, 300]])


def test_a_space_of_ones_own(space: Path) -> None:
    assert read_space(space) == {
        "learning_rate": Range(low=1e-4, high=1e-2, log=True),
        "n_steps": Range(low=1, high=3),
        "policy_kwargs.net_arch": Choice([[8], [16, 16]]),
    }


def test_suggestions_have_the_kind_that_the_space_has() -> None:
    trial: Any = optuna.trial.FixedTrial({"a": 3, "b": 0.5, "c": "[8]", "d": "x"})
    assert Range(low=1, high=4).suggest("a", trial) == 3
    assert isinstance(Range(low=1, high=4).suggest("a", trial), int)
    assert Range(low=0.0, high=1.0).suggest("b", trial) == 0.5
    assert Choice([[8], [9]]).suggest("c", trial) == [8]
    assert Choice(["x", None]).suggest("d", trial) == "x"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "holds None; a search space is such as tau"),
        ("[1]", r"holds \[1\]"),
        ("tao: {low: 1, high: 2}", "unknown key 'tao'; did you mean 'tau'"),
        ("tau: 3", "tau is 3; write"),
        ("tau: {lo: 1}", "unknown key tau.lo; did you mean 'low'"),
        ("tau: {low: 1}", "low and high are numbers"),
        ("tau: {low: 2, high: 1}", "low below high"),
        ("tau: {low: 0, high: 1, log: true}", "above 0 with log"),
        ("tau: {low: a, high: 1}", "low and high are numbers"),
        ("tau: {choices: []}", r"tau.choices is \[\]; write a list"),
        ("tau: {choices: [1], low: 0}", "nothing beside it"),
    ],
)
def test_what_is_no_space_is_a_sentence(tmp_path: Path, text: str, why: str) -> None:
    (tmp_path / "s.yml").write_text(text)
    with pytest.raises(UsageError, match=why):
        read_space(tmp_path / "s.yml")


@pytest.mark.long
def test_a_search_from_beginning_to_end(ddpg: Ddpg, tmp_path: Path, space: Path) -> None:
    command = ("tune", "pendulum", "--trials", 3, "--space", space, *QUICK, "--confirm-seeds", 2, "--out", tmp_path)
    result = json.loads(ddpg(*command, "--json").stdout)
    folder = tmp_path / "tune"
    assert result["trials"] == {"COMPLETE": 3}
    assert [(run["setting"], run["seed"], run["state"]) for run in result["confirmed"]] == [
        (setting, seed, "done") for setting in ("default", "best") for seed in (1000, 1001)
    ]
    runs = folder / "Pendulum-v1"
    values = [
        np.mean([evaluations(runs / f"trial-{number}" / f"seed-{seed}")[-3:].mean() for seed in (0, 1)])
        for number in range(3)
    ]
    # With two seeds, nothing is trimmed: the interquartile mean is the mean.
    assert (result["best"], result["value"]) == (int(np.argmax(values)), pytest.approx(max(values)))
    best = yaml.safe_load((folder / "best.yml").read_text())["Pendulum-v1"]
    assert best["learning_rate"] == result["params"]["learning_rate"]
    assert best["policy_kwargs"]["net_arch"] == json.loads(result["params"]["policy_kwargs.net_arch"])
    assert best["batch_size"] == 16  # of --set
    for picture in ("history.png", "importance.png"):
        assert (folder / picture).read_bytes().startswith(b"\x89PNG")

    # Its configuration is one that ddpg train takes.
    ddpg("config", "pendulum", "--config", folder / "best.yml")
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.suffix in (".zip", ".npz")}
    again = ddpg(*command)
    assert "trials: 3 complete; best: " in again.stdout
    assert f"--config {folder / 'best.yml'}" in again.stdout
    assert {path: path.stat().st_mtime_ns for path in before} == before

    other = ddpg("tune", "pendulum_classic", *command[2:], code=2).stderr
    assert "the search 'tune' has" in other
    assert "choose another --name" in other
    assert {path: path.stat().st_mtime_ns for path in before} == before


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="SIGKILL to a process group")
@pytest.mark.timeout(240)
def test_two_processes_share_a_search_and_one_is_killed(tmp_path: Path, space: Path) -> None:
    command = [
        *(sys.executable, "-m", "sb3_ddpg_custom.cli", "tune", "pendulum", "--trials", "6", "--space", str(space)),
        *("--jobs", "1", *QUICK, "--confirm-seeds", "0", "--out", str(tmp_path)),
    ]
    folder = tmp_path / "tune"

    def start() -> subprocess.Popen[str]:
        return subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
        )

    first, second = start(), start()
    wait_until(lambda: len(list(folder.glob("Pendulum-v1/*/seed-0/state/step-*.json"))) >= 3)
    os.killpg(first.pid, signal.SIGKILL)
    first.communicate()
    out, err = second.communicate(timeout=150)
    assert second.returncode == 0, err
    assert "trials: 6 complete" in out

    backend = optuna.storages.journal.JournalFileBackend(str(folder / "journal.log"))
    study = optuna.load_study(study_name="tune", storage=optuna.storages.JournalStorage(backend))
    assert [trial.number for trial in study.trials] == list(range(6))
    assert sorted(path.name for path in (folder / "Pendulum-v1").iterdir()) == [
        f"trial-{number}" for number in range(6)
    ]
    for trial in study.trials:
        runs = [folder / "Pendulum-v1" / f"trial-{trial.number}" / f"seed-{seed}" for seed in (0, 1)]
        assert trial.value == pytest.approx(np.mean([evaluations(run)[-3:].mean() for run in runs]))
    assert not list(folder.glob(".*.lock"))


@pytest.mark.long
def test_a_search_that_is_stopped_goes_on(tmp_path: Path, space: Path) -> None:
    command = [
        *(sys.executable, "-m", "sb3_ddpg_custom.cli", "tune", "pendulum", "--trials", "2", "--space", str(space)),
        *("--jobs", "2", *QUICK, "--steps", "20000", "--confirm-seeds", "0", "--out", str(tmp_path)),
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    run = tmp_path / "tune" / "Pendulum-v1" / "trial-0" / "seed-0"
    wait_until(lambda: steps_of(run) > 100)
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, err
    assert "stopped early; the search is saved. To go on with it:" in out
    assert "ddpg tune pendulum --trials 2" in out
    assert not list((tmp_path / "tune").glob(".*.lock"))
    ended = subprocess.run([*command, "--json"], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout)["trials"] == {"COMPLETE": 2}
    # Gone on with, from its last checkpoint where it had come to one.
    assert (run / "log.txt").read_text().count("seed 0, in") == 2


@pytest.mark.long
def test_a_trial_below_the_median_is_stopped(
    ddpg: Ddpg, tmp_path: Path, space: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("optuna.pruners.MedianPruner.prune", lambda self, study, trial: trial.number == 1)
    options = [word for word in QUICK if word != "--no-prune"]
    command = ("tune", "pendulum", "--trials", 2, "--space", space, *options, "--steps", 3000, "--confirm-seeds", 0)
    # One run at a time: when the first seed's evaluation is seen, the second one waits.
    printed = ddpg(*command, "--out", tmp_path, "--jobs", 1)
    assert "trial 1: stopped, below the median" in printed.stderr
    assert "trials: 1 complete, 1 pruned; best: 0" in printed.stdout
    assert not (tmp_path / "tune" / "Pendulum-v1" / "trial-1" / "seed-1" / "final.zip").exists()


@pytest.mark.long
def test_a_trial_that_fails_is_told_and_not_the_best(ddpg: Ddpg, tmp_path: Path) -> None:
    (tmp_path / "space.yml").write_text("env_kwargs: {choices: [{g: 10.0}, {nonsense: 1}]}")
    printed = ddpg(
        *("tune", "pendulum", "--trials", 4, "--space", tmp_path / "space.yml", *QUICK, "--confirm-seeds", 0),
        *("--out", tmp_path, "--json"),
    )
    counts = json.loads(printed.stdout)["trials"]
    assert counts["COMPLETE"] + counts["FAIL"] == 4
    assert "refuses its env_kwargs {'nonsense': 1}" in printed.stderr


def test_claims_are_given_back(tmp_path: Path) -> None:
    claims = Claims(tmp_path)
    assert claims.claim("x")
    assert claims.claim("x")
    with claims.alone("y"):
        assert (tmp_path / ".y.lock").exists()
    claims.release_all()
    assert not list(tmp_path.iterdir())


def test_the_space_can_be_printed(ddpg: Ddpg) -> None:
    assert ddpg("tune", "pendulum", "--print-space").stdout == default_space_text()


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--space", "no.yml"), "no.yml"),
        (("--set", "tao=1"), "--set tao: unknown key 'tao'; did you mean 'tau'?"),
        (("--name", "a/b"), "--name 'a/b' is no name for a folder"),
        (("--on", "slurm:local"), "needs to know how many runs to make at once; add --jobs N"),
        (("--storage", "nonsense://x"), "--storage nonsense://x cannot be opened"),
        (("--storage", ""), "--storage is empty"),
    ],
)
def test_what_cannot_be_asked_for_is_a_sentence(refused: Any, options: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused("tune", "pendulum", "--trials", "1", *options)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("gamma: {low: 0.5, high: 3}", "gamma is 3.0; expected a number from 0 to 1"),
        ("n_envs: {choices: [1, 0]}", "n_envs is 0; expected"),
        ("tau: {choices: [0.5, a]}", "tau is 'a'; expected"),
        ("batch_size: {low: 1.0, high: 8.0}", "batch_size is 3.22"),
    ],
)
def test_values_that_no_run_takes_are_refused_before_any_is_made(
    refused: Any, tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "s.yml").write_text(text)
    said = refused("tune", "pendulum", "--space", tmp_path / "s.yml", "--out", tmp_path / "runs")
    assert f"s.yml`: {why}" in said
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("override", "text"),
    [
        ("noise_type=null", "{noise_type: {choices: [normal]}, noise_std: {low: 0.1, high: 0.5}}"),
        (
            "policy_kwargs.net_arch=[400, 300]",
            "{policy: {choices: [MlpPolicy, SimbaPolicy]}, policy_kwargs.net_arch: {choices: [[128, 128], [64, 64]]}}",
        ),
    ],
)
def test_values_that_fit_beside_the_others_of_their_space_are_taken(tmp_path: Path, override: str, text: str) -> None:
    (tmp_path / "s.yml").write_text(text)
    request = TuneRequest(env="pendulum", space=tmp_path / "s.yml", overrides=(override,))
    _check_space(request, read_space(request.space))


GAMMAS = {"gamma": Range(low=0.9, high=0.99)}


@pytest.mark.parametrize(
    ("now", "space", "difference"),
    [
        ({"env": "hopper"}, GAMMAS, "has environment 'Pendulum-v1', and now it is asked for 'Hopper-v5'"),
        ({"steps": 300}, GAMMAS, "has n_timesteps 5000, and now it is asked for 300"),
        ({"overrides": ("tau=0.5",)}, GAMMAS, "has tau 0.02, and now it is asked for 0.5"),
        ({"overrides": ("max_grad_norm=1",)}, GAMMAS, "has max_grad_norm nothing, and now it is asked for 1"),
        ({"seeds_per_trial": 5}, GAMMAS, "has --seeds-per-trial 3, and now it is asked for 5"),
        ({}, {"gamma": Range(low=0.8, high=0.99)}, "has the range of gamma {'high': 0.99, 'log': False, 'low': 0.9}"),
        ({}, {"gamma": Choice([0.9, 0.99])}, "now it is asked for {'values': [0.9, 0.99]}"),
        ({}, {}, "and now it is asked for nothing"),
    ],
)
def test_another_search_under_the_same_name_is_refused(now: Any, space: Any, difference: str) -> None:
    study = optuna.create_study()

    def check(space: Any, **asked: Any) -> None:
        request = TuneRequest(**{"env": "pendulum", "name": "tune", **asked})
        base = resolve(
            request.env,
            config=None,
            overrides=request.overrides,
            steps=request.steps,
            n_envs=None,
            registered_ids=[],
        )
        check_same_search(study, request, base, space)

    check(GAMMAS)
    check(GAMMAS, trials=7, confirm_seeds=0, seed=3)  # more of the same
    with pytest.raises(UsageError, match=re.escape(difference)) as refusal:
        check(space, **now)
    assert str(refusal.value).endswith(": choose another --name")
