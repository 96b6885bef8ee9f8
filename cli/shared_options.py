"""Options that several commands share."""

import os
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, received
from sb3_ddpg_custom.presets import PRESETS

# Set by --debug: the error boundary is outside of every command and cannot see their options.
DEBUG_VARIABLE = "DDPG_DEBUG"


def _remember(debug: bool) -> None:
    if debug:
        os.environ[DEBUG_VARIABLE] = "1"


Debug = Annotated[
    bool,
    typer.Option("--debug", callback=_remember, help="Show the whole traceback of an error (or set DDPG_DEBUG=1)."),
]
Quiet = Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")]
IMPORT: Any = typer.Option(
    "--import",
    metavar="MODULE[:FUNCTION]",
    help="Import a module that registers environments, or call a function of it that does; repeatable.",
)
Import = Annotated[list[str] | None, IMPORT]


def path_option(flag: str, *, metavar: str = "PATH", help: str) -> Any:  # noqa: A002 (typer's word)
    """Declare an option that takes a path; an empty one, which Python reads as the current folder, is refused.

    :param flag: with its dashes
    :param metavar: what the help calls the value
    :param help: as ``typer.Option``'s
    """
    return typer.Option(flag, parser=partial(read_path, flag), metavar=metavar, help=help)


def read_path(flag: str, value: str | Path) -> Path:
    """Take a path from the command line.

    :param flag: of the option, for the error
    :param value: as it was written, or a default
    :raises UsageError: if it is empty
    """
    if value == "":
        raise UsageError(f"{flag} is empty; name a file or folder, or leave it out")
    return Path(value)


def read_normalization(text: str) -> Path | Literal["none"]:
    """Take the value of ``--normalization``.

    :param text: as it was written
    :raises UsageError: if it is empty
    """
    return "none" if text == "none" else read_path("--normalization", text)


def normalization_option(*, help: str) -> Any:  # noqa: A002 (typer's word)
    """Declare ``--normalization``.

    :param help: as ``typer.Option``'s
    """
    return typer.Option("--normalization", parser=read_normalization, metavar="FILE|none", help=help)


def read_preset(name: object) -> str:
    """Take the name of a preset.

    :param name: as it was written
    :raises UsageError: if there is none
    """
    if not isinstance(name, str) or name not in PRESETS:
        hint = did_you_mean(str(name), PRESETS) or f"; there are {', '.join(PRESETS)}"
        raise UsageError(f"--preset {received(name)} is unknown{hint}")
    return name


# Of several commands that train. They stand behind the function that declares paths.
Out = Annotated[Path, path_option("--out", help="Folder of all runs.")]
Device = Annotated[str, typer.Option(help="Torch device: auto, cpu, cuda, cuda:1 …")]
EvalEpisodes = Annotated[int, typer.Option(min=1, max=1_000_000, help="Episodes per evaluation.")]
Preset = Annotated[
    str | None,
    typer.Option(
        parser=read_preset,
        metavar="|".join(PRESETS),
        help="Settings that go together, on top of the config's and below --set; `ddpg config ENV --preset robust` "
        "shows them.",
    ),
]
ThreadsOfEach = Annotated[int | None, typer.Option(min=1, help="Threads of each run; default: one.")]
Fps = Annotated[
    float | None,
    typer.Option(
        min=1,
        max=240,
        help="About how many pictures a second films have, at the environment's pace; default: 30, while training 15.",
    ),
]
Overlay = Annotated[
    bool, typer.Option("--overlay", help="Show step, return so far, action and Q below the picture of films.")
]


def refuse_without_display() -> None:
    """Check that ``--render`` can open a window.

    :raises UsageError: if there is no display
    """
    from sb3_ddpg_custom.wrappers import has_display

    if not has_display():
        raise UsageError(
            "--render needs a display, and neither DISPLAY nor WAYLAND_DISPLAY is set; film the episodes with --video"
        )
