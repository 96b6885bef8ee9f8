"""What TensorBoard's files of a run hold, read back."""

from pathlib import Path

import numpy as np
from helpers import Ddpg
from stable_baselines3.common.logger import TensorBoardOutputFormat

from sb3_ddpg_custom.cli.results.curves import read_curves


def write(folder: Path, steps: range, factor: float) -> None:
    writer = TensorBoardOutputFormat(str(folder))
    for step in steps:
        writer.write({"a/b": factor * step}, {"a/b": ()}, step)
    writer.close()


def test_what_was_computed_again_counts_once(tmp_path: Path) -> None:
    write(tmp_path, range(0, 50, 10), 1.0)
    (first,) = tmp_path.iterdir()
    first.rename(tmp_path / "events.out.tfevents.1")
    write(tmp_path, range(30, 80, 10), 2.0)  # gone on from step 30
    curve = read_curves(tmp_path)["a/b"]
    assert curve.steps.tolist() == [0, 10, 20, 30, 40, 50, 60, 70]
    assert curve.values.tolist() == [0, 10, 20, 60, 80, 100, 120, 140]


def test_a_folder_without_them_has_no_curves(tmp_path: Path) -> None:
    assert read_curves(tmp_path) == {}
    (tmp_path / "events.out.tfevents.1").write_bytes(b"no events " * 100)
    assert read_curves(tmp_path) == {}


def test_a_run_has_those_that_it_logged(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    ddpg("train", "Tiny-v0", *small, "--out", tmp_path)
    curves = read_curves(tmp_path / "Tiny-v0" / "1")
    with np.load(tmp_path / "Tiny-v0" / "1" / "evaluations.npz") as file:
        np.testing.assert_allclose(curves["eval/mean_reward"].values, file["results"].mean(axis=1), rtol=1e-6)
        assert curves["eval/mean_reward"].steps.tolist() == file["timesteps"].tolist()
    assert np.isfinite(curves["train/q_mean"].values).all()
