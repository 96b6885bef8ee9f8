"""What cannot be asked of many runs is said in one sentence, before anything runs."""

from pathlib import Path
from typing import Any

import pytest
import yaml

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.experiments.options import read_seeds


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", r"--seeds \(nothing\) is no list of seeds"),
        ("a", "is no list of seeds"),
        ("-3", "is no list of seeds"),
        ("1,,2", "is no list of seeds"),
        ("3-1", "counts downwards; write 1-3"),
        ("0-10000", "more than 10,000"),
        ("0-99999999999", "more than 10,000"),
        ("1,0-2", "names a seed twice"),
    ],
)
def test_what_are_no_seeds(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why):
        read_seeds(text)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"env": ["pendulum"]}, "`mine.yml`: unknown key 'env'; did you mean 'envs'?"),
        ({"envs": "pendulum"}, "`mine.yml`: envs is 'pendulum'; write a list such as [hopper, walker2d]"),
        ({"envs": ["pendulun"]}, "unknown environment 'pendulun'; did you mean 'pendulum'?"),
        ({"envs": ["pendulum", "Pendulum-v1"]}, "Pendulum-v1 with the setting default is there twice; name each once"),
        ({"seeds": "x"}, "`mine.yml`: seeds x is no list of seeds; write such as 0-9 or 0,3,5-7"),
        ({"seeds": None}, "`mine.yml`: seeds is missing; write such as 0-9 or 0,3,5-7"),
        ({"settings": {"a/b": {}}}, "setting 'a/b' is no name for a folder; leave out slashes"),
        ({"settings": {"a": 3}}, "`mine.yml`: settings.a is 3; write hyper-parameters, or a configuration's path"),
        ({"settings": {"a": {"tao": 3}}}, "`mine.yml`: tao: unknown key 'tao'; did you mean 'tau'?"),
        ({"settings": {"a": {"tau": 3}}}, "`mine.yml`: tau is 3; expected a number above 0 and at most 1"),
        ({"settings": {"a": "no.yml"}}, "no.yml"),
        ({"train": {"steps": -3}}, "`mine.yml`: train.steps is -3; expected a whole number of at least 1"),
        (
            {"train": {"steps": True}},
            "`mine.yml`: train.steps is True; it should be something other than true or false",
        ),
        ({"settings": {"a": {"preset": "nix"}}}, "`mine.yml`: preset 'nix' is unknown"),
        ({"train": {"step": 3}}, "`mine.yml`: unknown key train.step; did you mean 'steps'?"),
        ({"train": {"eval_episodes": 0}}, "`mine.yml`: train.eval_episodes is 0; it should be at least 1"),
        ({"train": {"video": "all"}}, "`mine.yml`: train.video is 'all'; --video all is neither none, cubic nor"),
        ({"train": {"seed": 3}}, "`mine.yml`: unknown key train.seed"),
        ({"name": "../x"}, "`mine.yml`: name '../x' is no name for a folder"),
        (None, "`mine.yml` holds None; a study has the keys name, envs, seeds, settings, train"),
    ],
)
def test_what_is_wrong_in_a_study_is_a_sentence(
    refused: Any, tmp_path: Path, change: dict[str, Any] | None, sentence: str
) -> None:
    document = None if change is None else {"envs": ["pendulum"], "seeds": "0-1", **change}
    path = tmp_path / "here" / ".." / "mine.yml"
    path.write_text(yaml.safe_dump(document))
    assert sentence in refused("study", path).replace("../mine.yml", "mine.yml")


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("hopper",), "hopper is a second environment, and several need --seeds"),
        (("--jobs", "2"), "--jobs is for many runs; add --seeds, such as --seeds 0-4"),
        (("--compare", "a.yml"), "--compare is for many runs; add --seeds"),
        (("--seeds", "0", "--seed", "1"), "--seed 1 and --seeds 0 are both there; leave one of them out"),
        (("--seeds", "0", "--render"), "--render shows one run in a window"),
        (("--seeds", "0", "--jobs", "0"), "--jobs 0 is neither auto nor a whole number of at least 1"),
        (("--seeds", "0", "--on", "rey"), "--on rey is no place to compute; did you mean 'ray'?"),
        (("--seeds", "0", "--slurm", "partition=x"), "--slurm is for --on slurm; add that, or leave it out"),
        (("--seeds", "0", "--on", "slurm:local", "--slurm", "x"), "--slurm x is not such as partition=gpu"),
        (("--seeds", "4294967296"), "--seed 4294967296 is out of range"),
        (("--seeds", "0", "--compare", "x"), "--compare x is neither a .yml file, KEY=VALUE, a preset nor default"),
        (("--seeds", "0", "--compare", "plain", "robst"), "a preset nor default; did you mean 'robust'?"),
        (("--seeds", "0", "--compare", "a=1"), "--set a: unknown key 'a'"),
        (("--seeds", "0", "--compare", "x.yml", "--config", "y.yml"), "are both files; leave out --config"),
        (("--seeds", "0", "--name", "a/b"), "--name 'a/b' is no name for a folder"),
        (("--seeds", "0", "--set", "gamma=2"), "--set gamma is 2; expected a number from 0 to 1"),
    ],
)
def test_what_cannot_be_asked_for_is_a_sentence(refused: Any, options: tuple[str, ...], sentence: str) -> None:
    assert sentence in refused("train", "pendulum", *options)
