"""The folder of one training run."""

import errno
import unicodedata
from pathlib import Path

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown

#: what of a run folder holds the whole state
STATE = "state"
#: written into it when all is done, curve and film included; holds the steps
DONE = "done"

# Control characters, undecodable bytes, and what breaks lines.
_UNPRINTABLE = ("Cc", "Cs", "Zl", "Zp")
#: what to do where a study's folder is taken
ANOTHER_NAME = "choose another --name, or another name: in the study's file"


def create_run_folder(out: Path, env_id: str, name: str | None) -> Path:
    """Make ``out/env_id/name``, or ``out/env_id/1``, ``2``, … without a name; nobody else gets the same one.

    :param out: value of ``--out``
    :param env_id: registered id
    :param name: value of ``--name``
    :raises UsageError: if the name is taken or no name, or the folder cannot be written
    """
    if name is not None:
        check_folder_name(name, "--name")
    parent = folder_of_env(out, env_id)
    try:
        parent.mkdir(parents=True, exist_ok=True)
        if name is not None:
            (parent / name).mkdir()
            return parent / name
        taken = [int(run.name) for run in parent.iterdir() if run.name.isdecimal()]
        return _first_free(parent, max(taken, default=0) + 1)
    except FileExistsError as error:
        taken_by = parent / name if name is not None and parent.is_dir() else Path(error.filename)
        raise UsageError(f"{shown(taken_by)} exists already; choose another --name or --out") from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG and name is not None and parent.is_dir():
            raise UsageError(
                f"--name has {len(name)} characters, too many for a folder; choose a shorter one"
            ) from error
        raise UsageError(
            f"--out {shown(out)}: {shown(parent)} cannot be written ({error.strerror}); choose another folder"
        ) from error


def check_folder_name(name: str, what: str) -> None:
    """Refuse what is no name of a folder.

    :param name: to be one
    :param what: has that name, for the error
    :raises UsageError: if it would lead elsewhere, or cannot be shown
    """
    if not name.strip() or name in (".", "..") or any(sign in name for sign in "/\\\0"):
        raise UsageError(f"{what} {name!r} is no name for a folder; leave out slashes")
    if any(unicodedata.category(sign) in _UNPRINTABLE for sign in name):
        raise UsageError(f"{what} {name!r} is no name for a folder; leave out line breaks and control characters")


def folder_of_env(out: Path, env_id: str) -> Path:
    """Name the folder of an environment's runs.

    :param out: value of ``--out``
    :param env_id: registered id
    """
    return out / env_id.replace(":", "-").replace("/", "-")


def is_done(folder: Path, steps: int) -> bool:
    """Say whether all of a run is there, curve and film included, which come behind its last step.

    :param folder: the run's
    :param steps: that it was to make
    """
    return done_steps(folder) == steps


def done_steps(folder: Path) -> int | None:
    """Give the steps of a run that is all there; None where it is not.

    :param folder: the run's
    """
    try:
        return int((folder / STATE / DONE).read_text("utf-8"))
    except (OSError, ValueError):
        return None


def _first_free(parent: Path, number: int) -> Path:
    while True:
        folder = parent / str(number)
        try:
            folder.mkdir()  # fails if another run took the number in the meantime
        except FileExistsError:
            number += 1
        else:
            return folder


def find_checkpoint(path: Path, flag: str = "--checkpoint") -> Path:
    """Choose the checkpoint that a user means by a path.

    :param path: a zip, or a run folder: then its best model, else its final one, else its newest checkpoint
    :param flag: the option that named it, for error messages
    :raises UsageError: if there is none
    """
    kinds = "a .pkl, a run folder or a .zip file" if flag == "--normalization" else "a run folder or a .zip file"
    if not path.exists():
        raise UsageError(f"{flag} {shown(path)} does not exist; name {kinds}")
    if not path.is_dir():
        return path
    steps = sorted((path / "checkpoints").glob("step_*.zip"))
    for candidate in (path / "best.zip", path / "final.zip", *reversed(steps)):
        if candidate.is_file():
            return candidate
    raise UsageError(f"{flag} {shown(path)} is a folder without best.zip, final.zip or checkpoints; name a run folder")
