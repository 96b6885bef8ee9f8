"""The options of ``ddpg push`` and ``ddpg pull``, each declared once."""

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated

import typer

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.shared_options import IMPORT, path_option, read_path


def _repo(text: str) -> str:
    if re.fullmatch(r"[\w.-]{1,96}/[\w.-]{1,96}", text) is None or ".." in text:
        raise UsageError(f"{text!r} is no repository of the hub; write USER/NAME, such as ada/ddpg-pendulum")
    return text


@dataclass(frozen=True, kw_only=True)
class PushRequest:
    """What ``ddpg push`` was asked for. Each field's help says what it is."""

    run: Annotated[
        Path, typer.Argument(metavar="RUN", parser=partial(read_path, "RUN"), help="A run folder of ddpg train.")
    ]
    repo: Annotated[str, typer.Argument(metavar="USER/NAME", parser=_repo, help="Where to; it is made if need be.")]
    yes: Annotated[bool, typer.Option("--yes", help="Upload; without it the files are shown and nothing is sent.")] = (
        False
    )
    private: Annotated[bool, typer.Option("--private", help="A repository that is made is for you alone.")] = False
    license: Annotated[
        str | None, typer.Option(help="The hub's name of a licence, such as mit; default: nothing is said.")
    ] = None
    episodes: Annotated[int, typer.Option(min=2, max=10_000, help="Episodes to play for the model card.")] = 20
    imports: Annotated[tuple[str, ...], IMPORT] = ()


@dataclass(frozen=True, kw_only=True)
class PullRequest:
    """What ``ddpg pull`` was asked for. Each field's help says what it is."""

    repo: Annotated[str, typer.Argument(metavar="USER/NAME", parser=_repo, help="What to get.")]
    revision: Annotated[str | None, typer.Option(help="Branch, tag or commit; default: the main branch.")] = None
    out: Annotated[Path, path_option("--out", metavar="DIR", help="Folder of what was got.")] = Path("runs/hub")
