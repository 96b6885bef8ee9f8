"""The process of one run of many: it prints into the run's folder, and ends when whoever started it does.

python -m sb3_ddpg_custom.cli.experiments.worker FOLDER     # standard input is its lifeline
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

from sb3_ddpg_custom.cli.endings import ended
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.experiments.one_run import make_run
from sb3_ddpg_custom.cli.experiments.plan import LOG_FILE, read_job
from sb3_ddpg_custom.cli.run_folder import is_done
from sb3_ddpg_custom.cli.screen import screen
from sb3_ddpg_custom.cli.status import Status, is_asked_to_stop, read_status, write_status
from sb3_ddpg_custom.cli.training.run_files import owned

# An earlier process of the same run may be saving what it has; it gets so long.
_PATIENCE_SECONDS = 60.0
_ASK_SECONDS = 0.2
_LOOK_SECONDS = 0.2


def work(folder: Path, wait_for_end: Callable[[], object]) -> int:
    """Make the run of a folder; Ctrl-C is for whoever started this process, who then lets go of the lifeline.

    :param folder: which holds a job
    :param wait_for_end: comes back when this process shall save what it has and end
    :return: exit code, as that of ``ddpg train``
    """
    for name in ("SIGINT", "SIGHUP"):
        if hasattr(signal, name):
            signal.signal(getattr(signal, name), signal.SIG_IGN)
    with (folder / LOG_FILE).open("ab") as log:
        for stream in (1, 2):
            os.dup2(log.fileno(), stream)
    stopped: list[int] = []
    ending = ended(lambda: stopped.extend(_make(folder, wait_for_end)))
    if ending.sentence is not None:
        print(f"ddpg: {ending.sentence}", file=sys.stderr, flush=True)  # noqa: T201 (the log)
        status = read_status(folder) or Status(state="starting")
        values = {**vars(status), "state": "failed" if ending.code < 128 else "stopped", "reason": ending.sentence}
        write_status(folder, Status(**values))
    return stopped[0] if stopped else ending.code


def _make(folder: Path, wait_for_end: Callable[[], object]) -> list[int]:
    """Make the run; give the exit code of a training that a signal has ended."""
    has_ended = threading.Event()
    threading.Thread(target=_note_end, args=(wait_for_end, has_ended), daemon=True).start()
    threading.Thread(target=_watch, args=(has_ended, folder), daemon=True).start()
    job = read_job(folder)
    os.chdir(job.start_folder)
    if is_asked_to_stop(folder):  # while it waited for its turn
        return [128 + signal.SIGTERM]
    _wait_until_free(folder)
    write_status(folder, Status(state="starting", total_steps=job.total_steps))
    result = make_run(job, screen(stderr=True))
    if result is None and is_done(folder, job.total_steps):
        write_status(folder, Status(state="done", step=job.total_steps, total_steps=job.total_steps))
    return [128 + result.signal] if result is not None and result.signal is not None else []


def _wait_until_free(folder: Path) -> None:
    until = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            with owned(folder):
                return
        except UsageError:
            if time.monotonic() > until:
                raise
        time.sleep(_ASK_SECONDS)


def _note_end(wait_for_end: Callable[[], object], has_ended: threading.Event) -> None:
    wait_for_end()
    has_ended.set()


def _watch(has_ended: threading.Event, folder: Path) -> None:
    """Send this process the signal that makes it save what it has, where the lifeline or the folder says so."""
    while not has_ended.wait(_LOOK_SECONDS) and not is_asked_to_stop(folder):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def main() -> None:
    """Make the run of the folder that the command line names."""
    code = work(Path(sys.argv[1]), sys.stdin.buffer.read)
    sys.stdout.flush()
    os._exit(code)  # what an env has left running must not keep the process


if __name__ == "__main__":
    main()
