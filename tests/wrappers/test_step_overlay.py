from pathlib import Path
from typing import Any

import gymnasium as gym
import numpy as np
import pytest
from helpers.film_env import Film, decode, fps, play

from sb3_ddpg_custom.wrappers import Moment, StepOverlay, VideoMonitor

BOX = gym.spaces.Box(np.array([-2.0, 0.0], np.float32), np.array([2.0, 1.0], np.float32))
WIDE = 400
RED = np.full((64, WIDE, 3), (200, 0, 0), np.uint8)
# Blue above the middle of the bounds, orange below it, grey where there is nothing.
HIGH, LOW, GREY = (38, 104, 176), (201, 96, 32), (205, 205, 205)
BARS = 64 + 3 + 20  # behind the picture, a margin and a line of text


def bar(picture: Any, place: int, share: float) -> tuple[int, ...]:
    """The colour of a bar at a share of its length; figures stand at the right."""
    return tuple(int(value) for value in picture[BARS + 16 * place + 8, round(6 + share * (WIDE - 12 - 52))])


def test_the_picture_stays_and_the_action_is_a_bar_from_bound_to_bound() -> None:
    drawn = StepOverlay(BOX)(RED, Moment(3, np.array([1.0, 0.25], np.float32), -12.5))
    np.testing.assert_array_equal(drawn[:64], RED)
    # 1 of [-2, 2] is at three quarters; 0.25 of [0, 1] at one.
    assert [bar(drawn, 0, at) for at in (0.3, 0.6, 0.7, 0.8)] == [GREY, HIGH, HIGH, GREY]
    assert [bar(drawn, 1, at) for at in (0.2, 0.3, 0.4, 0.6)] == [GREY, LOW, LOW, GREY]


def test_all_pictures_of_a_film_have_one_size_and_say_other_things() -> None:
    overlay = StepOverlay(BOX, q_value=lambda action: float(action[0]) * 100)
    first = overlay(RED, Moment(0, None, 0.0))
    later = overlay(RED, Moment(7, np.array([1.0, 0.0], np.float32), -12.5))
    other = overlay(RED, Moment(7, np.array([1.0, 0.0], np.float32), -99.5))
    assert first.shape == later.shape == other.shape
    text = [picture[64:BARS] for picture in (first, later, other)]
    assert all(part.min() < 80 for part in text)  # something is written
    assert not np.array_equal(text[0], text[1])
    assert not np.array_equal(text[1], text[2])
    assert bar(first, 0, 0.6) == GREY


def test_q_is_asked_for_the_action_that_led_here_and_only_then() -> None:
    asked: list[Any] = []

    def q_value(action: Any) -> float | None:
        asked.append(action)
        return None

    overlay = StepOverlay(BOX, q_value=q_value)
    overlay(RED, Moment(0, None, 0.0))
    overlay(RED, Moment(1, np.array([0.5, 0.5]), 0.0))
    assert [list(action) for action in asked] == [[0.5, 0.5]]


@pytest.mark.parametrize("width", [8, 100, 239, 240])
def test_small_pictures_are_enlarged(width: int) -> None:
    drawn = StepOverlay(BOX)(np.zeros((10, width, 3), np.uint8), Moment(0, None, 0.0))
    times = {8: 30, 100: 3, 239: 2, 240: 1}[width]
    assert drawn.shape[1] == width * times
    assert not drawn[: 10 * times].any()


def test_many_components_are_thin_bars_and_what_does_not_fit_is_left_out() -> None:
    space = gym.spaces.Box(-1, 1, (5, 20))
    drawn = StepOverlay(space)(RED, Moment(1, np.ones((5, 20)), 0.0))
    assert len(drawn) == BARS + 24 * 4 + 6


def test_without_bounds_the_largest_so_far_is_one() -> None:
    overlay = StepOverlay(gym.spaces.Box(-np.inf, np.inf, (1,)))
    assert bar(overlay(RED, Moment(1, np.array([8.0]), 0.0)), 0, 0.97) == HIGH
    drawn = overlay(RED, Moment(2, np.array([4.0]), 0.0))
    assert [bar(drawn, 0, at) for at in (0.7, 0.8)] == [HIGH, GREY]


def test_other_spaces_and_returns_that_are_no_numbers() -> None:
    drawn = StepOverlay(gym.spaces.Discrete(3))(RED, Moment(1, 2, float("nan")))
    assert len(drawn) == BARS + 6
    assert StepOverlay(gym.spaces.Dict({}))(RED, Moment(1, {}, float("nan"))).shape == drawn.shape
    odd = StepOverlay(BOX)(RED, Moment(1, np.array([np.nan, np.inf]), float("inf")))
    assert odd.shape[1] == WIDE


def test_a_film_knows_the_moment(tmp_path: Path) -> None:
    moments: list[Moment] = []

    def draw(picture: Any, moment: Moment) -> Any:
        moments.append(moment)
        return picture

    env = VideoMonitor(Film(), tmp_path, draw_on=draw, schedule=lambda episode: episode == 1)
    play(env, episodes=2)
    assert moments == [Moment(0, None, 0.0), Moment(1, 1, 1.0), Moment(2, 1, 2.0), Moment(3, 1, 3.0)]


@pytest.mark.parametrize(("wanted", "drawn", "rate"), [(None, [0, 40, 80, 120], 12), (30, [0, 40, 80, 120], 12)])
def test_a_film_never_has_more_pictures_than_steps(wanted: Any, drawn: list[int], rate: int, tmp_path: Path) -> None:
    env = VideoMonitor(Film(), tmp_path, fps=wanted)
    play(env)
    np.testing.assert_allclose([frame[..., 0].mean() for frame in decode(env.videos[0])], drawn, atol=5)
    assert fps(env.videos[0]) == rate


def test_fewer_pictures_keep_the_pace_and_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    film = Film()
    film.length_steps = 6
    rendered: list[int] = []
    render = film.render

    def counted() -> Any:
        rendered.append(film.steps)
        return render()

    monkeypatch.setattr(film, "render", counted)
    env = VideoMonitor(film, tmp_path, fps=3.2, schedule=lambda episode: episode < 2)  # of 12: every fourth
    play(env)
    assert rendered == [0, 4, 6]  # nothing is drawn in vain
    assert fps(env.videos[0]) == 3
    assert len(decode(env.videos[0])) == 3
    rendered.clear()
    env.reset()
    env.step(1)
    env.reset()  # whoever cuts an episode from outside does so
    assert rendered == [0, 1]


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf")])
def test_a_rate_that_is_none_is_refused(rate: float, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"fps is .*: pass a number above 0, or None to film every step"):
        VideoMonitor(Film(), tmp_path, fps=rate)
