import gc
import inspect
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import numpy as np
import pytest
from numpy.typing import NDArray
from stable_baselines3.common.env_util import make_vec_env
from stable_baselines3.common.vec_env import DummyVecEnv, SubprocVecEnv

from sb3_ddpg_custom.wrappers import RenderError, VideoMonitor, owned_file, video_file
from sb3_ddpg_custom.wrappers.schedule import episode_selector


class Film(gym.Env[Any, Any]):
    """Episodes of three steps whose frames have one colour each: 40 times the step, in red."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 12}  # noqa: RUF012
    observation_space = gym.spaces.Discrete(100)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, size: tuple[int, int] = (32, 48), render_mode: str | None = "rgb_array") -> None:
        self.render_mode = render_mode
        self.size = size
        self.calls: list[Any] = []
        self.length_steps = 3
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        self.calls.append(("reset", seed, options))
        self.steps = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.steps, 1.0, self.steps == self.length_steps, False, {"steps": self.steps}

    def render(self) -> Any:
        frame = np.zeros((*self.size, 3), np.uint8)
        frame[:, :, 0] = 40 * self.steps % 256
        return frame

    def close(self) -> None:
        self.calls.append("close")


def play(env: gym.Env[Any, Any], episodes: int = 1) -> None:
    for _ in range(episodes):
        env.reset()
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(1)
            over = terminated or truncated


def decode(path: Path) -> list[NDArray[Any]]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def fps(path: Path) -> Fraction | None:
    with av.open(path) as container:
        return container.streams.video[0].average_rate


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def selected(schedule: Any, episodes: int) -> list[int]:
    is_selected = episode_selector(schedule)
    return [episode for episode in range(episodes) if is_selected(episode)]


def test_cubic_schedule() -> None:
    assert selected("cubic", 3500) == [0, 1, 8, 27, 64, 125, 216, 343, 512, 729, 1000, 2000, 3000]


def test_other_schedules() -> None:
    assert selected("none", 100) == []
    assert selected(4, 10) == [0, 4, 8]
    assert selected(np.int64(5), 11) == [0, 5, 10]
    assert selected(lambda episode: episode in (2, 3), 10) == [2, 3]


@pytest.mark.parametrize("schedule", [0, -1, True, 2.5, "cubics", None])
def test_a_bad_schedule_is_refused(schedule: Any, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"schedule is .*: pass 'cubic', 'none', an integer"):
        VideoMonitor(Film(), tmp_path / "videos", schedule=schedule)
    assert names(tmp_path) == []


def test_a_video_has_the_reset_frame_and_every_step(tmp_path: Path) -> None:
    env = VideoMonitor(Film(), tmp_path)
    play(env)
    assert env.videos == [tmp_path / "episode-000000.mp4"]  # finished with the episode, not at close
    frames = decode(env.videos[0])
    assert [frame.shape for frame in frames] == [(32, 48, 3)] * 4
    np.testing.assert_allclose([frame[..., 0].mean() for frame in frames], [0, 40, 80, 120], atol=5)
    assert fps(env.videos[0]) == 12
    env.close()


def test_only_scheduled_episodes_are_rendered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film()
    env = VideoMonitor(film, tmp_path)
    play(env, episodes=7)
    monkeypatch.setattr(film, "render", lambda: pytest.fail("rendered an episode that is not recorded"))
    play(env)
    monkeypatch.undo()
    play(env, episodes=2)
    env.close()
    assert names(tmp_path) == ["episode-000000.mp4", "episode-000001.mp4", "episode-000008.mp4"]


def test_fps_is_30_when_the_environment_says_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Film, "metadata", {})
    env = VideoMonitor(Film(), tmp_path)
    play(env)
    assert fps(env.videos[0]) == 30


@pytest.mark.parametrize("rate", [0, -5, "fast", float("nan")])
def test_a_bad_fps_is_replaced_with_a_warning(rate: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Film, "metadata", {"render_fps": rate})
    with pytest.warns(UserWarning, match=r"metadata\['render_fps'\] is .*, no number above 0; .* 30 frames"):
        env = VideoMonitor(Film(), tmp_path)
    play(env)
    assert fps(env.videos[0]) == 30


@pytest.mark.parametrize(("size", "even"), [((31, 48), (32, 48)), ((33, 35), (34, 36)), ((1, 1), (2, 2))])
def test_odd_sizes_are_padded_to_even_ones(size: tuple[int, int], even: tuple[int, int], tmp_path: Path) -> None:
    env = VideoMonitor(Film(size), tmp_path)
    play(env)
    frames = decode(env.videos[0])
    assert [frame.shape for frame in frames] == [(*even, 3)] * 4
    np.testing.assert_allclose(frames[3][-1, :, 0], 120, atol=8)  # the last row is repeated, not black


def test_a_frame_of_another_size_is_rescaled_to_the_first(tmp_path: Path) -> None:
    film = Film()
    env = VideoMonitor(film, tmp_path)
    env.reset()
    film.size = (64, 20)
    for _ in range(3):
        env.step(1)
    assert [frame.shape for frame in decode(env.videos[0])] == [(32, 48, 3)] * 4


def test_seed_options_and_answers_pass_through(tmp_path: Path) -> None:
    film = Film()
    env = VideoMonitor(film, tmp_path)
    assert env.reset(seed=3, options={"level": 2}) == (0, {})
    assert env.step(1) == (1, 1.0, False, False, {"steps": 1})
    assert film.calls == [("reset", 3, {"level": 2})]
    env.close()


def test_a_reset_in_mid_episode_ends_the_video(tmp_path: Path) -> None:
    env = VideoMonitor(Film(), tmp_path, schedule=1)
    env.reset()
    env.step(1)
    env.reset()
    assert [len(decode(path)) for path in env.videos] == [2]
    env.close()
    assert [len(decode(path)) for path in env.videos] == [2, 1]


def test_close_flushes_before_it_closes_the_environment(tmp_path: Path) -> None:
    film = Film()
    env = VideoMonitor(film, tmp_path)
    env.reset()
    env.step(1)
    found: list[list[str]] = []
    film.close = lambda: found.append(names(tmp_path))  # type: ignore[method-assign]
    env.close()
    env.close()
    assert found == [["episode-000000.mp4"]]
    assert len(decode(env.videos[0])) == 2


def test_a_forgotten_monitor_leaves_a_whole_video(tmp_path: Path) -> None:
    env = VideoMonitor(Film(), tmp_path)
    env.reset()
    env.step(1)
    del env
    gc.collect()
    assert names(tmp_path) == ["episode-000000.mp4"]
    assert len(decode(tmp_path / "episode-000000.mp4")) == 2


def test_nothing_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "episode-000000.mp4").write_text("mine")
    first, second = VideoMonitor(Film(), tmp_path), VideoMonitor(Film(), tmp_path)
    first.reset()
    play(second)
    first.step(1)
    first.close()
    assert (tmp_path / "episode-000000.mp4").read_text() == "mine"
    assert second.videos == [tmp_path / "episode-000000-1.mp4"]
    assert first.videos == [tmp_path / "episode-000000-2.mp4"]
    assert [len(decode(env.videos[0])) for env in (second, first)] == [4, 2]


def test_nothing_is_overwritten_without_hard_links(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(self: Path, target: Path) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", unsupported)
    (tmp_path / "episode-000000.mp4").write_text("mine")
    env = VideoMonitor(Film(), tmp_path)
    play(env)
    assert names(tmp_path) == ["episode-000000-1.mp4", "episode-000000.mp4"]
    assert len(decode(env.videos[0])) == 4


def test_frames_are_streamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A recording holds no frames: the file grows while the episode runs."""
    film = Film((64, 64))
    film.length_steps = 10_000
    noise = np.random.default_rng(0)
    monkeypatch.setattr(film, "render", lambda: noise.integers(0, 256, (64, 64, 3), np.uint8))
    env = VideoMonitor(film, tmp_path)
    env.reset()
    sizes = []
    for _ in range(3):
        for _ in range(100):
            env.step(1)
        (partial,) = tmp_path.iterdir()
        sizes.append(partial.stat().st_size)
    assert partial.name.startswith(".episode-000000.")
    assert 0 < sizes[0] < sizes[1] < sizes[2]
    held = [value for value in vars(env._recording).values() if isinstance(value, (list, np.ndarray))]
    assert held == []
    env.close()
    assert len(decode(env.videos[0])) == 301


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
        raise AttributeError("'NoneType' object has no attribute 'glGetError'")

    monkeypatch.setattr(film, "render", render)
    with pytest.raises(RenderError, match=r"glGetError.*MUJOCO_GL=egl.*libosmesa6.*SDL_VIDEODRIVER=dummy"):
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
