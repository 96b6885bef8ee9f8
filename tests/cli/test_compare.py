"""``ddpg compare``: every kind of run, what is printed for people and machines, and files of strangers."""

import csv
import io
import json
import os
import sys
import zipfile
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers import SMALL, Ddpg, make_model
from helpers.results import write_evaluations, write_monitor, write_run, write_study, write_zoo_run
from stable_baselines3 import DDPG as SB3DDPG
from stable_baselines3.common.callbacks import EvalCallback
from stable_baselines3.common.monitor import Monitor

FIVE, TOP = [1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0]


def compared(ddpg: Ddpg, *arguments: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ddpg("compare", *arguments, "--json").stdout)
    return found


def finals(found: dict[str, Any]) -> dict[tuple[str, str], list[float]]:
    return {(one["environment"], one["setting"]): one["finals"] for one in found["summaries"]}


def test_a_study(ddpg: Ddpg, tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"default": FIVE, "layer_norm": TOP})
    write_study(tmp_path / "study", {"default": FIVE[:3], "layer_norm": TOP[:3]}, env="Walker2d-v5")
    found = compared(ddpg, tmp_path / "study")
    assert finals(found)["Hopper-v5", "layer_norm"] == TOP
    assert [pair["sentence"] for pair in found["pairs"]] == [
        "layer_norm is better than default on Hopper-v5; nothing can be said on Walker2d-v5 with 3 seeds "
        "(about 5 of each would be needed)."
    ]
    assert found["remarks"] == []
    assert found["overall"]["default"]["mean"]["value"] < 0.3 < found["overall"]["layer_norm"]["mean"]["value"]
    printed = ddpg("compare", tmp_path / "study")
    assert printed.stderr == ""
    assert found["pairs"][0]["sentence"] in printed.stdout
    assert "Hopper-v5, 1,200 steps" in printed.stdout
    assert "all environments, 0 to 1" in printed.stdout
    (row,) = [line.split() for line in printed.stdout.splitlines() if line.startswith("layer_norm    ")][:1]
    assert (row[:3], row[-3:]) == (["layer_norm", "5", "13.00"], ["13.00", "13.00", "13.00"])


def test_csv_has_a_line_per_environment_and_setting(ddpg: Ddpg, tmp_path: Path) -> None:
    write_study(tmp_path, {"default": [3.0], "layer_norm": TOP})
    rows = list(csv.DictReader(io.StringIO(ddpg("compare", tmp_path, "--csv").stdout)))
    assert [(row["environment"], row["setting"], row["runs"]) for row in rows] == [
        ("Hopper-v5", "default", "1"),
        ("Hopper-v5", "layer_norm", "5"),
    ]
    assert (rows[0]["final_iqm"], rows[0]["final_iqm_low"], rows[1]["best_mean"]) == ("3.0", "", "13.0")


def test_numbered_runs_are_named_by_what_differs(ddpg: Ddpg, tmp_path: Path) -> None:
    for number, (rate, nets) in enumerate([("1e-3", "[64]"), ("1e-3", "[64]"), ("1e-4", "[64]"), ("1e-4", "[32]")]):
        settings = f"learning_rate: {rate}, policy_kwargs: {{net_arch: {nets}}}"
        write_run(tmp_path / "Hopper-v5" / f"{number + 1}", [1.0], settings=settings, seed=number)
    assert [setting for _, setting in finals(compared(ddpg, tmp_path))] == [
        "learning_rate=0.001, policy_kwargs.net_arch=[64]",
        "learning_rate=0.0001, policy_kwargs.net_arch=[64]",
        "learning_rate=0.0001, policy_kwargs.net_arch=[32]",
    ]
    one = compared(ddpg, tmp_path / "Hopper-v5" / "1", tmp_path / "Hopper-v5" / "2")
    assert finals(one) == {("Hopper-v5", "default"): [1.0, 1.0]}
    assert any("LABEL=PATH" in remark for remark in one["remarks"])


def test_run_10_comes_behind_run_9(ddpg: Ddpg, tmp_path: Path) -> None:
    for number in range(1, 11):
        write_run(tmp_path / f"{number}", [float(number)], seed=number)
    assert finals(compared(ddpg, tmp_path))["Hopper-v5", "default"] == [float(number) for number in range(1, 11)]


