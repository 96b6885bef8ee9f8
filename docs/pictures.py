"""The pictures of the README and the docs, made from a real run: make pictures.

python docs/pictures.py     # trains Pendulum, takes its curve, film, report and screen; needs Chromium for the report

``pictures.json`` says of which sources each picture is; a test fails where one has changed since.
"""

import hashlib
import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rich.console import Console

from sb3_ddpg_custom.cli.status import Status, read_status
from sb3_ddpg_custom.cli.watching.panel import panel

DOCS = Path(__file__).resolve().parent
ROOT = DOCS.parent
NOTE = DOCS / "pictures.json"
#: what each picture shows
SOURCES = {
    "pendulum.png": ("cli/figures/curve.py",),
    "learning.gif": ("cli/films/side_by_side.py", "cli/films/gif_file.py", "cli/films/learning.py"),
    "episodes.gif": ("cli/films/side_by_side.py", "cli/films/gif_file.py", "wrappers/step_overlay.py"),
    "report.png": ("cli/report/page.html.j2", "cli/report/style.css", "cli/report/charts.js", "cli/report/charts.py"),
    "screen.svg": ("cli/watching/panel.py",),
    "rooms.svg": ("docs/rooms.py",),
}
_MIDST = 2500  # env steps of 5,000


def digest(name: str) -> str:
    """Name the state of what a picture shows.

    :param name: of the picture
    """
    parts = [(ROOT / source).read_bytes() for source in SOURCES[name]]
    return hashlib.sha256(b"\0".join(parts)).hexdigest()[:16]


def main() -> None:
    """Make all pictures, and note what they show."""
    ddpg = [sys.executable, "-m", "sb3_ddpg_custom.cli"]
    with tempfile.TemporaryDirectory() as scratch:
        run = Path("runs", "Pendulum-v1", "1")  # as the page shall show it
        training = subprocess.Popen([*ddpg, "train", "pendulum", "--seed", "0", "--quiet"], cwd=scratch)
        _draw_screen(_status_in_the_midst(Path(scratch) / run, training), DOCS / "screen.svg")
        training.wait()
        shutil.copy(Path(scratch) / run / "curve.png", DOCS / "pendulum.png")
        film = [*ddpg, "film", str(run), "--at", "0,20,30,100"]
        for rest in (["--out", str(DOCS / "learning.gif")], []):
            subprocess.run([*film, *rest], check=True, capture_output=True, cwd=scratch)
        played = [*ddpg, "evaluate", "--checkpoint", str(run), "--episodes", "4", "--video", str(DOCS / "episodes.gif")]
        subprocess.run([*played, "--overlay", "--fps", "15"], check=True, capture_output=True, cwd=scratch)
        subprocess.run([*ddpg, "report", str(run)], check=True, capture_output=True, cwd=scratch)
        _photograph(Path(scratch) / run / "report.html", DOCS / "report.png")
    subprocess.run([sys.executable, str(DOCS / "rooms.py")], check=True)
    NOTE.write_text(json.dumps({name: digest(name) for name in SOURCES}, indent=1) + "\n")


def _photograph(page: Path, out: Path) -> None:
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        view = browser.new_page(viewport={"width": 1000, "height": 900})
        view.goto(page.as_uri())
        chart = view.locator(".chart").first
        box = chart.bounding_box()
        if box is not None:
            view.mouse.move(box["x"] + 0.6 * box["width"], box["y"] + 0.4 * box["height"])
        view.screenshot(path=str(out))
        browser.close()


def _status_in_the_midst(run: Path, training: "subprocess.Popen[bytes]") -> Status:
    while training.poll() is None:
        status = read_status(run)
        if status is not None and status.state == "training" and status.step >= _MIDST:
            return status
        time.sleep(0.05)
    raise SystemExit("the training was over before its screen was taken")


def _draw_screen(status: Status, out: Path) -> None:
    """Draw what a terminal shows of a training."""
    console = Console(record=True, width=84, file=io.StringIO(), force_terminal=True)
    console.print("$ ddpg train pendulum")
    console.print(panel(status, width=84))
    draw: Callable[..., None] = console.save_svg
    draw(str(out), title="ddpg train pendulum", unique_id="screen")


if __name__ == "__main__":
    main()
