"""What gets installed: a wheel and an sdist that work in an empty environment, away from the checkout."""

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


@pytest.fixture(scope="module")
def distributions(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the sdist, and the wheel out of the sdist, from a copy of what git tracks."""
    checkout, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("dist")
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    for name in tracked.rstrip("\0").split("\0"):
        source, target = ROOT / name, checkout / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if source.is_symlink():
            target.symlink_to(source.readlink())
        elif source.exists():
            target.write_bytes(source.read_bytes())
    # The environment has setuptools already: an isolated build would fetch it.
    build = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(out), str(checkout)]
    done = subprocess.run(build, capture_output=True, text=True, cwd=out)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


def test_the_wheel_holds_one_top_level_name_with_everything_in_it(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    assert {name.split("/")[0].partition("-")[0] for name in names} == {"sb3_ddpg_custom"}
    for expected in (
        "py.typed",
        "cli/app.py",
        "wrappers/video_monitor.py",
        "zoo_configs/pendulum.yml",
        "updates/autograd.py",
        "cli/report/charts.js",
        "cli/report/page.html.j2",
        "cli/report/style.css",
    ):
        assert f"sb3_ddpg_custom/{expected}" in names
    folders = ("zoo_configs", "cli/search")
    shipped = {path.name for folder in folders for path in (ROOT / folder).glob("*.yml")}
    assert shipped == {Path(name).name for name in names if name.endswith(".yml")}


def test_every_module_of_the_checkout_is_in_the_wheel(distributions: Path) -> None:
    (wheel,) = distributions.glob("*.whl")
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if name.endswith(".py")}
    core = {str(path.relative_to(ROOT)) for path in (ROOT / "sb3_ddpg_custom").rglob("*.py")}
    mapped = {
        f"sb3_ddpg_custom/{path.relative_to(ROOT)}"
        for folder in ("cli", "wrappers", "zoo_configs")
        for path in (ROOT / folder).rglob("*.py")
    }
    assert shipped == core | mapped


@pytest.mark.long
def test_it_installs_into_an_empty_environment_and_trains_from_another_folder(
    distributions: Path, tmp_path: Path
) -> None:
    (package,) = distributions.glob("*.whl")  # which was built out of the sdist
    environment = tmp_path / "environment"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    # Its dependencies are borrowed from the running environment: installing torch again would take minutes.
    ask = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    site = Path(subprocess.check_output(ask, text=True).strip())
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib"))
    offline = ["--quiet", "--no-deps", "--no-index", "--no-build-isolation", "--ignore-installed"]
    install = [sys.executable, "-m", "pip", "--python", str(python), "install", *offline, str(package)]
    installed = subprocess.run(install, capture_output=True, text=True)
    assert installed.returncode == 0, installed.stderr
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    home = subprocess.check_output(
        [python, "-c", "import sb3_ddpg_custom as s; print(s.__file__)"], text=True, cwd=elsewhere
    )
    assert Path(home.strip()).is_relative_to(environment)
    quick = ["--steps", "1000", "--eval-episodes", "1", "--eval-every", "1000", "--video", "none"]
    done = subprocess.run(
        [str(environment / "bin" / "ddpg"), "train", "pendulum", *quick],
        cwd=elsewhere,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert (elsewhere / "runs" / "Pendulum-v1" / "1" / "final.zip").is_file()
    assert sorted(path.name for path in elsewhere.iterdir()) == ["runs"]


def test_common_names_are_not_importable_from_outside() -> None:
    script = (
        "import importlib.util as u, sys; sys.exit(any(u.find_spec(n) for n in ('cli', 'wrappers', 'zoo_configs')))"
    )
    assert subprocess.run([sys.executable, "-c", script], cwd="/").returncode == 0
