"""``ddpg report``: what is on the page, of whole, unfinished and hostile runs."""

import html
import json
import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from helpers import Ddpg


def written(ddpg: Ddpg, out: Path, *runs: Path) -> str:
    ddpg("report", *runs, "--out", out)
    return out.read_text("utf-8")


def charts(page: str) -> list[dict[str, Any]]:
    found = re.search(r'<script type="application/json" id="charts">(.*?)</script>', page, re.DOTALL)
    assert found is not None
    made: list[dict[str, Any]] = json.loads(found[1])
    return made


def asks_for_nothing(page: str) -> bool:
    """Whether a browser that shows the page has to load nothing else."""
    return "default-src 'none'" in page and not re.search(r"""(src|href)=["']?(?!data:)""", page)


def test_training_leaves_a_page_about_itself(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    printed = ddpg("train", "Tiny-v0", *small, "--out", tmp_path)
    path = tmp_path / "Tiny-v0" / "1" / "report.html"
    assert re.search(r"^report +.*report\.html$", printed.stdout, re.MULTILINE)
    page = path.read_text("utf-8")
    assert "<h1>Tiny-v0, seed 7</h1>" in page
    assert asks_for_nothing(page)
    with np.load(path.with_name("evaluations.npz")) as file:
        means, steps = file["results"].mean(axis=1), file["timesteps"]
    first = charts(page)[0]
    assert first["title"] == "Return of an episode"
    assert first["lines"][0]["x"] == steps.tolist()
    np.testing.assert_allclose(first["lines"][0]["y"], means, rtol=1e-4)
    titles = [chart["title"] for chart in charts(page)]
    assert {"What Q promises, and what came of it", "The critic's loss"} <= set(titles)
    assert f"best evaluation</th><td>{means.max():.2f}</td>" in page
    assert "learning_starts</th><td>20</td>" in page
    assert "ddpg train Tiny-v0 --seed 7" in page
    assert re.search(r"torch</th><td>\d", page)


def test_several_runs_stand_side_by_side(ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path) -> None:
    for seed in (1, 2):
        for size in (8, 16):
            ddpg(
                *("train", "Tiny-v0", *small, "--seed", seed, "--set", f"policy_kwargs.net_arch=[{size}]"),
                *("--name", f"{size}-seed-{seed}", "--out", tmp_path),
            )
    page = written(ddpg, tmp_path / "out" / "page.html", tmp_path)
    assert "<h1>4 runs on Tiny-v0</h1>" in page
    together = charts(page)[-1]
    assert [line["name"] for line in together["lines"]] == [
        "policy_kwargs.net_arch=[8] (2)",
        "policy_kwargs.net_arch=[16] (2)",
    ]
    assert len(together["lines"][0]["low"]) == len(together["lines"][0]["x"])
    assert page.count("<details><summary>Tiny-v0, policy_kwargs.net_arch=") == 4
    assert "Nothing can be said about policy_kwargs.net_arch=" in page
    assert asks_for_nothing(page)


@pytest.mark.parametrize(
    "left", [(), ("config.yml",), ("config.yml", "evaluations.npz"), ("config.yml", "rewards.npz")]
)
def test_of_what_is_missing_the_rest_is_shown(
    ddpg: Ddpg, tiny_run: Path, tmp_path: Path, left: tuple[str, ...]
) -> None:
    run = tmp_path / "run"
    run.mkdir()
    (run / "config.yml").touch()
    for name in left:
        shutil.copy(tiny_run / name, run)
    if not left:
        shutil.copy(tiny_run / "rewards.npz", run)
    page = written(ddpg, tmp_path / "page.html", run)
    assert "There are no curves of what went on inside" in page
    assert ("no evaluations" in page) == ("evaluations.npz" not in left)


def test_a_run_that_is_under_way_has_a_page(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(tiny_run, run)
    (run / "state" / "done").unlink()
    status = json.loads((run / "status.json").read_text())
    (run / "status.json").write_text(json.dumps({**status, "state": "training", "step": 60}))
    assert "training, or killed" in written(ddpg, tmp_path / "page.html", run)
    (run / "status.json").write_text(json.dumps({**status, "state": "failed", "reason": "a <b>wire</b> came off"}))
    assert "failed: a &lt;b&gt;wire&lt;/b&gt; came off" in written(ddpg, tmp_path / "page.html", run)


def test_whatever_names_hold_is_text(ddpg: Ddpg, tiny_run: Path, tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(2)>"
    run = tmp_path / evil.replace("/", "|")
    shutil.copytree(tiny_run, run)
    document = yaml.safe_load((run / "config.yml").read_text())
    settings, about = document["Tiny-v0"], document["run"]
    settings["policy_kwargs"] = {evil: evil}
    about |= {"seed": evil, "repeat_with": evil, "versions": {evil: evil}}
    (run / "config.yml").write_text(yaml.safe_dump({evil: settings, "run": about}))
    (run / "videos").mkdir(exist_ok=True)
    (run / "videos" / "<b>&.mp4").write_bytes(b"no film")
    (run / "rewards.npz").write_bytes(b"\x80\x04cos\nsystem\n(S'touch owned'\ntR.")
    page = written(ddpg, tmp_path / "page.html", run, tiny_run)
    assert evil not in page
    assert "<img" not in page
    assert page.count("<script") == 2
    assert html.escape(evil) in page
    assert json.loads(json.dumps(charts(page)))
    assert "&lt;b&gt;&amp;.mp4" in page


def test_films_are_few_and_small(tmp_path: Path) -> None:
    from sb3_ddpg_custom.cli.report.films import bytes_of, films_of

    folder = tmp_path / "videos"
    folder.mkdir()
    for number in (0, 1, 8, 27):
        (folder / f"episode-{number:06d}.mp4").write_bytes(b"x" * 100)
    (folder / "trained-000000.mp4").write_bytes(b"y" * 300)
    (folder / "learning.mp4").write_bytes(b"z" * 90)
    films, left_out = films_of(tmp_path)
    assert [film.name for film in films] == [
        *("learning.mp4", "episode-000000.mp4", "episode-000027.mp4", "trained-000000.mp4")
    ]
    assert left_out == ["episode-000001.mp4", "episode-000008.mp4"]
    assert bytes_of(films) == pytest.approx(590, abs=120)
    assert films[3].source == "data:video/mp4;base64," + "eXl5" * 100
    assert [film.name for film in films_of(tmp_path, left=300)[0]] == [
        *("learning.mp4", "episode-000000.mp4", "episode-000027.mp4")
    ]
    (folder / "episode-000000.mp4").write_bytes(b"x" * 4_000_001)
    assert "episode-000000.mp4" in films_of(tmp_path)[1]


def test_what_cannot_be_asked_for_is_a_sentence(refused: Any, tiny_run: Path, tmp_path: Path) -> None:
    assert "does not exist" in refused("report", tmp_path / "nowhere")
    assert "no run in" in refused("report", tmp_path)
    assert "is a folder; name a file in it" in refused("report", tiny_run, "--out", tmp_path)
    (tmp_path / "file").touch()
    assert "cannot be written" in refused("report", tiny_run, "--out", tmp_path / "file" / "page.html")


def test_a_page_that_cannot_be_written_costs_no_training(
    ddpg: Ddpg, small: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    monkeypatch.setattr("sb3_ddpg_custom.cli.report.page.write_report", fails)
    printed = ddpg("train", "Tiny-v0", *small, "--out", tmp_path)
    assert "no report: the disk is full" in printed.stderr
    assert (tmp_path / "Tiny-v0" / "1" / "final.zip").exists()
