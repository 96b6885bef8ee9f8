"""An evaluation's episodes in one film."""

import math
import tempfile
from dataclasses import replace
from pathlib import Path

from rich.console import Console

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.evaluation.evaluate import EvaluateResult, evaluate
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
from sb3_ddpg_custom.cli.films.side_by_side import side_by_side
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.watching.panel import figure

_MOST = 25


def evaluate_in_one_film(request: EvaluateRequest, out: Path, console: Console) -> EvaluateResult:
    """Play and film episodes, and show them side by side, in about as many rows as columns.

    :param request: what to do
    :param out: the film, ``.mp4`` or ``.gif``
    :param console: for progress
    :raises UsageError: if there are too many episodes for one picture, or the film cannot be written
    """
    if request.episodes > _MOST:
        raise UsageError(
            f"--video {shown(out)} would show {request.episodes} episodes in one picture, and {_MOST} fit; "
            "add --episodes 9, or name a folder"
        )
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".film-", dir=out.parent) as folder:
            result = evaluate(replace(request, video=Path(folder)), console)
            films = sorted(Path(folder).glob("*.mp4"))
            captions = [f"{number}: {figure(value)}" for number, value in enumerate(result.returns, start=1)]
            side_by_side(films, captions, out, columns=math.ceil(math.sqrt(len(films))))
    except OSError as error:
        raise UsageError(f"--video {shown(out)} cannot be written ({error.strerror or error})") from error
    return result
