"""``ddpg plot`` and the functions behind it: pictures that open, columns, axes, and curves in letters."""

import re
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import Ddpg
from helpers.results import write_evaluations, write_monitor, write_run, write_study
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.lines import Line2D
from torch.utils.tensorboard import SummaryWriter

from sb3_ddpg_custom.analysis.comparison import compare
from sb3_ddpg_custom.analysis.plot_style import add_legend, look, new_figure, save_figure, styled
from sb3_ddpg_custom.analysis.plots import plot_curves, plot_intervals, plot_profile
from sb3_ddpg_custom.analysis.runs import Run
from sb3_ddpg_custom.cli.results.columns import along, with_column
from sb3_ddpg_custom.cli.results.load import load_runs

FIVE, TOP = [1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0]
PendulumRun = tuple[Path, subprocess.CompletedProcess[str]]


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return write_study(tmp_path / "study", {"default": FIVE, "layer_norm": TOP})


def png_size(path: Path) -> tuple[int, int]:
    content = path.read_bytes()
    assert content.startswith(b"\x89PNG\r\n\x1a\n")
    assert content.endswith(b"IEND\xaeB`\x82")
    wide, high = struct.unpack(">II", content[16:24])
    return wide, high


def ys(line: Line2D) -> list[float]:
    values: list[float] = np.asarray(line.get_ydata()).tolist()
    return values


@pytest.mark.parametrize("kind", ["curves", "profile", "intervals"])
def test_each_kind_of_picture_has_the_wanted_size(ddpg: Ddpg, study: Path, kind: str) -> None:
    printed = ddpg("plot", study, "--kind", kind, "--size", "5x3", "--dpi", 100)
    assert printed.stdout == f"{kind}.png\n"
    assert png_size(Path(f"{kind}.png")) == (500, 300)
    assert sorted(path.name for path in study.parent.iterdir()) == [f"{kind}.png", "study"]


def test_vector_formats_hold_their_fonts_and_are_the_same_each_time(ddpg: Ddpg, study: Path) -> None:
    contents = []
    for _ in range(2):
        ddpg("plot", study, "--out", "figures/a.svg", "--title", "A & B")
        ddpg("plot", study, "--out", "figures/a.pdf")
        contents.append([Path(f"figures/a.{kind}").read_bytes() for kind in ("svg", "pdf")])
    assert contents[0] == contents[1]
    svg, pdf = contents[0]
    assert svg.startswith(b"<?xml")
    assert svg.rstrip().endswith(b"</svg>")
    assert pdf.startswith(b"%PDF")
    assert b"/Type3" not in pdf
    assert b"/FontFile2" in pdf  # TrueType, embedded