def test_two_studies_with_a_setting_of_one_name_stay_apart(ddpg: Ddpg, tmp_path: Path) -> None:
    write_study(tmp_path / "before", {"default": FIVE})
    write_study(tmp_path / "after", {"default": TOP})
    found = compared(ddpg, tmp_path / "before", tmp_path / "after")
    assert [pair["sentence"] for pair in found["pairs"]] == [
        "after/default is better than before/default on Hopper-v5."
    ]


def test_runs_of_rl_zoo3(ddpg: Ddpg, tmp_path: Path) -> None:
    for algorithm, means in (("ddpg", FIVE), ("td3", TOP)):
        for number, final in enumerate(means):
            write_zoo_run(tmp_path / "logs" / algorithm / f"Pendulum-v1_{number + 1}", [final])
    found = compared(ddpg, tmp_path / "logs")
    assert finals(found) == {("Pendulum-v1", "ddpg"): FIVE, ("Pendulum-v1", "td3"): TOP}
    write_zoo_run(tmp_path / "logs" / "ddpg" / "Pendulum-v1_9", [9.0], gamma=0.5)
    assert [setting for _, setting in finals(compared(ddpg, tmp_path / "logs"))] == ["ddpg #1", "ddpg #2", "td3"]


def test_a_log_that_sb3_wrote(ddpg: Ddpg, tmp_path: Path) -> None:
    for seed in (0, 1):
        folder = tmp_path / "sb3" / f"seed_{seed}"
        folder.mkdir(parents=True)
        env = Monitor(gym.make("Pendulum-v1"), str(folder))
        model = SB3DDPG("MlpPolicy", env, **{**SMALL, "learning_starts": 10_000})
        watched = Monitor(gym.make("Pendulum-v1"))
        model.learn(450, EvalCallback(watched, log_path=str(folder), eval_freq=150, n_eval_episodes=1, verbose=0))
        env.close()
    (one,) = compared(ddpg, tmp_path / "sb3")["summaries"]
    assert (one["environment"], one["setting"], one["runs"], one["last_steps"]) == ("Pendulum-v1", "sb3", 2, [450, 450])
    written = np.load(tmp_path / "sb3" / "seed_0" / "evaluations.npz")["results"]
    assert one["finals"][0] == pytest.approx(written.mean())
    assert one["bests"][0] == pytest.approx(written.mean(axis=1).max())


def test_a_run_that_the_command_made(ddpg: Ddpg, tiny_run: Path) -> None:
    (one,) = compared(ddpg, tiny_run)["summaries"]
    assert (one["environment"], one["setting"], one["unfinished"]) == ("Tiny-v0", "default", 0)
    assert one["finals"][0] == pytest.approx(np.load(tiny_run / "evaluations.npz")["results"].mean())


