import gc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers.film_env import Film, decode, fps, names, play

from sb3_ddpg_custom.wrappers import VideoMonitor
from sb3_ddpg_custom.wrappers.schedule import episode_selector


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
