"""The page in a real browser: curves, films, narrow and dark screens, and whoever uses no mouse or sees no picture."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Ddpg

api = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = [
    pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium"),
    # The browser's own event loop and transport.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
CAPTION = "Return of an episode"


@pytest.fixture(scope="module")
def page_file(ddpg: Ddpg, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A page about a short training with films."""
    out = tmp_path_factory.mktemp("report")
    options = ("--steps", 1200, "--eval-every", 200, "--eval-episodes", 3, "--seed", 1, "--video", "cubic")
    ddpg("train", "pendulum", *options, "--set", "policy_kwargs.net_arch=[16]", "--out", out)
    return out / "Pendulum-v1" / "1" / "report.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


class Watched:
    """A page that is open, and what it said and asked for meanwhile."""

    def __init__(self, browser: Any, path: Path, **options: Any) -> None:
        self.context = browser.new_context(**options)
        self.page = self.context.new_page()
        self.faults: list[str] = []
        self.page.on("console", lambda message: self.faults.append(message.text))
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", lambda request: self._asked(request.url))
        self.page.goto(path.as_uri())
        self.figure = self.page.locator("figure", has=self.page.get_by_text(CAPTION)).first

    def _asked(self, url: str) -> None:
        if not url.startswith(("file:", "data:")):
            self.faults.append(url)


@pytest.fixture(params=[("light", 1100), ("dark", 360)], ids=["desk, light", "phone, dark"])
def watched(request: pytest.FixtureRequest, browser: Any, page_file: Path) -> Iterator[Watched]:
    scheme, width = request.param
    opened = Watched(browser, page_file, color_scheme=scheme, viewport={"width": width, "height": 800})
    yield opened
    assert opened.faults == []
    opened.context.close()


def test_it_fits_and_anybody_can_read_it(watched: Watched) -> None:
    axe: Any = pytest.importorskip("axe_playwright_python.sync_playwright").Axe()
    width = watched.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert width == 0
    assert watched.page.locator("figure svg polyline").count() >= 6
    found = axe.run(watched.page).response["violations"]
    assert [(one["id"], [node["html"][:100] for node in one["nodes"]]) for one in found] == []


def test_values_are_told_under_the_pointer_and_by_the_keys(watched: Watched) -> None:
    chart, told = watched.figure.locator(".chart"), watched.figure.locator(".told")
    assert told.inner_text() == ""
    chart.scroll_into_view_if_needed()
    box = chart.bounding_box()
    watched.page.mouse.move(box["x"] + box["width"] - 15, box["y"] + 60)
    assert told.inner_text().startswith("step 1200: evaluations, with 95 % of their mean -")
    assert " to -" in told.inner_text()
    watched.page.mouse.move(0, 0)
    assert told.inner_text() == ""
    chart.focus()
    for _ in range(4):
        watched.page.keyboard.press("ArrowRight")
    assert told.inner_text().startswith("step 200: ")


def test_a_stretch_that_is_dragged_over_is_looked_at_closer(watched: Watched) -> None:
    chart, button = watched.figure.locator(".chart"), watched.figure.locator("button")

    def ticks() -> list[str]:
        return [text.text_content() for text in watched.figure.locator("svg text").all()]

    chart.scroll_into_view_if_needed()
    before, box = ticks(), chart.bounding_box()
    assert button.is_hidden()
    watched.page.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 60)
    watched.page.mouse.down()
    watched.page.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 60, steps=3)
    watched.page.mouse.up()
    assert ticks() != before
    button.click()
    assert ticks() == before
    assert button.is_hidden()


def test_films_play(watched: Watched) -> None:
    films = watched.page.locator("video")
    assert films.count() == 3
    film = films.last
    film.scroll_into_view_if_needed()
    film.evaluate("film => { film.muted = true; return film.play(); }")
    watched.page.wait_for_function("film => film.currentTime > 0.2", arg=film.element_handle())
    assert film.evaluate("film => film.error") is None
    assert film.evaluate("film => film.duration") > 1