def test_labels_globs_and_files(ddpg: Ddpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for n in (1, 3):
        for seed in (0, 1):
            write_evaluations(Path(f"hopper-n{n}-seed{seed}.npz"), [10.0 * n + seed])
    found = compared(ddpg, "one step=hopper-n1-*.npz", "three=hopper-n3-*.npz", "three=hopper-n3-seed0.npz")
    assert finals(found) == {("", "one step"): [10.0, 11.0], ("", "three"): [30.0, 31.0]}
    assert list(finals(compared(ddpg, "hopper-*.npz"))) == [("", "hopper-n1"), ("", "hopper-n3")]
    assert "environment not named" in ddpg("compare", "hopper-*.npz").stdout
    Path("lr=0.1").mkdir()
    write_evaluations(Path("lr=0.1/evaluations.npz"), [5.0])
    assert finals(compared(ddpg, "lr=0.1")) == {("", "lr=0.1"): [5.0]}
    assert finals(compared(ddpg, "x=lr=0.1")) == {("", "x"): [5.0]}


def test_without_evaluations_training_episodes_take_their_place(ddpg: Ddpg, tmp_path: Path) -> None:
    returns = [float(number) for number in range(100)]
    write_monitor(tmp_path / "sac" / "0.monitor.csv", returns)
    found = compared(ddpg, tmp_path / "sac")
    # Fifty stretches of two episodes, 0.5, 2.5, … 98.5; the mean of the last ten.
    assert finals(found) == {("Pendulum-v1", "sac"): [89.5]}
    assert "with exploration" in found["remarks"][0]
    write_evaluations(tmp_path / "sac" / "evaluations.npz", [7.0])
    assert finals(compared(ddpg, tmp_path / "sac")) == {("Pendulum-v1", "sac"): [7.0]}


def test_monitors_of_several_envs_are_one_training(ddpg: Ddpg, tmp_path: Path) -> None:
    for rank in (0, 1):
        write_monitor(tmp_path / f"{rank}.monitor.csv", [1.0, 3.0], length=10)
    with (tmp_path / "1.monitor.csv").open("a") as file:
        file.write("5.0,1")  # a kill cut it
    (one,) = compared(ddpg, tmp_path)["summaries"]
    assert one["last_steps"] == [40, 40]


def test_unfinished_empty_and_short_runs_are_named(ddpg: Ddpg, tmp_path: Path) -> None:
    write_run(tmp_path / "1", [1.0] * 12)
    write_run(tmp_path / "2", [1.0] * 4, seed=1, is_finished=False)
    write_run(tmp_path / "3", [], seed=2, is_finished=False)
    printed = ddpg("compare", tmp_path)
    assert f"without any evaluation: {tmp_path / '3'}" in printed.stderr
    assert f"not finished, and counted as far as they are: {tmp_path / '2'} (400 steps)" in printed.stderr
    assert "--until 400 looks at all runs" in printed.stderr
    assert "2 of 3" in printed.stdout
    until = ddpg("compare", tmp_path, "--until", 300)
    assert "Hopper-v5, 300 steps" in until.stdout
    assert "not finished" not in until.stderr


def test_numbers_that_are_none_are_null_and_named(ddpg: Ddpg, tmp_path: Path) -> None:
    write_run(tmp_path / "1", [1.0, 2.0])
    write_run(tmp_path / "2", [1.0, np.nan], seed=1)
    found = compared(ddpg, tmp_path)
    assert found["summaries"][0]["left_out"] == 1
    assert found["summaries"][0]["final"]["iqm"] == {"value": 1.5, "low": None, "high": None}
    assert any("1 of 2 evaluations are no finite numbers" in remark for remark in found["remarks"])


def test_a_baseline(ddpg: Ddpg, tmp_path: Path) -> None:
    write_study(tmp_path, {"a": FIVE, "b": TOP, "c": FIVE})
    pairs = compared(ddpg, tmp_path, "--baseline", "b")["pairs"]
    assert [(pair["first"], pair["second"]) for pair in pairs] == [("a", "b"), ("c", "b")]


def test_one_setting_is_a_table_and_no_sentence(ddpg: Ddpg, tmp_path: Path) -> None:
    write_study(tmp_path, {"default": FIVE})
    assert compared(ddpg, tmp_path)["pairs"] == []
    assert "Nothing" not in ddpg("compare", tmp_path).stdout


def test_a_study_behind_a_link_that_leads_in_a_circle(ddpg: Ddpg, tmp_path: Path) -> None:
    write_study(tmp_path / "study", {"default": FIVE})
    (tmp_path / "study" / "again").symlink_to(tmp_path / "study")
    (tmp_path / "link").symlink_to(tmp_path / "study")
    assert finals(compared(ddpg, tmp_path / "link")) == {("Hopper-v5", "default"): FIVE}


def test_bad_requests_are_one_sentence(ddpg: Ddpg, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_study(tmp_path / "study", {"default": FIVE})
    (tmp_path / "empty").mkdir()
    (tmp_path / "text.txt").write_text("hello")
    for arguments, said in [
        ([], "no runs are named"),
        (["nowhere"], "nowhere does not exist"),
        (["label=nowhere"], "nowhere does not exist"),
        ([""], "an empty name does not exist"),
        (["nothing*"], "nothing* matches nothing"),
        (["a\x00b"], r"a\x00b does not exist"),
        (["empty"], "no run in empty"),
        (["text.txt"], "no run in text.txt"),
        (["study", "--baseline", "defualt"], "did you mean 'default'?"),
        (["study", "--until", "50"], "no final score in 5 runs within 50 steps"),
        (["study", "--json", "--csv"], "leave one of them out"),
    ]:
        printed = ddpg("compare", *arguments, code=2)
        assert said in printed.stderr
        assert printed.stderr.count("\n") == 1
        assert printed.stdout == ""


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def test_no_file_runs_anything_or_unpacks_to_more_than_it_is(ddpg: Ddpg, tmp_path: Path) -> None:
    for name in ("pickle", "bomb", "text", "shape", "words", "large", "monitor", "yaml"):
        (tmp_path / name).mkdir()
    evil = np.array([Touch(tmp_path / "ran")], object)
    np.savez(tmp_path / "pickle" / "evaluations.npz", timesteps=evil, results=evil)
    with zipfile.ZipFile(tmp_path / "bomb" / "evaluations.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("results.npy", bytes(50 * 2**20))
    (tmp_path / "text" / "evaluations.npz").write_text("hello")
    np.savez(tmp_path / "shape" / "evaluations.npz", timesteps=np.arange(3), results=np.ones((2, 2)))
    np.savez(tmp_path / "words" / "evaluations.npz", timesteps=np.arange(2), results=np.array([["a"], ["b"]]))
    np.savez(tmp_path / "large" / "evaluations.npz", timesteps=np.array([1e300]), results=np.ones((1, 2)))
    (tmp_path / "monitor" / "monitor.csv").write_bytes(b"#" + b"[" * 100_000)
    (tmp_path / "yaml" / "config.yml").write_text(f"!!python/object/apply:os.system ['touch {tmp_path}/ran']\n")
    np.savez(tmp_path / "yaml" / "evaluations.npz", timesteps=np.arange(2), results=np.ones((2, 1)))
    found = compared(ddpg, tmp_path)
    assert sorted(name for (_, name), one in finals(found).items() if one) == ["yaml"]
    assert sum("cannot be read" in remark for remark in found["remarks"]) == 7
    assert not (tmp_path / "ran").exists()
    assert "no final score in 1 run" in ddpg("compare", tmp_path / "text", code=2).stderr


@pytest.mark.skipif(sys.platform == "win32", reason="makes pipes and names that Windows does not know")
def test_pipes_are_not_waited_for_and_names_reach_no_terminal(ddpg: Ddpg, tmp_path: Path) -> None:
    folder = tmp_path / "red\x1b[31m\nname"
    folder.mkdir()
    os.mkfifo(folder / "evaluations.npz")
    write_monitor(folder / "monitor.csv", [1.0, 2.0], env="Env\\u001b[2J")
    printed = ddpg("compare", folder)
    assert "\x1b" not in printed.stdout + printed.stderr
    assert r"red\x1b[31m\nname" in printed.stdout
    assert r"Env\x1b[2J" in printed.stdout
    assert "it is no regular file" in printed.stderr


def test_models_are_no_runs(ddpg: Ddpg, tmp_path: Path) -> None:
    make_model().save(tmp_path / "model")
    assert "no run in" in ddpg("compare", tmp_path / "model.zip", code=2).stderr


def test_results_that_a_campaign_keeps(ddpg: Ddpg, tmp_path: Path) -> None:
    folder = tmp_path / "results" / "pendulum"
    folder.mkdir(parents=True)
    for seed in (0, 1):
        for setting, level in (("plain", -200.0), ("fast", -150.0)):
            result = {
                "env": "Pendulum-v1",
                "setting": setting,
                "seed": seed,
                "settings": {"tau": 0.5},
                "steps": [10, 20],
                "returns": [[level - 100, level], [level, level + seed]],
            }
            (folder / f"{setting}-seed-{seed}.json").write_text(json.dumps(result))
    (folder / "broken-seed-0.json").write_text('{"steps": ')
    printed = ddpg("compare", tmp_path / "results", "--json")
    summaries = {one["setting"]: one for one in json.loads(printed.stdout)["summaries"]}
    assert summaries["plain"]["runs"] == 2
    assert summaries["plain"]["final"]["mean"]["value"] == pytest.approx(-224.875)
    assert summaries["fast"]["best"]["mean"]["value"] == pytest.approx(-149.75)
    assert summaries["plain"]["environment"] == "Pendulum-v1"
    assert "broken-seed-0.json cannot be read: it is no result of a campaign" in printed.stderr
