"""Files that one process owns, known to the operating system, which frees them when that process dies."""

import errno
import io
import os
import sys
from pathlib import Path

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

# Locks on Windows keep others from reading the locked bytes, so lock a byte that no file here ever has.
_LOCKED_BYTE = 2**40


class OwnedFile(io.FileIO):
    """A file open for reading and writing that only the process that opened it changes.

    A forked child shares the descriptor and its position with the parent: whatever an object in the child
    still tries to write or seek (an encoder that is torn down, say) must not reach the parent's file.

    :param path: the file; created when missing
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "r+b", opener=_open_for_us)
        self._owner = os.getpid()

    def write(self, data: bytes | bytearray | memoryview, /) -> int:  # type: ignore[override]  # any buffer
        """Write all of it in the owning process; elsewhere pretend to."""
        rest = memoryview(data).cast("B")
        size = rest.nbytes
        while rest.nbytes and self._owner == os.getpid():  # a disk that fills up takes a part at first
            rest = rest[super().write(rest) :]
        return size

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Move the position in the owning process; elsewhere leave it."""
        return super().seek(offset, whence) if self._owner == os.getpid() else self.tell()


def _open_for_us(name: str, flags: int) -> int:
    # Where a link leads may be anybody's file.
    return os.open(name, flags | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), 0o666)


def open_owned(path: Path) -> OwnedFile | None:
    """Open a file and lock it for this process, or answer None when another live process holds it.

    The lock does not see its own process: never open one path twice in one process, for closing either
    file would free the other's lock. It is not passed on to forked children (a ``flock`` would be, and
    would outlive its owner there).

    :param path: the file; created when missing
    """
    while True:
        file = OwnedFile(path)
        try:
            if not _lock(file.fileno(), path):
                file.close()
                return None
            # Between our open and our lock, the previous owner may have deleted the file.
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        except FileNotFoundError:
            pass
        except BaseException:
            file.close()
            raise
        file.close()


def remove_owned(file: OwnedFile, path: Path) -> None:
    """Delete a file that this process owns and give up the lock.

    :param file: what ``open_owned`` answered
    :param path: its path
    """
    if sys.platform == "win32":
        file.close()  # an open file cannot be deleted there
        try:
            path.unlink(missing_ok=True)
        except PermissionError:  # somebody else has opened it in between
            return
    else:
        path.unlink(missing_ok=True)  # while we hold it, so that nobody locks a file that is about to go
        file.close()


def _lock(descriptor: int, path: Path) -> bool:
    try:
        if sys.platform == "win32":
            position = os.lseek(descriptor, 0, os.SEEK_CUR)
            os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
            try:
                msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            finally:
                os.lseek(descriptor, position, os.SEEK_SET)
        else:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EAGAIN, errno.EDEADLK):
            return False
        raise OSError(
            error.errno, f"cannot lock {path} ({error.strerror}): choose a folder on a file system with locks"
        ) from error
    return True
