import ctypes.util
import os
import subprocess
import sys

import pytest

from sb3_ddpg_custom.wrappers import has_display, prepare_headless_rendering

VARIABLES = ("DISPLAY", "WAYLAND_DISPLAY", "SDL_VIDEODRIVER", "SDL_AUDIODRIVER", "MUJOCO_GL")


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """An environment without these variables; what the function sets is undone after the test."""
    for name in VARIABLES:
        monkeypatch.setenv(name, "")  # so that monkeypatch restores the variable, set or not
        monkeypatch.delenv(name)
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setattr(ctypes.util, "find_library", lambda name: f"lib{name}.so.1")
    return monkeypatch


def chosen() -> dict[str, str]:
    return {name: os.environ[name] for name in VARIABLES if name in os.environ}


def test_without_a_display_everything_renders_off_screen(environment: pytest.MonkeyPatch) -> None:
    prepare_headless_rendering()
    assert chosen() == {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy", "MUJOCO_GL": "egl"}


def test_osmesa_where_egl_is_not_installed(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(ctypes.util, "find_library", lambda name: {"OSMesa": "libOSMesa.so.8"}.get(name))
    prepare_headless_rendering()
    assert os.environ["MUJOCO_GL"] == "osmesa"


def test_mujoco_is_left_alone_where_neither_is_installed(environment: pytest.MonkeyPatch) -> None:
    """``import mujoco`` fails when MUJOCO_GL names a library that is missing, rendering or not."""
    environment.setattr(ctypes.util, "find_library", lambda name: None)
    prepare_headless_rendering()
    assert chosen() == {"SDL_VIDEODRIVER": "dummy", "SDL_AUDIODRIVER": "dummy"}


def test_what_the_user_set_is_kept(environment: pytest.MonkeyPatch) -> None:
    mine = {"SDL_VIDEODRIVER": "x11", "SDL_AUDIODRIVER": "alsa", "MUJOCO_GL": "glfw"}
    for name, value in mine.items():
        environment.setenv(name, value)
    prepare_headless_rendering()
    assert chosen() == mine


@pytest.mark.parametrize("display", ["DISPLAY", "WAYLAND_DISPLAY"])
def test_with_a_display_nothing_changes(environment: pytest.MonkeyPatch, display: str) -> None:
    assert not has_display()
    environment.setenv(display, ":0")
    assert has_display()
    prepare_headless_rendering()
    assert chosen() == {display: ":0"}


def test_an_empty_display_is_no_display(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("DISPLAY", "")
    prepare_headless_rendering()
    assert os.environ["SDL_VIDEODRIVER"] == "dummy"
    assert not has_display()


def test_other_systems_are_left_alone(environment: pytest.MonkeyPatch) -> None:
    environment.setattr(sys, "platform", "darwin")
    prepare_headless_rendering()
    assert chosen() == {}
    assert has_display()


def test_importing_the_wrappers_loads_no_encoder_and_no_torch() -> None:
    code = (
        "import sys, sb3_ddpg_custom.wrappers;"
        "print([name for name in ('av', 'torch', 'stable_baselines3', 'pygame') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout == "[]\n"
