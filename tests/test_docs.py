"""The pages say what the code does: their lines, their picture, their examples."""

import importlib.util
import json
import re
import runpy
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path
from types import ModuleType

import gymnasium as gym
import numpy as np
import pytest

from sb3_ddpg_custom import DDPG, export_policy
from sb3_ddpg_custom.export import player

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])


def test_each_equation_stands_beside_the_lines_that_run() -> None:
    blocks = re.findall(r"```python\n# (\S+\.py)\n(.*?)```", (ROOT / "docs" / "algorithm.md").read_text("utf-8"), re.S)
    assert len(blocks) >= 8
    for name, code in blocks:
        lines = [line.strip() for line in (ROOT / name).read_text("utf-8").splitlines()]
        wanted = [line.strip() for line in textwrap.dedent(code).splitlines() if line.strip()]
        assert any(lines[start : start + len(wanted)] == wanted for start in range(len(lines))), (name, code)


def script(name: str) -> ModuleType:
    """Import a script of the docs."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rooms() -> ModuleType:
    return script("rooms")


def test_the_map_of_the_house_is_up_to_date(rooms: ModuleType) -> None:
    """Where it fails: python docs/rooms.py."""
    assert rooms.PAGE.read_text("utf-8") == rooms.page()
    assert rooms.PICTURE.read_text("utf-8") == rooms.picture()


def test_no_picture_is_older_than_what_it_shows() -> None:
    """Where it fails: make pictures."""
    pictures = script("pictures")
    assert json.loads(pictures.NOTE.read_text()) == {name: pictures.digest(name) for name in pictures.SOURCES}
    shown = "".join(page.read_text("utf-8") for page in PAGES)
    for name in pictures.SOURCES:
        assert (ROOT / "docs" / name).stat().st_size > 1000
        assert name in shown


def test_imports_point_one_way(rooms: ModuleType) -> None:
    needs: dict[str, set[str]] = {}
    for room, other in rooms.arrows():
        needs.setdefault(room, set()).add(other)
    core = {"DDPG", "acting", "analysis", "diagnosis", "checkpoint", "replay", "shared", "updates", "zoo"}
    for room in core:
        assert {other for other in needs.get(room, ()) if other.startswith("cli") or other == "wrappers"} == set()
    assert "wrappers" not in needs
    left = dict(needs)
    while left:  # take away what needs nothing that is left, until nothing is: there is no way back
        bottom = [room for room in left if not left[room] & left.keys()]
        assert bottom, left
        for room in bottom:
            del left[room]


def test_the_wrappers_need_neither_sb3_nor_torch(rooms: ModuleType) -> None:
    program = "import sys, sb3_ddpg_custom.wrappers; print({'torch', 'stable_baselines3'} & sys.modules.keys())"
    assert subprocess.check_output([sys.executable, "-c", program], text=True).strip() == "set()"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)[^)]*\)", page.read_text("utf-8")):
        if not target.startswith(("http:", "https:")):
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("train", "loaded again, at step"),
        ("own_env", "mean return"),
        ("wrappers_with_sac", "films: episode-000000.mp4"),
        ("own_policy", "mean return"),
    ],
)
def test_examples_run(
    name: str, printed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gymnasium.envs.registration.registry", dict(gym.registry))
    runpy.run_path(str(ROOT / "examples" / f"{name}.py"))["main"](steps=250)
    assert printed in capsys.readouterr().out


def test_the_control_loop_runs(tmp_path: Path) -> None:
    """With a robot that is enabled for three steps, and the player and NumPy alone."""
    model = DDPG("MlpPolicy", "Pendulum-v1", policy_kwargs={"net_arch": [8]}, seed=0)
    export_policy(model, tmp_path / "policy.npz", metadata={"env_id": "Pendulum-v1"})
    shutil.copy(player.__file__, tmp_path / "player.py")
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "robot.md").read_text("utf-8"), re.DOTALL)
    (loop,) = (code for code in blocks if "while arm.is_enabled()" in code)
    arm = """
class arm:
    left, torques = 3, []
    encoder = tachometer = staticmethod(lambda: 0.5)
    set_torque = staticmethod(lambda torque: arm.torques.append(torque))

    @staticmethod
    def is_enabled():
        arm.left -= 1
        return arm.left >= 0
"""
    program = arm + loop + "\nprint(arm.torques)"
    done = subprocess.run([sys.executable, "-c", program], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said, torques = done.stdout.splitlines()
    assert said == "Pendulum-v1 {'observation': (3,)} (1,)"
    wanted = model.predict(np.array([np.cos(0.5), np.sin(0.5), 0.5], np.float32), deterministic=True)[0]
    assert json.loads(torques) == pytest.approx([float(wanted[0])] * 3, abs=1e-5)


def test_the_readme_stays_short() -> None:
    assert len((ROOT / "README.md").read_text("utf-8").splitlines()) <= 150
