"""The files of a run that grow while it trains: how long they were at a checkpoint, and cut to that again."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.wrappers.owned_file import open_owned, remove_owned

_LOCK = ".run.lock"
_GROWING = ("*.monitor.csv", "events.out.tfevents.*")
# What a run makes as it goes, each under a name that tells when.
_MADE = ("videos/episode-*.mp4", "videos/trained-*.mp4", "checkpoints/step_*.zip")


class RunFiles:
    """Has the state of a run's files travel with its checkpoints.

    :param folder: the run's
    :param flush: writes what is still on its way to the files
    """

    def __init__(self, folder: Path, flush: Callable[[], None]) -> None:
        self.folder = folder
        self._flush = flush

    def state(self) -> dict[str, Any]:
        """Note sizes and names."""
        self._flush()
        return {
            "sizes": {path.name: path.stat().st_size for path in self._growing()},
            "made": sorted(str(path.relative_to(self.folder)) for path in self._made()),
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Remove what was written after that; the training writes it again.

        :param state: which :meth:`state` gave
        """
        for path in self._growing():
            size = state["sizes"].get(path.name)
            if size is None:
                path.unlink()
            elif path.stat().st_size > size:
                with path.open("r+b") as file:
                    file.truncate(size)
        for path in self._made():
            if str(path.relative_to(self.folder)) not in state["made"]:
                path.unlink()

    def _growing(self) -> Iterator[Path]:
        for pattern in _GROWING:
            yield from filter(self._is_own, sorted(self.folder.glob(pattern)))

    def _made(self) -> Iterator[Path]:
        for pattern in _MADE:
            yield from filter(self._is_own, sorted(self.folder.glob(pattern)))

    def _is_own(self, path: Path) -> bool:
        """Say whether a file lies in the run folder itself, and is not only linked to."""
        return path.is_file() and path.resolve() == self.folder.resolve() / path.relative_to(self.folder)


def remove_abandoned_run_lock(folder: Path) -> None:
    """Delete the lock that a killed process has left.

    :param folder: a run's, which may be another live process's, but not this one's
    """
    if (folder / _LOCK).exists() and (lock := open_owned(folder / _LOCK)) is not None:
        remove_owned(lock, folder / _LOCK)


def link_in(folder: Path) -> Path | None:
    """Find a link in a run folder: who goes on with the run would write to where it leads.

    :param folder: the run's
    """
    inner = [path for part in folder.iterdir() if part.is_dir() and not part.is_symlink() for path in part.iterdir()]
    return next((path for path in (*folder.iterdir(), *inner) if path.is_symlink()), None)


@contextmanager
def owned(folder: Path) -> Iterator[None]:
    """Own a run folder inside of the block; the system gives it back when the process dies.

    :param folder: the run's
    :raises UsageError: if another process owns it
    """
    path = folder / _LOCK
    try:
        lock = open_owned(path)
    except OSError as error:
        raise UsageError(f"{shown(folder)} cannot be written: {error.strerror or error}") from error
    if lock is None:
        raise UsageError(f"{shown(folder)} is being trained by another process; wait for it, or stop it")
    try:
        yield
    finally:
        remove_owned(lock, path)
