"""The options of ``ddpg film``, each declared once."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.shared_options import IMPORT, Fps, Overlay, read_path

_ENDINGS = (".mp4", ".gif")
_MOST_PARTS = 6
_MOST_STEPS = 1000


def _percents(text: str | tuple[float, ...]) -> tuple[float, ...]:
    if isinstance(text, tuple):
        return text
    try:
        percents = tuple(float(part) for part in text.split(","))
    except ValueError:
        percents = ()
    if not 1 <= len(percents) <= _MOST_PARTS or not all(0 <= percent <= 100 for percent in percents):
        raise UsageError(f"--at {text!r} is no list of 1 to {_MOST_PARTS} percentages; write such as 0,10,30,100")
    return percents


def is_film(path: Path) -> bool:
    """Say whether a path names one film: an .mp4 or .gif, and no folder.

    :param path: from the command line
    """
    return path.suffix.lower() in _ENDINGS and not path.is_dir()


def _film(text: str | Path) -> Path:
    path = read_path("--out", text)
    if not is_film(path):
        raise UsageError(f"--out {path.name!r} ends in neither .mp4 nor .gif; name such as learning.gif")
    return path


@dataclass(frozen=True, kw_only=True)
class FilmRequest:
    """What ``ddpg film`` was asked for. Each field's help says what it is."""

    run: Annotated[Path, typer.Argument(metavar="RUN", parser=partial(read_path, "RUN"), help="A run folder.")]
    out: Annotated[
        Path | None,
        typer.Option(
            parser=_film, metavar="FILE", help="An .mp4 or .gif; default: videos/learning.mp4 in the run's folder."
        ),
    ] = None
    at: Annotated[
        tuple[float, ...],
        typer.Option(parser=_percents, metavar="PERCENTS", help="When the policy is looked at; 0 is before training."),
    ] = (0.0, 10.0, 30.0, 100.0)
    seed: Annotated[int, typer.Option(min=0, help="Chooses the start state.")] = 0
    fps: Fps = None
    overlay: Overlay = False
    max_steps: Annotated[int, typer.Option(min=1, help="Steps after which an episode is cut.")] = _MOST_STEPS
    imports: Annotated[tuple[str, ...], IMPORT] = ()
