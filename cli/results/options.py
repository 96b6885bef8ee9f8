"""The options of ``ddpg compare`` and ``ddpg plot``, each declared once."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, TypeAlias

import typer

from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean
from sb3_ddpg_custom.cli.shared_options import read_path

_RUNS = (
    "Run folders, folders of them at any depth, globs, or evaluations.npz files; of this package, rl_zoo3 or "
    "Stable-Baselines3. LABEL=PATH names a setting."
)
RUNS_ARGUMENT: Any = typer.Argument(metavar="[LABEL=]RUNS...", help=_RUNS, show_default=False)
_UNTIL: Any = typer.Option(min=1, help="Look at the first so many environment steps of each run only.")

KINDS = ("curves", "profile", "intervals")
AXES = ("steps", "episodes", "hours")
MIDDLES = ("iqm", "mean", "median")
ENDINGS = (".png", ".svg", ".pdf")

Size: TypeAlias = tuple[float, float]


def _one_of(flag: str, choices: tuple[str, ...]) -> Any:
    def read(text: str) -> str:
        if text in choices:
            return text
        hint = did_you_mean(text, choices)
        raise UsageError(f"{flag} {text!r} is none of {', '.join(choices)}{hint}")

    return read


def _size(text: str | Size) -> Size:
    if isinstance(text, tuple):
        return text
    found = re.fullmatch(r"(\d+(?:\.\d+)?)x(\d+(?:\.\d+)?)", text)
    size = (float(found[1]), float(found[2])) if found else (0.0, 0.0)
    if not all(1 <= side <= 50 for side in size):
        raise UsageError(f"--size {text!r} is no size of 1 to 50 inches a side; write such as --size 6.4x4.4")
    return size


def _picture(text: str | Path) -> Path:
    path = read_path("--out", text)
    if path.suffix.lower() not in ENDINGS:
        raise UsageError(f"--out {path.name!r} ends in none of {', '.join(ENDINGS)}; name such as curves.pdf")
    if path.is_dir():
        raise UsageError(f"--out {path.name!r} is a folder; name a file in it")
    return path


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """What ``ddpg compare`` was asked for. Each field's help says what it is."""

    runs: Annotated[tuple[str, ...], RUNS_ARGUMENT]
    baseline: Annotated[
        str | None,
        typer.Option(metavar="SETTING", help="Compare each setting with this one only; default: all with all."),
    ] = None
    until: Annotated[int | None, _UNTIL] = None


@dataclass(frozen=True, kw_only=True)
class PlotRequest:
    """What ``ddpg plot`` was asked for. Each field's help says what it is."""

    runs: Annotated[tuple[str, ...], RUNS_ARGUMENT]
    kind: Annotated[
        str,
        typer.Option(
            parser=_one_of("--kind", KINDS),
            metavar="|".join(KINDS),
            help="Learning curves, the share of runs above each score, or aggregates with intervals.",
        ),
    ] = "curves"
    x: Annotated[
        str, typer.Option(parser=_one_of("--x", AXES), metavar="|".join(AXES), help="What a curve runs along.")
    ] = "steps"
    y: Annotated[
        str,
        typer.Option(
            metavar="COLUMN",
            help="What a curve shows: return, length or success of the evaluations; episode/return and other columns "
            "of the training episodes; or a tag of TensorBoard's, such as train/q_mean.",
        ),
    ] = "return"
    middle: Annotated[
        str,
        typer.Option(
            parser=_one_of("--middle", MIDDLES), metavar="|".join(MIDDLES), help="What a line is of its seeds."
        ),
    ] = "iqm"
    out: Annotated[
        Path | None,
        typer.Option(
            parser=_picture, metavar="FILE", help="Picture to write, .png, .svg or .pdf. Default: such as curves.png."
        ),
    ] = None
    ascii: Annotated[bool, typer.Option("--ascii", help="Draw curves into the terminal; a file only with --out.")] = (
        False
    )
    title: Annotated[str | None, typer.Option(help="Above the picture.")] = None
    size: Annotated[
        Size | None, typer.Option(parser=_size, metavar="WxH", help="Inches. Default: by the number of panels.")
    ] = None
    dpi: Annotated[int, typer.Option(min=20, max=1200, help="Dots per inch of a PNG.")] = 200
    until: Annotated[int | None, _UNTIL] = None
