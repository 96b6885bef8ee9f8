"""Rendering on machines without a display."""

import ctypes.util
import os
import sys


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
