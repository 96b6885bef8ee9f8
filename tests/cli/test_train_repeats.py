"""The same command again gives the same run; what is printed and recorded can be pasted."""

import shlex
from pathlib import Path

import numpy as np
import pytest
import torch as th
import yaml
from helpers import Ddpg
from helpers.zips import assert_same_run, tensors


def test_the_same_command_twice_gives_the_same_run(
    ddpg: Ddpg, small: tuple[str, ...], tiny_run: Path, tmp_path: Path
) -> None:
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small)
    assert_same_run(tiny_run, tmp_path / "Tiny-v0" / "1")
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, "--seed", 8)
    with pytest.raises(AssertionError):
        assert_same_run(tiny_run, tmp_path / "Tiny-v0" / "2")


def test_the_recorded_command_repeats_the_run(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    command = shlex.split(yaml.safe_load((tiny_run / "config.yml").read_text())["run"]["repeat_with"])
    assert ["--seed", "7", "--config", str(tiny_run / "config.yml")] == command[3:7]
    ddpg(*command[1:], "--out", tmp_path)
    again = tmp_path / "Tiny-v0" / "1"
    assert_same_run(tiny_run, again)
    with np.load(tiny_run / "evaluations.npz") as ours, np.load(again / "evaluations.npz") as theirs:
        assert ours["results"].tolist() == theirs["results"].tolist()


def test_a_continued_run_is_repeated_with_its_start(
    ddpg: Ddpg, small: tuple[str, ...], tiny_run: Path, tmp_path: Path
) -> None:
    """The recorded command used to leave out --from, and so repeated another training."""
    start = tiny_run / "final.zip"
    ddpg("train", "Tiny-v0", "--from", start, "--out", tmp_path, *small)
    first = tmp_path / "Tiny-v0" / "1"
    ddpg(*shlex.split(yaml.safe_load((first / "config.yml").read_text())["run"]["repeat_with"])[1:], "--out", tmp_path)
    assert_same_run(first, tmp_path / "Tiny-v0" / "2")


def test_from_begins_with_the_checkpoint(ddpg: Ddpg, small: tuple[str, ...], tiny_run: Path, tmp_path: Path) -> None:
    no_updates = ("--set", "learning_starts=1000", "--set", "noise_type=null", "--set", "noise_std=null")
    ddpg("train", "Tiny-v0", "--from", tiny_run / "final.zip", "--out", tmp_path, *small, *no_updates)
    before, after = tensors(tiny_run / "final.zip"), tensors(tmp_path / "Tiny-v0" / "1" / "final.zip")
    assert all(th.equal(before[name], after[name]) for name in before)
    ddpg("train", "Tiny-v0", "--out", tmp_path, *small, *no_updates)
    fresh = tensors(tmp_path / "Tiny-v0" / "2" / "final.zip")
    assert not th.equal(fresh["policy.actor.mu.0.weight"], before["policy.actor.mu.0.weight"])
