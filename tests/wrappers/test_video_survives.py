"""Films when a run is killed, forks, cannot draw or cannot write."""

import ctypes.util
import inspect
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.film_env import Film, decode, fps, names, play
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_ddpg_custom.wrappers import RenderError, VideoMonitor, owned_file, video_file

SCRIPT = f"""
import os, signal, sys
from typing import Any
import gymnasium as gym
import numpy as np
from sb3_ddpg_custom.wrappers import RenderError, VideoMonitor
{inspect.getsource(Film)}
{inspect.getsource(play)}
env = VideoMonitor(Film(), sys.argv[1], schedule=1)
play(env, episodes=2)
env.reset()
env.step(1)
"""  # the sources, since importing this module would import torch in every process


def run_until(end: str, folder: Path) -> subprocess.CompletedProcess[str]:
    code = SCRIPT + textwrap.dedent(end)
    return subprocess.run([sys.executable, "-c", code, str(folder)], capture_output=True, text=True, timeout=60)


def test_kill_leaves_whole_videos_only(tmp_path: Path) -> None:
    killed = run_until("os.kill(os.getpid(), signal.SIGKILL)", tmp_path)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    *hidden, first, second = names(tmp_path)
    assert [first, second] == ["episode-000000.mp4", "episode-000001.mp4"]
    assert [len(decode(tmp_path / name)) for name in (first, second)] == [4, 4]
    assert len(hidden) == 1
    assert hidden[0].endswith(".partial.mp4")
    VideoMonitor(Film(), tmp_path)  # the next run removes what nobody will finish
    assert names(tmp_path) == ["episode-000000.mp4", "episode-000001.mp4"]


def test_a_run_that_just_ends_flushes_and_prints_nothing(tmp_path: Path) -> None:
    ended = run_until("", tmp_path)
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, "", "")
    assert [len(decode(path)) for path in sorted(tmp_path.iterdir())] == [4, 4, 2]


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_a_forked_child_does_not_touch_the_recording(tmp_path: Path) -> None:
    end = """
    child = os.fork()
    env.step(1)
    if not child:
        env.close()
        sys.exit()
    os.waitpid(child, 0)
    env.close()
    """
    ended = run_until(end, tmp_path)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert [len(decode(path)) for path in sorted(tmp_path.iterdir())] == [4, 4, 3]


def test_cleaning_spares_the_recordings_of_live_monitors(tmp_path: Path) -> None:
    (tmp_path / ".mine.partial.mp4").write_text("not ours")
    first = VideoMonitor(Film(), tmp_path)
    first.reset()
    clean = (
        "import pathlib, sys; from sb3_ddpg_custom.wrappers import video_file;"
        "video_file.remove_abandoned(pathlib.Path(sys.argv[1]))"
    )
    video_file.remove_abandoned(tmp_path)  # in this process, where locks do not show
    subprocess.run([sys.executable, "-c", clean, str(tmp_path)], check=True, timeout=60)  # and in another one
    first.close()
    assert names(tmp_path) == [".mine.partial.mp4", "episode-000000.mp4"]


@pytest.mark.parametrize("mode", [None, "human", "rgb_array_list"])
def test_a_wrong_render_mode_is_refused_before_the_disk_is_touched(mode: str | None, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=f"render_mode is {mode!r}: build it with render_mode='rgb_array'"):
        VideoMonitor(Film(render_mode=mode), tmp_path / "videos")
    assert names(tmp_path) == []


def test_no_schedule_needs_no_rendering_and_no_folder(tmp_path: Path) -> None:
    env = VideoMonitor(Film(render_mode=None), tmp_path / "videos", schedule="none")
    play(env)
    env.close()
    assert names(tmp_path) == []


def test_a_missing_encoder_is_named_at_construction(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ImportError, match="pip install av"):
        VideoMonitor(Film(), tmp_path / "videos")
    assert names(tmp_path) == []


def test_an_unwritable_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"cannot write videos into .*file.* choose a folder"):
        VideoMonitor(Film(), tmp_path / "file")

    def denied(dir: Path) -> None:  # noqa: A002  # chmod would not stop root, who runs the tests in CI
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(tempfile, "TemporaryFile", denied)
    with pytest.raises(PermissionError, match=r"cannot write videos into .*Permission denied.* choose a folder"):
        VideoMonitor(Film(), tmp_path / "videos")


