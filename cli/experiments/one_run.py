"""One run of many: begun, gone on with, or left as it is, whatever an earlier attempt has left."""

import shutil
from pathlib import Path

from rich.console import Console

from sb3_ddpg_custom.checkpoint.store import CheckpointStore
from sb3_ddpg_custom.cli.config.resolve import Resolved
from sb3_ddpg_custom.cli.config.settings import validate
from sb3_ddpg_custom.cli.environments.fitting import fit_to_env
from sb3_ddpg_custom.cli.environments.registry import import_modules
from sb3_ddpg_custom.cli.experiments.plan import JOB_FILE, LOG_FILE, Job
from sb3_ddpg_custom.cli.paths import tied_to_start
from sb3_ddpg_custom.cli.run_folder import STATE, is_done
from sb3_ddpg_custom.cli.training.options import ResumeRequest
from sb3_ddpg_custom.cli.training.prepare import train_resolved
from sb3_ddpg_custom.cli.training.resume import resume
from sb3_ddpg_custom.cli.training.run import TrainResult
from sb3_ddpg_custom.cli.training.run_files import owned
from sb3_ddpg_custom.wrappers import prepare_headless_rendering

_KEPT = (JOB_FILE, LOG_FILE)


def make_run(job: Job, console: Console) -> TrainResult | None:
    """Bring a run to its end, from where an earlier attempt left it.

    :param job: which run
    :param console: for progress and notes
    :return: how it ended; None where it had ended before
    :raises UsageError: if it cannot be made as asked
    :raises RunError: if the env or the training fails
    """
    if is_done(job.folder, job.total_steps):
        return None
    request = tied_to_start(job.request)
    prepare_headless_rendering()
    import_modules(request.imports)
    settings = validate(job.entry, job.source)
    manifest, _ = CheckpointStore(job.folder / STATE).newest()
    if manifest is not None:
        expected = fit_to_env(job.env_id, settings).settings
        return resume(ResumeRequest(run=job.folder, imports=request.imports), console, expected=expected)
    with owned(job.folder):  # nobody else is at it
        _clear(job.folder)
    resolved = Resolved(alias=None, env_id=job.env_id, settings=settings, source=job.source)
    return train_resolved(request, resolved, console, folder=job.folder)


def _clear(folder: Path) -> None:
    """Remove what an attempt has left that did not come to its first checkpoint."""
    for path in folder.iterdir():
        if path.name in _KEPT or path.name.startswith(".run.lock"):
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
