import ctypes.util
import os
import subprocess
import sys

import pytest

from sb3_ddpg_custom.wrappers import has_display, prepare_headless_rendering, rendering_advice

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


def error_in(file: str) -> Exception:
    """An error that arose in a file of that name, as somebody passes it on."""
    raised = RuntimeError("cannot be drawn")
    try:
        exec(compile("raise AttributeError('glGetError')", file, "exec"))
    except AttributeError as error:
        raised.__cause__ = error
    return raised


@pytest.mark.parametrize(
    ("backend", "installed", "advice"),
    [
        ("osmesa", (), "MUJOCO_GL=osmesa needs OSMesa: apt install libosmesa6"),
        ("egl", (), "MUJOCO_GL=egl needs EGL: apt install libegl1"),
        ("EGL", ("EGL",), "EGL has found no driver: apt install libegl1 libgl1-mesa-dri"),
        ("osmesa", ("OSMesa",), None),
        ("nonsense", ("EGL",), "MUJOCO_GL=nonsense is neither egl, osmesa nor glfw: unset it"),
        ("glfw", ("EGL",), "there is no display: unset MUJOCO_GL, and EGL or OSMesa is taken"),
        ("glfw", (), "without a display MuJoCo draws with EGL: unset MUJOCO_GL and apt install libegl1"),
        ("", (), "without a display MuJoCo draws with EGL: apt install libegl1"),
    ],
)
def test_advice_for_mujoco(
    environment: pytest.MonkeyPatch, backend: str, installed: tuple[str, ...], advice: str | None
) -> None:
    environment.setattr(ctypes.util, "find_library", lambda name: name if name in installed else None)
    if backend:
        environment.setenv("MUJOCO_GL", backend)
    assert rendering_advice(error_in("/lib/site-packages/OpenGL/raw/_errors.py")) == advice
    assert rendering_advice(error_in("/home/me/my_env.py")) is None


def test_advice_for_pygame(environment: pytest.MonkeyPatch) -> None:
    error = type("error", (RuntimeError,), {"__module__": "pygame"})("No available video device")
    assert rendering_advice(error) == "there is no display: set SDL_VIDEODRIVER=dummy"
    environment.setenv("SDL_VIDEODRIVER", "dummy")
    assert rendering_advice(error) is None
