"""Rendering on machines without a display."""

import ctypes.util
import os
import sys
import traceback
from pathlib import Path

_DRAWS_WITH = {"egl": ("EGL", "libegl1"), "osmesa": ("OSMesa", "libosmesa6")}  # the library and its Debian package
_OF_DRAWING = frozenset({"mujoco", "OpenGL", "glfw"})  # packages in which MuJoCo's renderers fail


def has_display() -> bool:
    """Tell whether a window can be shown: everywhere but on Linux without ``DISPLAY`` and ``WAYLAND_DISPLAY``."""
    return sys.platform != "linux" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def prepare_headless_rendering() -> None:
    """Choose off-screen rendering where there is no display, without overruling the user.

    On Linux without ``DISPLAY`` and ``WAYLAND_DISPLAY`` it sets ``SDL_VIDEODRIVER`` and ``SDL_AUDIODRIVER``
    to "dummy" (pygame: classic control, Box2D) and ``MUJOCO_GL`` to "egl" or else "osmesa", whichever library
    is installed; with neither it leaves ``MUJOCO_GL`` alone, since a value without its library breaks even
    ``import mujoco``. A variable that is set already keeps its value. The libraries read these variables when
    they are imported or first render, so call it before that; ``VideoMonitor`` does.

    >>> prepare_headless_rendering()
    """
    if has_display():
        return
    os.environ.setdefault("SDL_VIDEODRIVER", "dummy")
    os.environ.setdefault("SDL_AUDIODRIVER", "dummy")
    if "MUJOCO_GL" not in os.environ:  # find_library may start a process: only ask when it matters
        for library, backend in (("EGL", "egl"), ("OSMesa", "osmesa")):
            if ctypes.util.find_library(library):
                os.environ["MUJOCO_GL"] = backend
                break


def rendering_advice(error: BaseException) -> str | None:
    """Say what to do about an error of MuJoCo's renderer, or of pygame's.

    :param error: with its traceback
    :return: one clause that names the variable to change or the Debian package to install; None where the error arose
        elsewhere, or nothing can be said
    """
    if type(error).__module__.partition(".")[0] == "pygame":
        is_off = os.environ.get("SDL_VIDEODRIVER") == "dummy" or has_display()
        return None if is_off else "there is no display: set SDL_VIDEODRIVER=dummy"
    return _mujoco_advice() if _is_of_drawing(error) else None


def _mujoco_advice() -> str | None:
    backend = os.environ.get("MUJOCO_GL", "").lower()
    if backend in _DRAWS_WITH:
        library, package = _DRAWS_WITH[backend]
        if ctypes.util.find_library(library) is None:
            return f"MUJOCO_GL={backend} needs {library}: apt install {package}"
        if backend == "egl":
            return "EGL has found no driver: apt install libegl1 libgl1-mesa-dri"
        return None
    if backend not in ("", "glfw"):
        return f"MUJOCO_GL={backend} is neither egl, osmesa nor glfw: unset it"
    if has_display():
        return None
    if any(ctypes.util.find_library(library) for library, _ in _DRAWS_WITH.values()):
        return "there is no display: unset MUJOCO_GL, and EGL or OSMesa is taken" if backend else None
    unset = "unset MUJOCO_GL and " if backend else ""
    return f"without a display MuJoCo draws with EGL: {unset}apt install libegl1"


def _is_of_drawing(error: BaseException | None) -> bool:
    while error is not None:
        files = [Path(frame.filename).parts for frame in traceback.extract_tb(error.__traceback__)]
        # Gymnasium's own files of MuJoCo's renderer are in a folder of that name, too.
        if any(_OF_DRAWING & {*parts} for parts in files):
            return True
        error = error.__cause__ or error.__context__
    return False
