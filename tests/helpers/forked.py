"""``ddpg`` in a process of its own that need not import torch once more: forked from the server that has."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

from sb3_ddpg_custom.cli.app import main
from sb3_ddpg_custom.cli.child_processes import context


def run_ddpg(arguments: list[str], folder: Path, environment: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run the command, as ``subprocess.run`` would: with its own working directory, variables and output.

    :param arguments: behind ``ddpg``
    :param folder: to be in
    :param environment: all variables
    """
    with tempfile.TemporaryDirectory() as outputs:
        files = [Path(outputs) / name for name in ("stdout", "stderr")]
        process = context().Process(target=_ddpg, args=(arguments, folder, dict(environment), files))
        process.start()
        process.join()
        return subprocess.CompletedProcess(arguments, process.exitcode or 0, *(file.read_text() for file in files))


def _ddpg(arguments: list[str], folder: Path, environment: dict[str, str], files: list[Path]) -> None:
    os.environ.clear()
    os.environ.update(environment)
    for place, file in enumerate(files, start=1):
        os.dup2(os.open(file, os.O_WRONLY | os.O_CREAT), place)
    os.chdir(folder)
    sys.argv = ["ddpg", *arguments]
    main()
