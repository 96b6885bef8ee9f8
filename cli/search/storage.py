"""Where a search keeps its trials, and who works on which."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ddpg_custom.cli.errors import UsageError, one_line
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.wrappers.owned_file import OwnedFile, open_owned, remove_owned

if TYPE_CHECKING:
    import optuna

_ASK_SECONDS = 0.2


def sampler(seed: int, trial: int) -> "optuna.samplers.BaseSampler":
    """Make what draws the hyper-parameters of a trial.

    :param seed: of the search
    :param trial: its number
    """
    import numpy as np
    from optuna.samplers import TPESampler

    drawn = int(np.random.SeedSequence([seed, trial]).generate_state(1)[0])
    return TPESampler(seed=drawn, multivariate=True, constant_liar=True)


def open_study(storage: str | None, folder: Path, *, name: str, prune: bool) -> "optuna.Study":
    """Open a search, or begin it.

    :param storage: value of ``--storage``: a URL, a journal file, or None for one in the folder
    :param folder: of the search
    :param name: of the search in the storage
    :param prune: whether bad trials are stopped
    :raises UsageError: if Optuna is missing, or the storage cannot be opened
    """
    try:
        import optuna
    except ImportError as error:
        raise UsageError('ddpg tune needs Optuna; pip install "sb3-ddpg-custom[tune]"') from error
    from optuna.storages import JournalStorage
    from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock

    if storage == "":
        raise UsageError("--storage is empty; leave it out, or name a file or a URL such as sqlite:///tune.db")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    url = storage or str(folder / "journal.log")
    try:
        if "://" in url:
            kept: str | JournalStorage = url
        else:
            # The lock is a file's, made and unlinked: it works where links do not, and on network drives.
            kept = JournalStorage(JournalFileBackend(url, JournalFileOpenLock(url)))
        return optuna.create_study(
            storage=kept,
            study_name=name,
            direction="maximize",
            load_if_exists=True,
            # Of ten evaluations three are looked at: at each of them all, three of four trials would go.
            pruner=optuna.pruners.MedianPruner(n_warmup_steps=3, interval_steps=3)
            if prune
            else optuna.pruners.NopPruner(),
        )
    except ImportError as error:
        driver = "psycopg[binary]" if url.startswith("postgres") else "its driver for SQLAlchemy"
        raise UsageError(f"--storage {url} needs a package that is missing; pip install {driver}") from error
    except Exception as error:  # databases raise what they like
        raise UsageError(f"--storage {url} cannot be opened: {one_line(error)}") from error


class Claims:
    """Which trials this process works on: it holds a locked file for each, which the system frees when it dies.

    :param folder: of the search, shared by all processes that work on it
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, OwnedFile] = {}

    def claim(self, what: str) -> bool:
        """Take something, unless another live process has it.

        :param what: such as ``"trial-3"``
        """
        if what in self._held:
            return True
        path = self._folder / f".{what}.lock"
        try:
            lock = open_owned(path)
        except OSError as error:
            raise UsageError(f"{shown(self._folder)} cannot be written: {error.strerror or error}") from error
        if lock is None:
            return False
        self._held[what] = lock
        return True

    def release(self, what: str) -> None:
        """Give something back.

        :param what: that was claimed
        """
        remove_owned(self._held.pop(what), self._folder / f".{what}.lock")

    @contextmanager
    def alone(self, what: str) -> Iterator[None]:
        """Do something while no other process does it.

        :param what: a word for it
        """
        while not self.claim(what):
            time.sleep(_ASK_SECONDS)
        try:
            yield
        finally:
            self.release(what)

    def release_all(self) -> None:
        """Give everything back."""
        for what in list(self._held):
            self.release(what)
