"""One MP4 file that grows frame by frame and gets its name when it is whole."""

import itertools
import os
import queue
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from sb3_ddpg_custom.wrappers.owned_file import open_owned, remove_owned

if TYPE_CHECKING:
    from av.container import OutputContainer
    from av.video.stream import VideoStream

# Measured on 500x500 frames of Pendulum: "ultrafast" takes 2.3 ms a frame and 177 kB per 100 frames,
# "veryfast" 3.6 ms and 57 kB. Rendering such a frame takes 3.2 ms.
_ENCODER_OPTIONS = {"preset": "veryfast", "crf": "23"}

_MOST_WAITING = 8  # frames between the environment and the encoder

_PARTIAL_NAME = re.compile(r"\..+\.\d+-\d+\.partial\.mp4")
_serial = itertools.count()  # tells apart the files that one process writes at the same time
_unfinished: set[Path] = set()


def require_av() -> None:
    """Check that the video encoder is installed.

    :raises ImportError: with the command that installs it
    """
    try:
        import av  # noqa: F401
    except ImportError as error:
        raise ImportError(f"VideoMonitor needs PyAV ({error}): install it with `pip install av`") from error


class VideoFile:
    """One MP4 file (H.264, yuv420p) being written.

    Frames are encoded in a thread beside the environment's next steps. At most eight wait for it, and nothing but these
    and the encoder's short look-ahead is held in memory. Until ``finish`` the file has a hidden name, so a file with a
    video's name is always whole.

    :param folder: an existing folder
    :param stem: the file's name without ".mp4"; "-1", "-2", ... is added when the name is taken
    :param fps: frames per second
    """

    def __init__(self, folder: Path, stem: str, *, fps: Fraction) -> None:
        self.folder = folder
        self.stem = stem
        self.fps = fps
        self.frames = 0
        self.owner = os.getpid()
        self.partial = folder / f".{stem}.{self.owner}-{next(_serial)}.partial.mp4"
        file = open_owned(self.partial)
        if file is None:
            raise OSError(f"cannot write {self.partial}: another process holds it; choose another folder")
        _unfinished.add(self.partial)
        self._file = file
        self._finished = False
        self._container: OutputContainer | None = None
        self._stream: VideoStream | None = None
        self._waiting: queue.Queue[NDArray[np.uint8] | None] = queue.Queue(_MOST_WAITING)
        self._encoder: threading.Thread | None = None
        self._error: BaseException | None = None

    def add(self, frame: NDArray[np.uint8]) -> None:
        """Hand one frame to the encoder, and wait where it is too far behind.

        H.264 with yuv420p needs even sizes: a frame with an odd size repeats its last row or column. The
        first frame decides the size of the video; later frames of another size are rescaled to it.

        :param frame: (height, width, 3) uint8, red, green, blue; it is copied
        :raises OSError: if this frame or an earlier one cannot be written
        """
        if self._encoder is None:
            # It must not keep the interpreter, which runs finish() when it ends.
            self._encoder = threading.Thread(target=self._encode_all, name=f"film {self.stem}", daemon=True)
            self._encoder.start()
        self._raise_error()
        self._waiting.put(frame.copy())

    def _encode_all(self) -> None:
        while (frame := self._waiting.get()) is not None:
            if self._error is None:
                try:
                    self._encode(frame)
                except BaseException as error:  # for whoever films: this thread has nobody to tell
                    self._error = error

    def _raise_error(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            with self._naming_errors():
                raise error

    def _encode(self, frame: NDArray[np.uint8]) -> None:
        import av

        height, width = frame.shape[:2]
        even = np.pad(frame, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        if self._container is None or self._stream is None:
            self._container = av.open(self._file, "w", format="mp4")
            # One thread: the training beside it needs the other cores more. The encoder also converts the frames to
            # its size and format, with one converter for all of them.
            self._stream = self._container.add_stream("libx264", rate=self.fps, options=_ENCODER_OPTIONS)
            self._stream.codec_context.thread_count = 1
            self._stream.height, self._stream.width = even.shape[:2]
            self._stream.pix_fmt = "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(even), format="rgb24")
        picture.pts = self.frames
        picture.time_base = 1 / self.fps
        self._container.mux(self._stream.encode(picture))
        self.frames += 1

    def finish(self) -> Path | None:
        """Close the file and give it its name; with no frame in it, remove it. Safe to call twice.

        :return: the video's path; None when there is none, and in a process that did not begin the file
        """
        if self._finished or self.owner != os.getpid():
            return None
        self._finished = True
        if self._encoder is not None:
            self._waiting.put(None)
            self._encoder.join()
        try:
            self._raise_error()
            if self._container is None or self._stream is None or self.frames == 0:
                return None
            with self._naming_errors():
                self._container.mux(self._stream.encode(None))
                self._container.close()
                os.fsync(self._file.fileno())
                return publish(self.partial, self.folder, self.stem)
        finally:
            _unfinished.discard(self.partial)
            if self._container is not None:
                with suppress(Exception):  # closed already, unless the encoder has just failed
                    self._container.close()
            remove_owned(self._file, self.partial)

    @contextmanager
    def _naming_errors(self) -> Iterator[None]:
        from av.error import FFmpegError

        try:
            yield
        except (OSError, FFmpegError) as error:  # a full disk reaches us as either
            raise OSError(
                error.errno,
                f"cannot write the video {self.folder / self.stem}.mp4 ({error.strerror}): "
                "check the free space of its disk and that the folder still exists",
            ) from error


def publish(partial: Path, folder: Path, stem: str) -> Path:
    """Give a finished file the first free name, without ever replacing a file.

    :param partial: the finished file; it keeps its old name too where the file system has hard links
    :param folder: the folder of the new name
    :param stem: the wanted name without ".mp4"
    :return: the new path
    """
    for number in itertools.count():
        path = folder / (f"{stem}-{number}.mp4" if number else f"{stem}.mp4")
        try:
            path.hardlink_to(partial)
        except FileExistsError:
            continue
        except OSError:  # no hard links here: take the name first, then move the file over it
            try:
                path.touch(exist_ok=False)
            except FileExistsError:
                continue
            partial.replace(path)
        return path
    raise AssertionError("unreachable: itertools.count never ends")


def remove_abandoned(folder: Path) -> None:
    """Delete the unfinished videos of processes that are dead.

    A live process holds the lock of its file, so taking the lock shows that nobody will finish it.

    :param folder: an existing folder
    """
    for path in folder.iterdir():
        if not _PARTIAL_NAME.fullmatch(path.name) or path in _unfinished:
            continue
        with suppress(OSError):  # another monitor may be cleaning the same folder
            file = open_owned(path)
            if file is not None:
                remove_owned(file, path)
