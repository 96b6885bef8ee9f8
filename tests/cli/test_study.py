"""Many runs: which there are, that none is made twice, and how one ends is no matter of the others."""

import json
from pathlib import Path

import pytest
import yaml
from helpers import Ddpg
from helpers.studies import SETTING, SHORT
from helpers.zips import assert_same_run

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.experiments.board import Board
from sb3_ddpg_custom.cli.experiments.from_train import jobs_of, told_apart
from sb3_ddpg_custom.cli.experiments.options import SeedsRequest, read_seeds
from sb3_ddpg_custom.cli.experiments.plan import Job, name_of_setting, read_job
from sb3_ddpg_custom.cli.run_folder import DONE, STATE
from sb3_ddpg_custom.cli.screen import screen
from sb3_ddpg_custom.cli.status import Status, read_status, write_status
from sb3_ddpg_custom.cli.training.options import TrainRequest
from sb3_ddpg_custom.cli.watching.duration import duration


@pytest.mark.parametrize(
    ("text", "seeds"), [("3", (3,)), ("0-3", (0, 1, 2, 3)), ("5,0-1", (5, 0, 1)), (" 1 , 2-2", (1, 2))]
)
def test_seeds(text: str, seeds: tuple[int, ...]) -> None:
    assert read_seeds(text) == seeds


def test_names_of_settings() -> None:
    assert name_of_setting(None, ()) == "default"
    assert name_of_setting(Path("a/mine.yml"), ("n_steps=3",)) == "mine,n_steps=3"
    assert name_of_setting(None, ("policy_kwargs.net_arch=[64, 64]",)) == "policy_kwargs.net_arch=_64,64_-9a4863e4"
    assert name_of_setting(None, ("x=[64,64]",)) != name_of_setting(None, ("x=(64,64)",))


def test_durations() -> None:
    assert [duration(seconds) for seconds in (None, 5, 75, 3600, 8000, 200_000)] == [
        *("", "0:05", "1:15"),
        *("1 h 00 min", "2 h 13 min", "2 d 7 h"),
    ]


@pytest.mark.long
def test_each_run_is_one_of_its_own_and_none_is_made_twice(ddpg: Ddpg, tmp_path: Path) -> None:
    command = ("train", "pendulum", "--seeds", "0-1", "--compare", "default", "n_steps=3", *SHORT, "--out", tmp_path)
    printed = ddpg(*command)
    runs = sorted(path.parent for path in tmp_path.rglob("config.yml"))
    assert [str(run.relative_to(tmp_path)) for run in runs] == [
        f"Pendulum-v1/{setting}/seed-{seed}" for setting in ("default", "n_steps=3") for seed in (0, 1)
    ]
    assert "4 runs, " in printed.stderr
    assert [line.split()[:4] for line in printed.stdout.splitlines()[1:3]] == [
        ["Pendulum-v1", "default", "2", "2"],
        ["Pendulum-v1", "n_steps=3", "2", "2"],
    ]
    assert yaml.safe_load((runs[2] / "config.yml").read_text())["Pendulum-v1"]["n_steps"] == 3
    # A single training with the same seed comes out the same.
    ddpg("train", "pendulum", "--seed", 1, *SHORT, "--out", tmp_path / "single", "--video", "none", "--threads", 1)
    assert_same_run(tmp_path / "single" / "Pendulum-v1" / "1", runs[1])
    # Any other command reads it.
    ddpg("evaluate", "--checkpoint", runs[0], "--episodes", 1)
    assert "300" in ddpg("inspect", runs[0]).stdout
    assert "has made all of its 300 steps" in ddpg("resume", runs[0], code=2).stderr

    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    again = json.loads(ddpg(*command, "--json").stdout)["runs"]
    assert [run["state"] for run in again] == ["made before"] * 4
    assert {path: path.stat().st_mtime_ns for path in before} == before
    # One more seed is the only one that is made.
    more = json.loads(ddpg(*(str(word).replace("0-1", "0-2") for word in command), "--json").stdout)["runs"]
    assert [run["state"] for run in more] == ["made before", "made before", "done"] * 2
    assert all(run["steps"] == run["total_steps"] == 300 for run in more)

    error = ddpg(*command[:4], *SHORT, "--set", "gamma=0.5", "--out", tmp_path, "--name", ".", code=2).stderr
    assert "--name '.' is no name" in error
    changed = ddpg(*command, "--eval-episodes", 3, code=2).stderr
    assert "seed-0 is a run with --eval-episodes 2, not 3; choose another --name" in changed
    (runs[1] / STATE / DONE).write_text("400")  # as ddpg resume --steps 400 leaves it
    longer = ddpg(*command, code=2).stderr
    assert "seed-1 was resumed and has made 400 steps, and the study's runs make 300; choose another --name" in longer


def told(*words: str, compare: tuple[str, ...] = ("default",)) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
    request, many = told_apart(TrainRequest(env=words[0]), SeedsRequest(more=words[1:], compare=compare))
    return request.env, many.more, many.compare


def test_environments_and_settings_are_told_apart_wherever_they_stand() -> None:
    assert told("a", "b", compare=()) == ("a", ("b",), ())
    assert told("a", "b", "tau=0.5", "c.yml") == ("a", ("b",), ("default", "tau=0.5", "c.yml"))
    assert told("tau=0.5", "a", "robust", "b") == ("a", ("b",), ("default", "tau=0.5", "robust"))
    assert told("Plain-v0", "my:Plane-v1", "robst") == ("Plain-v0", ("my:Plane-v1",), ("default", "robst"))
    assert told("robst", "a") == ("robst", ("a",), ("default",))
    assert told("tau=0.5", "a", compare=()) == ("tau=0.5", ("a",), ())
    with pytest.raises(UsageError, match=r"there is no environment beside --compare default tau=0\.5; add one"):
        told("tau=0.5")