def test_a_failing_renderer_names_the_remedies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film()
    env = VideoMonitor(film, tmp_path)

    def render() -> None:
        exec(compile("raise AttributeError('glGetError')", "/site-packages/OpenGL/_errors.py", "exec"))

    monkeypatch.setattr(film, "render", render)
    monkeypatch.setenv("MUJOCO_GL", "osmesa")
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: None)
    with pytest.raises(RenderError, match=r"glGetError.*MUJOCO_GL=osmesa needs OSMesa: apt install libosmesa6, or"):
        env.reset()
    assert names(tmp_path) == []
    env.close()


@pytest.mark.parametrize(
    ("frame", "message"),
    [
        (None, "answered None, not a picture"),
        ([np.zeros((2, 2, 3), np.uint8)], "answered a list, not a picture"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
    ],
)
def test_what_is_no_picture_is_refused(
    frame: Any, message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Film()
    env = VideoMonitor(film, tmp_path)
    monkeypatch.setattr(film, "render", lambda: frame)
    with pytest.raises(RenderError, match=message):
        env.reset()
    assert names(tmp_path) == []


def test_films_may_end_without_ending_the_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A renderer that lost its display used to end a training of hours."""
    told: list[RenderError] = []
    film = Film()
    env = VideoMonitor(film, tmp_path, schedule=1, on_render_error=told.append)
    play(env)
    monkeypatch.setattr(film, "render", lambda: None)
    play(env, episodes=3)
    env.close()
    assert [str(error)[:28] for error in told] == ["render() answered None, not "]
    assert names(tmp_path) == ["episode-000000.mp4"]


@pytest.mark.parametrize(
    "grey",
    [
        np.full((8, 8), 100, np.uint8),
        np.full((8, 8, 1), 100, np.int64),
        np.full((8, 8), 100 / 255, np.float64),
        np.full((8, 8, 3), 100 / 255, np.float32),
        np.concatenate([np.full((8, 8, 3), 100, np.uint8), np.zeros((8, 8, 1), np.uint8)], axis=2),
    ],
)
def test_grey_transparent_and_float_pictures_are_filmed(
    grey: NDArray[Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Film()
    env = VideoMonitor(film, tmp_path)
    monkeypatch.setattr(film, "render", lambda: grey)
    play(env)
    frames = decode(env.videos[0])
    assert frames[0].shape == (8, 8, 3)
    np.testing.assert_allclose(frames[0], 100, atol=4)


def test_an_encoder_that_fails_leaves_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(self: Any, data: Any) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(owned_file.OwnedFile, "write", full)
    env = VideoMonitor(Film(), tmp_path)
    env.reset()
    with pytest.raises(OSError, match=r"cannot write the video .*episode-000000\.mp4 .*check the free space"):
        env.close()
    assert names(tmp_path) == []
    assert env.unwrapped.calls[-1] == "close"  # type: ignore[attr-defined]


def test_pendulum_without_a_display(tmp_path: Path) -> None:
    env = VideoMonitor(gym.make("Pendulum-v1", render_mode="rgb_array", max_episode_steps=20), tmp_path)
    env.reset(seed=0)
    for _ in range(20):
        env.step(env.action_space.sample())
    frames = decode(env.videos[0])
    assert [frame.shape for frame in frames] == [(500, 500, 3)] * 21
    assert fps(env.videos[0]) == 30
    assert frames[0].std() > 10  # a rod on white, not a blank picture
    assert not np.array_equal(frames[0], frames[-1])
    env.close()


@pytest.mark.parametrize("vec_env", [DummyVecEnv, SubprocVecEnv])
def test_environments_of_a_vec_env_share_a_folder(
    vec_env: type[DummyVecEnv] | type[SubprocVecEnv], tmp_path: Path
) -> None:
    envs = make_vec_env(
        "Pendulum-v1",
        n_envs=2,
        env_kwargs={"max_episode_steps": 3},
        wrapper_class=lambda env, **kwargs: VideoMonitor(env, **kwargs),
        wrapper_kwargs={"folder": tmp_path},
        vec_env_cls=vec_env,
    )
    envs.reset()
    for _ in range(3):
        envs.step(np.zeros((2, 1), np.float32))
    videos = [path.name for paths in envs.get_attr("videos") for path in paths]
    assert sorted(videos) == ["episode-000000-1.mp4", "episode-000000.mp4"]
    envs.close()
    assert sorted(len(decode(path)) for path in tmp_path.iterdir()) == [1, 1, 4, 4]
