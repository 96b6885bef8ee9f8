"""The learning curve: what is drawn, and when there is nothing to draw."""

from pathlib import Path

import numpy as np
import pytest

from sb3_ddpg_custom.cli.figures.curve import draw_learning_curve, running_mean


def test_a_running_mean_by_hand() -> None:
    assert running_mean(np.array([1.0, 2.0, 3.0, 4.0]), 2).tolist() == [1.5, 2.5, 3.5]


def test_a_run_without_episodes_has_no_curve(tmp_path: Path) -> None:
    assert draw_learning_curve(tmp_path, "nothing") is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("returns", [[-1.0], [np.nan, -1.0, np.inf], list(np.linspace(-9, 0, 50))])
def test_it_is_a_picture_whatever_the_returns_are(tmp_path: Path, returns: list[float]) -> None:
    steps = np.arange(len(returns)) + 1
    columns = {"lengths": steps, "timesteps": steps, "env": steps, "seconds": steps * 1.0, "qmax": steps * 1.0}
    np.savez(tmp_path / "rewards.npz", rewards=np.array(returns), **columns)  # type: ignore[arg-type]
    np.savez(tmp_path / "evaluations.npz", timesteps=steps, results=np.array([returns, returns]).T)
    path = draw_learning_curve(tmp_path, "a run")
    assert path == tmp_path / "curve.png"
    assert path.read_bytes().startswith(b"\x89PNG")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["curve.png", "evaluations.npz", "rewards.npz"]