def test_several_environments_and_configurations(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a", "b"):
        (tmp_path / f"{name}.yml").write_text("n_timesteps: 5")
    # ddpg train pendulum hopper --compare a.yml b.yml n_steps=3: what comes behind an option's one value is positional.
    many = SeedsRequest(more=("hopper", "b.yml", "n_steps=3"), seeds="0,2", compare=("a.yml",))
    jobs = jobs_of(TrainRequest(env="pendulum"), many)
    assert [(job.env_id, job.setting, job.seed) for job in jobs] == [
        (env, setting, seed)
        for env in ("Pendulum-v1", "Hopper-v5")
        for setting in ("a", "b", "n_steps=3")
        for seed in (0, 2)
    ]
    assert [job.total_steps for job in jobs[:6]] == [5, 5, 5, 5, 5000, 5000]
    assert jobs[-1].folder == tmp_path / "runs" / "Hopper-v5" / "n_steps=3" / "seed-2"


STUDY = """
envs: [pendulum]
seeds: [4, 2]
settings:
  plain:
  fast: {learning_rate: 1e-2, policy_kwargs: {net_arch: [8]}}
  other: other.yml
train: {steps: 200, eval_episodes: 1, eval_every: 100}
"""


@pytest.mark.long
def test_a_study_from_a_file(ddpg: Ddpg, tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("tau: 0.5\nn_timesteps: 7\nlearning_starts: 20")
    (tmp_path / "mine.yml").write_text(STUDY)
    runs = json.loads(ddpg("study", tmp_path / "mine.yml", "--out", tmp_path, "--json").stdout)["runs"]
    assert [(run["setting"], run["seed"], run["state"]) for run in runs] == [
        (setting, seed, "done") for setting in ("plain", "fast", "other") for seed in (4, 2)
    ]
    folder = tmp_path / "mine" / "Pendulum-v1"
    entry = yaml.safe_load((folder / "fast" / "seed-2" / "config.yml").read_text())["Pendulum-v1"]
    assert (entry["learning_rate"], entry["policy_kwargs"], entry["n_timesteps"]) == (0.01, {"net_arch": [8]}, 200)
    assert yaml.safe_load((folder / "other" / "seed-4" / "config.yml").read_text())["Pendulum-v1"]["tau"] == 0.5
    job = read_job(folder / "plain" / "seed-4")
    assert (job.env_id, job.setting, job.seed, job.total_steps) == ("Pendulum-v1", "plain", 4, 200)


def test_a_folder_of_something_else_is_left_alone(ddpg: Ddpg, tmp_path: Path) -> None:
    run = tmp_path / "Pendulum-v1" / "default" / "seed-0"
    run.mkdir(parents=True)
    (run / "thesis.txt").write_text("precious")
    error = ddpg("train", "pendulum", "--seeds", "0", "--out", tmp_path, code=2).stderr
    assert "holds something else than a run of a study; choose another --name" in error
    (run / "job.json").write_text("[" * 100_000)
    assert (
        "is not what a study has written" in ddpg("train", "pendulum", "--seeds", "0", "--out", tmp_path, code=2).stderr
    )
    assert (run / "thesis.txt").read_text() == "precious"


def test_a_run_with_other_settings_inside_is_not_gone_on_with(ddpg: Ddpg, tmp_path: Path) -> None:
    """Its config.yml may have come from anywhere, and name classes to import."""
    command = ("train", "pendulum", "--seeds", "0", *SHORT, "--out", tmp_path)
    ddpg(*command)
    run = tmp_path / "Pendulum-v1" / SETTING / "seed-0"
    (run / "state" / "done").unlink()
    config = yaml.safe_load((run / "config.yml").read_text())
    for name, value, told in (("callback", ["antigravity.Fly"], ""), ("tau", 0.5, " (0.5, not 0.02)")):
        changed = {**config, "Pendulum-v1": {**config["Pendulum-v1"], name: value}}
        (run / "config.yml").write_text(yaml.safe_dump(changed))
        (ended,) = json.loads(ddpg(*command, "--json", code=1).stdout)["runs"]
        assert f"seed-0/config.yml has another {name} than the study{told}; choose another --name" in ended["reason"]


def test_the_board_fits_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("LINES", "12")
    jobs = [
        Job(
            env_id="Pendulum-v1",
            setting="default",
            seed=seed,
            entry={"n_timesteps": 1000},
            source="pendulum.yml",
            folder=tmp_path / f"seed-{seed}",
            request=TrainRequest(env="pendulum"),
            start_folder=tmp_path,
        )
        for seed in range(20)
    ]
    for job in jobs:
        job.folder.mkdir()
    running = Status(state="training", step=250, total_steps=1000, steps_per_second=50.0, last_return=-3.25)
    write_status(jobs[7].folder, running)
    console = screen()
    board = Board(console, jobs)
    board._last_look = -100.0
    board.look([jobs[7]])
    with console.capture() as caught:
        console.print(board._table({jobs[7].folder}))
    lines = caught.get().splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= 12
    assert lines[1].split() == ["7", "running", "250", "25", "%", "-3.2", "50", "0:15"]
    assert "… 14 more" in lines[-2]
    assert lines[-1].strip() == "20 runs: 1 running, 19 waiting; about 6:35 left"


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"state": 3', "[" * 50_000, "\xff"])
def test_a_damaged_status_is_none(tmp_path: Path, content: str) -> None:
    (tmp_path / "status.json").write_text(content)
    assert read_status(tmp_path) is None
