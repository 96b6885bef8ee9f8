"""``ddpg film``: a run's learning in one film."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from helpers import Ddpg
from PIL import Image

from sb3_ddpg_custom.cli.films.side_by_side import side_by_side
from sb3_ddpg_custom.wrappers.video_file import VideoFile


def made(folder: Path, name: str, colour: tuple[int, int, int], frames: int) -> Path:
    folder.mkdir(exist_ok=True)
    file = VideoFile(folder, name, fps=Fraction(25))
    for _ in range(frames):
        file.add(np.full((64, 80, 3), colour, np.uint8))
    path = file.finish()
    assert path is not None
    return path


def pictures(path: Path) -> list[Any]:
    with av.open(str(path)) as container:
        return [picture.to_ndarray(format="rgb24") for picture in container.decode(video=0)]


@pytest.fixture
def parts(tmp_path: Path) -> list[Path]:
    folder = tmp_path / "parts"
    return [made(folder, "red", (200, 0, 0), 10), made(folder, "blue", (0, 0, 200), 4)]


def test_films_stand_side_by_side_and_the_shorter_one_waits(parts: list[Path], tmp_path: Path) -> None:
    side_by_side(parts, ["one", "two"], tmp_path / "both.mp4")
    seen = pictures(tmp_path / "both.mp4")
    assert len(seen) == 10
    assert seen[0].shape == (94, 166, 3)  # 30 above, 6 between
    with av.open(str(tmp_path / "both.mp4")) as container:
        assert container.streams.video[0].average_rate == 25
    for number, picture in enumerate(seen):
        left, right = picture[60, 40], picture[60, 126]
        np.testing.assert_allclose(left, (200, 0, 0), atol=12)
        # 45 % of what it was, on white.
        np.testing.assert_allclose(right, (0, 0, 200) if number < 4 else (140, 140, 230), atol=14)
        assert picture[:26, :60].min() < 100  # there is something written
    assert not list(tmp_path.glob("*.part*"))


def test_a_gif_repeats_itself(parts: list[Path], tmp_path: Path) -> None:
    side_by_side(parts, ["one", "two"], tmp_path / "both.gif", fps=10)
    with Image.open(tmp_path / "both.gif") as picture:
        assert picture.info["loop"] == 0
        assert picture.info["duration"] >= 100
        picture.seek(0)
        red = np.asarray(picture.convert("RGB"))[60, 40]
    np.testing.assert_allclose(red, (200, 0, 0), atol=20)


def test_the_film_of_a_runs_learning(ddpg: Ddpg, tmp_path: Path) -> None:
    options = ("--steps", 400, "--eval-every", 100, "--eval-episodes", 1, "--seed", 1, "--video", "none")
    ddpg("train", "pendulum", *options, "--set", "policy_kwargs.net_arch=[8]", "--out", tmp_path)
    run = tmp_path / "Pendulum-v1" / "1"
    printed = ddpg("film", run, "--at", "0,50,100", "--max-steps", 12)
    assert printed.stdout.strip().endswith("videos/learning.mp4")
    captions = [line for line in printed.stderr.splitlines() if ": -" in line]
    assert [caption.split(":")[0] for caption in captions] == ["untrained", "step 200", "step 400"]
    seen = pictures(run / "videos" / "learning.mp4")
    assert len(seen) == 13
    first = seen[0][40:, :]
    width = (first.shape[1] - 12) // 3
    parts = [first[:, place * (width + 6) : place * (width + 6) + width].astype(int) for place in range(3)]
    assert all(np.abs(part - parts[0]).mean() < 3 for part in parts)  # one start state
    assert [path.name for path in (run / "videos").iterdir()] == ["learning.mp4"]
    ddpg("film", run, "--at", "100", "--max-steps", 3, "--out", tmp_path / "end.gif", "--fps", 5)
    with Image.open(tmp_path / "end.gif") as picture:
        assert picture.n_frames >= 2


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (("--at", "0,200"), "is no list of 1 to 6 percentages; write such as 0,10,30,100"),
        (("--at", "a"), "is no list"),
        (("--out", "x.avi"), "ends in neither .mp4 nor .gif"),
    ],
)
def test_what_cannot_be_asked_for_is_a_sentence(
    refused: Any, tiny_run: Path, options: tuple[str, ...], why: str
) -> None:
    assert why in refused("film", tiny_run, *options)


def test_a_folder_without_checkpoints_and_an_env_without_pictures(refused: Any, tiny_run: Path, tmp_path: Path) -> None:
    assert "has no checkpoints; name a run folder" in refused("film", tmp_path)
    assert "cannot draw images" in refused("film", tiny_run, "--out", tmp_path / "x.mp4")
    assert not [path for path in tmp_path.iterdir() if path.is_file() or path.name.startswith(".film-")]
