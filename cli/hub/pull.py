"""Get a run from the hub, as a plain function: ``ddpg pull`` without the command line."""

import shutil
from pathlib import Path

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.hub.library import hub, told
from sb3_ddpg_custom.cli.hub.options import PullRequest
from sb3_ddpg_custom.cli.paths import shown, tied_to_start

_WANTED = ("*.zip", "*.npz", "*.onnx", "*.yml", "*.json", "*.md", "*.png", "*.mp4")
_MOST_BYTES = 4 * 2**30


def pull(request: PullRequest) -> Path:
    """Download what ``ddpg push`` puts there, or another SB3 model, and copy it into a folder that serves as a run's.

    Nothing of it is run or unpickled. What was got before is taken from the hub's cache; with ``HF_HUB_OFFLINE=1`` only
    that.

    :param request: what to get
    :return: the folder
    :raises UsageError: if there is no model in it, or the folder cannot be written
    :raises RunError: if the hub cannot be reached
    """
    request = tied_to_start(request)
    library = hub()
    with told(library, request.repo):
        if not library.constants.HF_HUB_OFFLINE:
            _check_size(library, request)
        cached = Path(library.snapshot_download(request.repo, revision=request.revision, allow_patterns=list(_WANTED)))
    files = [file for file in sorted(cached.iterdir()) if file.is_file()]
    models = [file for file in files if file.suffix == ".zip"]
    if not models:
        raise UsageError(f"{request.repo} holds no .zip of Stable-Baselines3 or this package")
    model = next((file for file in models if file.name.lower().startswith("ddpg")), models[0])
    folder = request.out / request.repo.replace("/", "--")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file in files:
            if file.suffix != ".zip" or file == model:
                # Only what is in it: files of the cache may be links, and read-only.
                target = folder / ("best.zip" if file == model else file.name)
                target.unlink(missing_ok=True)
                shutil.copyfile(file, target)
    except OSError as error:
        raise UsageError(f"--out {shown(request.out)} cannot be written ({error.strerror or error})") from error
    return folder


def _check_size(library: object, request: PullRequest) -> None:
    import fnmatch
    from typing import Any

    api: Any = library
    info = api.HfApi().model_info(request.repo, revision=request.revision, files_metadata=True)
    wanted = [one for one in info.siblings or [] if any(fnmatch.fnmatch(one.rfilename, name) for name in _WANTED)]
    size = sum(one.size or 0 for one in wanted)
    if size > _MOST_BYTES:
        raise UsageError(f"{request.repo} has {size / 2**30:.1f} GiB of such files, and a policy has less than 4")
