"""``ddpg film``: a run's learning in one film."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import torch as th
from helpers import Ddpg
from PIL import Image

from sb3_ddpg_custom import DDPG
from sb3_ddpg_custom.checkpoint import build_policy, read_checkpoint
from sb3_ddpg_custom.cli.environments.q_readout import QReadout
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
    side_by_side(parts, ["one", "two"], tmp_path / "both.gif")
    with Image.open(tmp_path / "both.gif") as picture:
        assert picture.info["loop"] == 0
        assert picture.n_frames == 10
        for number in range(10):
            picture.seek(number)
            assert picture.info["duration"] == 40  # 25 a second, in hundredths
            seen = np.asarray(picture.convert("RGB"))
            np.testing.assert_allclose(seen[60, 40], (200, 0, 0), atol=12)
            np.testing.assert_allclose(seen[60, 126], (0, 0, 200) if number < 4 else (140, 140, 230), atol=14)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["both.gif", "parts"]


def test_a_gif_of_a_long_film_leaves_pictures_out_and_keeps_its_length(tmp_path: Path) -> None:
    film = made(tmp_path / "parts", "long", (200, 0, 0), 500)
    side_by_side([film], ["x"], tmp_path / "long.gif")
    with Image.open(tmp_path / "long.gif") as picture:
        durations = []
        for number in range(picture.n_frames):
            picture.seek(number)
            durations.append(picture.info["duration"])
    assert picture.n_frames <= 240
    assert sum(durations) == pytest.approx(20_000, rel=0.01)


def test_films_stand_in_rows(parts: list[Path], tmp_path: Path) -> None:
    side_by_side([*parts, parts[0]], ["one", "two", "three"], tmp_path / "all.mp4", columns=2)
    first = pictures(tmp_path / "all.mp4")[0]
    assert first.shape == (194, 166, 3)
    for place, colour in {(60, 40): (200, 0, 0), (60, 126): (0, 0, 200), (160, 40): (200, 0, 0)}.items():
        np.testing.assert_allclose(first[place], colour, atol=12)
    np.testing.assert_allclose(first[160, 126], 255, atol=3)  # nothing there


def test_an_evaluation_in_one_film(ddpg: Ddpg, pendulum_run: Any, tmp_path: Path, refused: Any) -> None:
    out = tmp_path / "new" / "all.mp4"
    options = ("--checkpoint", pendulum_run[0], "--max-steps", 10, "--seed", 5)
    played = ddpg("evaluate", *options, "--episodes", 3, "--video", out, "--overlay", "--fps", 10)
    assert str(out) in played.stdout
    seen = pictures(out)
    assert len(seen) == 5  # the start, steps 3, 6 and 9, and the end
    assert seen[0].shape[0] > seen[0].shape[1] > 1000  # two in a row, two rows, and the bands
    assert [path.name for path in out.parent.iterdir()] == ["all.mp4"]
    told = refused("evaluate", *options, "--episodes", 26, "--video", tmp_path / "x.gif")
    assert "would show 26 episodes in one picture, and 25 fit; add --episodes 9, or name a folder" in told
    assert not (tmp_path / "x.gif").exists()
    assert "--overlay is about films, and none are made; add --video DIR" in refused("evaluate", *options, "--overlay")
    assert "--fps is about films" in refused("train", "pendulum", "--video", "none", "--fps", 5, "--out", tmp_path)
    assert "--fps is about films" in refused("train", "pendulum", "--seeds", "0-1", "--fps", 5, "--out", tmp_path)


def test_the_q_that_films_show_is_the_critics(pendulum_run: Any) -> None:
    model = DDPG.load(pendulum_run[0] / "best.zip")
    checkpoint = read_checkpoint(pendulum_run[0] / "best.zip")
    policy = build_policy(checkpoint, model.observation_space, model.action_space, "cpu", with_critic=True)
    observations = np.array([[0.6, 0.8, -1.0], [1.0, 0.0, 0.0]], np.float32)
    readout = QReadout()
    assert readout(np.array([1.0])) is None
    player = readout.playing(policy)
    player.predict(observations, deterministic=True)
    with th.no_grad():  # torques are twice what the networks know
        expected = model.policy.critic.q1_forward(th.tensor(observations[:1]), th.tensor([[0.5]]))
    assert readout(np.array([1.0], np.float32)) == pytest.approx(float(expected), rel=1e-6)


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
    ddpg("film", run, "--at", "100", "--max-steps", 9, "--out", tmp_path / "end.gif", "--fps", 10, "--overlay")
    with Image.open(tmp_path / "end.gif") as picture:
        assert picture.n_frames == 4  # the start, steps 3 and 6, and the end


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