def test_what_is_drawn(study: Path) -> None:
    write_run(study / "Hopper-v5" / "default" / "seed-9", [9.0] * 3, seed=9, is_finished=False)
    write_run(study / "Hopper-v5" / "default" / "seed-8", [], seed=8, is_finished=False)
    figure = plot_curves(load_runs([str(study)]).runs, title="A study")
    (axes,) = figure.axes
    singles = [line for line in axes.lines if line.get_alpha() == 0.28]
    crosses = [line for line in axes.lines if line.get_marker() == "x"]
    middles = [line for line in axes.lines if line.get_alpha() is None]
    assert len(singles) == 11
    assert [(np.asarray(line.get_xdata()).tolist(), ys(line)) for line in crosses] == [([300.0], [9.0])]
    # Up to 300 steps the short run counts: 1, 2, 3, 4, 5 and 9, of which the middle four.
    assert ys(middles[0])[:4] == [3.5, 3.5, 3.5, 3.0]
    assert (ys(middles[0])[-1], ys(middles[1])[-1]) == (3.0, 13.0)
    assert len({line.get_color() for line in middles}) == len({line.get_linestyle() for line in middles}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["default (6 seeds)", "layer_norm (5 seeds)"]
    assert axes.get_title() == "Hopper-v5"


def test_a_setting_keeps_its_colour_in_every_picture(study: Path) -> None:
    runs = list(load_runs([str(study)]).runs)
    alone = [run for run in runs if run.setting == "layer_norm"]
    assert plot_profile(runs).axes[0].lines[1].get_color() == look(1).colour
    assert plot_intervals(runs).axes[0].lines[-1].get_color() == look(1).colour
    assert plot_profile(alone).axes[0].lines[0].get_color() == look(0).colour


def test_an_interval_is_drawn_from_end_to_end_and_a_profile_falls_at_the_scores(study: Path) -> None:
    runs = load_runs([str(study)]).runs
    bar = plot_intervals(runs).axes[0].lines[0]
    interval = compare(runs).summaries[0].final.iqm
    assert np.asarray(bar.get_xdata()).tolist() == [interval.low, interval.high]
    assert bar.get_solid_capstyle() == "butt"
    line = plot_profile(runs).axes[0].lines[0]
    falls = np.flatnonzero(np.diff(ys(line)))
    assert np.asarray(line.get_xdata())[falls + 1].tolist() == FIVE
    assert ys(line)[0] == 1.0
    assert ys(line)[-1] == 0.0


def test_the_legend_hides_nothing(study: Path) -> None:
    figure = plot_curves(load_runs([str(study)]).runs)
    canvas: Any = FigureCanvasAgg(figure)
    canvas.draw()
    legend = figure.legends[0].get_window_extent(canvas.get_renderer())
    below = figure.axes[0].get_tightbbox(canvas.get_renderer())
    assert below is not None
    assert legend.y1 < below.y0
    assert legend.x0 >= 0
    assert legend.x1 <= figure.bbox.x1


def test_looks_are_told_apart_without_colours() -> None:
    assert len({(look(number).colour, look(number).line) for number in range(28)}) == 28
    assert len({look(number).marker for number in range(11)}) == 11


@pytest.mark.parametrize("name", ["_hidden", r"$\frac$", "x" * 300, "日本語", "a\tb", "$x^2$"])
def test_names_are_drawn_as_they_are(name: str, tmp_path: Path) -> None:
    with styled():
        figure, (axes,) = new_figure(1)
        handles = axes.plot([0, 1], [0, 1])
        axes.set_title(name[:40])
        add_legend(figure, handles, [name])
    save_figure(figure, tmp_path / "a.png", dpi=50)
    assert figure.legends[0].get_texts()[0].get_text() == (name if len(name) < 44 else "x" * 43 + "…")


@pytest.mark.parametrize("returns", [[5.0], [], [np.nan, 3.0], [np.inf, 2.0, 2.0]])
def test_whatever_a_run_holds_is_drawn_as_far_as_it_goes(ddpg: Ddpg, study: Path, returns: list[float]) -> None:
    write_run(study / "Hopper-v5" / "odd" / "seed-0", returns, is_finished=False)
    for kind in ("curves", "profile", "intervals"):
        printed = ddpg("plot", study, "--kind", kind, "--out", "a.png", "--dpi", 40)
        assert png_size(Path("a.png"))[0] > 200
        assert "seed-0" in printed.stderr


def test_a_run_of_nothing_but_empty_files_is_a_sentence(ddpg: Ddpg, tmp_path: Path) -> None:
    write_run(tmp_path / "1", [], is_finished=False)
    assert "nothing to draw in 1 run" in ddpg("plot", tmp_path, code=2).stderr


@pytest.mark.parametrize(
    ("y", "values"),
    [("return", [2.0, 4.0]), ("length", [7.0, 7.0]), ("success", [0.5, 1.0]), ("episode/qmax", [1.5, 3.0])],
)
def test_columns_by_hand(tmp_path: Path, y: str, values: list[float]) -> None:
    (tmp_path / "config.yml").write_text("E: {}\nrun: {seed: 3}\n")
    rows = {"timesteps": [100, 200], "results": [[1.0, 3.0], [4.0, 4.0]], "ep_lengths": [[6, 8], [7, 7]]}
    np.savez(tmp_path / "evaluations.npz", successes=[[True, False], [True, True]], **rows)  # type: ignore[arg-type]
    columns = {"rewards": [0.0] * 3, "lengths": [50] * 3, "timesteps": [50, 100, 200], "seconds": [1.8, 3.6, 7.2]}
    np.savez(tmp_path / "rewards.npz", env=[0] * 3, qmax=[np.nan, 1.5, 3.0], **columns)  # type: ignore[arg-type]
    runs, _ = with_column(load_runs([str(tmp_path)]), y)
    assert runs[0].means.tolist() == values
    assert runs[0].steps.tolist() == [100.0, 200.0]
    assert along(runs, "episodes")[0][0].steps.tolist() == [2.0, 3.0]
    assert along(runs, "hours")[0][0].steps == pytest.approx([0.001, 0.002])


def test_each_column_is_named_once(ddpg: Ddpg, pendulum_run: Any) -> None:
    said = ddpg("plot", pendulum_run[0], "--y", "xyz", code=2).stderr
    names = said.partition("there are ")[2].strip().split(", ")
    assert "episode/qmax" in names
    assert len(set(names)) == len(names)


def test_a_tag_of_tensorboards(ddpg: Ddpg, tmp_path: Path) -> None:
    write_evaluations(tmp_path / "run" / "evaluations.npz", [1.0])
    with SummaryWriter(str(tmp_path / "run")) as writer:
        for step in (10, 20):
            writer.add_scalar("train/q_mean", step / 4, step)
    runs, label = with_column(load_runs([str(tmp_path / "run")]), "train/q_mean")
    assert (runs[0].steps.tolist(), runs[0].means.tolist(), label) == ([10.0, 20.0], [2.5, 5.0], "train/q_mean")
    said = ddpg("plot", tmp_path / "run", "--y", "train/q_maen", code=2).stderr
    assert said == "ddpg: --y train/q_maen: no run has such a column; did you mean 'train/q_mean'?\n"
    assert "there are return, length, train/q_mean" in ddpg("plot", tmp_path / "run", "--y", "loss", code=2).stderr
    (tmp_path / "run" / "events.out.tfevents.0").write_bytes(bytes(range(256)))
    ddpg("plot", tmp_path / "run", "--y", "train/q_mean", "--out", tmp_path / "q.png")


def test_every_column_of_a_run_of_ours(ddpg: Ddpg, pendulum_run: PendulumRun, tmp_path: Path) -> None:
    for y, x in [("train/q_mean", "hours"), ("episode/return", "episodes"), ("eval/mean_reward", "steps")]:
        ddpg("plot", pendulum_run[0], "--y", y, "--x", x, "--out", tmp_path / "a.png", "--dpi", 40)
        assert png_size(tmp_path / "a.png")[0] > 200


def test_training_episodes_of_sb3s_monitor_over_hours(tmp_path: Path) -> None:
    write_monitor(tmp_path / "monitor.csv", [1.0, 2.0, 3.0, 4.0])
    runs, label = along(load_runs([str(tmp_path)]).runs, "hours")
    assert (runs[0].steps.tolist(), label) == ([0.5, 1.0, 1.5, 2.0], "hours of training")


def test_curves_in_letters(ddpg: Ddpg, study: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ddpg("plot", study, "--ascii").stdout.splitlines()
    assert lines[0] == "Hopper-v5: return (iqm) over environment steps"
    assert re.fullmatch(r" +13 \| +o+", lines[1])
    assert re.fullmatch(r" +3 \| +\*+", lines[14])
    assert lines[16].split() == ["0", "600", "1200"]
    assert [line.strip() for line in lines[17:19]] == ["* default (5 seeds)", "o layer_norm (5 seeds)"]
    assert all(line.isascii() for line in lines)
    assert list(study.parent.iterdir()) == [study]
    assert ddpg("plot", study, "--ascii", "--out", "a.png").stdout.splitlines()[-1] == "a.png"


def test_bad_requests_are_one_sentence(ddpg: Ddpg, study: Path) -> None:
    (study.parent / "folder.png").mkdir()
    for arguments, said in [
        (["--kind", "curve"], "did you mean 'curves'?"),
        (["--out", "a.gif"], "ends in none of .png, .svg, .pdf"),
        (["--out", "folder.png"], "is a folder"),
        (["--size", "big"], "write such as --size 6.4x4.4"),
        (["--size", "0x4"], "1 to 50 inches"),
        (["--x", "hours"], "--x hours needs training episodes"),
        (["--kind", "profile", "--ascii"], "--ascii is for curves"),
        (["--kind", "intervals", "--y", "length"], "--y is for curves"),
        (["--y", "nonsense"], "there are return, length"),
        (["--until", "5"], "nothing to draw in 10 runs"),
    ]:
        printed = ddpg("plot", study, *arguments, code=2)
        assert said in printed.stderr
        assert printed.stderr.count("\n") == 1
    assert sorted(path.name for path in study.parent.iterdir()) == ["folder.png", "study"]


def test_a_file_that_cannot_be_written_is_a_failure_on_the_way(ddpg: Ddpg, study: Path) -> None:
    (study.parent / "file").write_text("")
    said = ddpg("plot", study, "--out", "file/a.png", code=1).stderr
    assert said.startswith("ddpg: --out file/a.png cannot be written: ")


def test_functions_take_tables(tmp_path: Path) -> None:
    table: dict[str, Any] = {
        "setting": ["a", "a", "b", "b"],
        "seed": [0, 1, 0, 1],
        "steps": [1, 1, 1, 1],
        "return": [1.0, 2.0, 3.0, 5.0],
    }
    for plot in (plot_curves, plot_profile, plot_intervals):
        save_figure(plot(table), tmp_path / "a.png", dpi=40)
        assert png_size(tmp_path / "a.png")[0] > 200
    nothing = Run(environment="E", setting="a", seed="0", steps=np.empty(0), returns=np.empty((0, 0)))
    with pytest.raises(ValueError, match="no run has an evaluation"):
        plot_curves([nothing])
    with pytest.raises(ValueError, match="no run has a final score"):
        plot_profile([nothing])


def test_the_example_of_the_page_says_what_it_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    page = (Path(__file__).resolve().parents[2] / "docs" / "compare.md").read_text("utf-8")
    (code,) = re.findall(r"```python\n(.*?)```", page, re.S)
    names: dict[str, Any] = {}
    exec(code, names)
    assert f"# {names['found'].pairs[0].sentence}" in code
    assert png_size(tmp_path / "curves.png") == (1280, 880)


def test_matplotlib_is_imported_when_something_is_drawn_and_no_sooner() -> None:
    code = """
import sys
from sb3_ddpg_custom import compare, plot_curves, plot_intervals, plot_profile, save_figure, Run
compare({"setting": ["a", "b"], "seed": [0, 0], "return": [1.0, 2.0]})
from sb3_ddpg_custom.cli.app import app
print(sorted({"matplotlib", "torch", "stable_baselines3", "pandas", "tensorboard"} & sys.modules.keys()))
"""
    assert subprocess.check_output([sys.executable, "-c", code], text=True) == "[]\n"
