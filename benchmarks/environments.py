"""Other people's environments: which of them SB3's DDPG trains on, and which `ddpg train` does.

python benchmarks/environments.py
python benchmarks/environments.py --packages highway-env --packages gym-anm --keep scratch

Ends with exit code 1 where SB3 trains and `ddpg train` does not, with 2 where something could not be tried.

Needs the package registry, some 4 GB of disk and half an hour. One virtual environment has this checkout with the
versions of constraints.txt, torch's too. Each package lies in another one, which sees the first: packages whose demands
exclude each other's do not meet, and torch is there once. A package gets the versions that it asks for within the
demands of pyproject.toml, except torch's, which stays.
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).resolve().parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
TRAINED = "trained"

# What a user of SB3 writes, and the error in one line.
SB3 = """
import importlib, sys
import gymnasium as gym
from stable_baselines3 import DDPG
from stable_baselines3.common.preprocessing import is_image_space

def main(env_id, steps, module="", function=""):
    if module:
        imported = importlib.import_module(module)
    if function:
        getattr(imported, function)()
    env = gym.make(env_id)
    space = env.observation_space
    several = isinstance(space, gym.spaces.Dict)
    policy = "MultiInputPolicy" if several else "CnnPolicy" if is_image_space(space) else "MlpPolicy"
    DDPG(policy, env).learn(int(steps))

try:
    main(*sys.argv[1:])
except Exception as error:
    sys.exit(f"sb3: {type(error).__name__}: {' '.join(str(error).split())}")
"""


@dataclass(frozen=True)
class Environment:
    """One environment of a package.

    :param package: its name on the registry
    :param env_id: what it registers
    :param registered_by: module, or module:function, that registers it; None where the id names its module
    :param demands: what pip gets; default: the package
    """

    package: str
    env_id: str
    registered_by: str | None
    demands: tuple[str, ...] = ()


# Newer versions of MuJoCo break them: dm-control 1.0.50 reads fields that 4.0 no longer has, and the way in which
# gymnasium-robotics 1.4.2 asks for a joint's type fails with 3.17, not with 3.3.
DM_CONTROL = ("shimmy[dm-control]", "mujoco<4")
ROBOTICS = ("gymnasium-robotics", "mujoco<3.4")
ENVIRONMENTS = (
    Environment("highway-env", "parking-v0", "highway_env"),  # Dict with goals
    Environment("highway-env", "racetrack-v0", "highway_env"),  # float grids of shape (2, 12, 12)
    Environment("gymnasium-robotics", "PointMaze_UMaze-v3", "gymnasium_robotics", ROBOTICS),  # Dict with goals
    Environment("gymnasium-robotics", "FetchReach-v4", "gymnasium_robotics", ROBOTICS),
    Environment("panda-gym", "PandaReach-v3", "panda_gym"),
    Environment("mo-gymnasium", "mo-mountaincarcontinuous-v0", "mo_gymnasium"),  # rewards are vectors
    Environment("gym-electric-motor", "Cont-CC-PMSM-v0", "gym_electric_motor"),  # Tuple
    Environment("shimmy", "dm_control/cartpole-swingup-v0", "shimmy", DM_CONTROL),  # Dict, no time limit known
    Environment("shimmy", "dm_control/walker-walk-v0", "shimmy", DM_CONTROL),  # an entry has the shape ()
    Environment("gym-anm", "gym_anm:ANM6Easy-v0", None),  # hardly ever ends, 12 ms a step
    Environment("bluesky-gym", "SectorCREnv-v0", "bluesky_gym:register_envs"),  # one simulator for a whole process
    Environment("pyflyt", "PyFlyt/Rocket-Landing-v4", "PyFlyt.gym_envs"),  # draws in RGBA; wants NumPy 1
)


def install(folder: Path, *demands: str, base: Path | None = None) -> Path:
    """Make a virtual environment, or use the one that is there.

    :param folder: where
    :param demands: for `pip install`
    :param base: an environment whose packages this one sees; None for one that stands alone
    :return: its Python
    :raises RuntimeError: if pip fails; the message is what pip says last
    """
    python = folder / "bin" / "python"
    if not python.exists():
        options = () if base is None else ("--without-pip",)
        subprocess.run([sys.executable, "-m", "venv", *options, str(folder)], check=True)
    if base is not None:
        (_packages(folder) / "base.pth").write_text(f"import site; site.addsitedir({str(_packages(base))!r})\n")
    command = [str(python), "-m", "pip", "install", "--quiet", "--prefer-binary", *demands]
    # What pip builds gets the pinned torch too.
    variables = {**os.environ, "PIP_CONSTRAINT": str(folder.parent / "torch.txt")}
    answer = subprocess.run(command, capture_output=True, text=True, env=variables)
    if answer.returncode != 0:
        errors = [line for line in answer.stderr.splitlines() if line.startswith("ERROR:")]
        raise RuntimeError(errors[0].removeprefix("ERROR: ") if errors else f"pip ended with {answer.returncode}")
    return python


def _packages(folder: Path) -> Path:
    return folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"


def write_constraints(folder: Path) -> Path:
    """Write what pip must keep to beside other people's packages: our demands, and torch exactly as it is pinned.

    :param folder: gets torch.txt and constraints.txt
    :return: the latter
    """
    torch = next(line for line in CONSTRAINTS.read_text().splitlines() if line.startswith("torch=="))
    (folder / "torch.txt").write_text(f"{torch}\n")
    ours = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    path = folder / "constraints.txt"
    path.write_text("\n".join([torch, *(re.sub(r"\[.*?\]", "", demand) for demand in ours), ""]))
    return path


def attempt(command: Sequence[str], *, limit_seconds: float, log: Path) -> str:
    """Train in a process of its own.

    :param command: what to run
    :param limit_seconds: when to end it
    :param log: gets all that it prints
    :return: "trained", or one sentence
    """
    with log.open("w+") as output:
        process = subprocess.Popen(
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            cwd=log.parent,
            # Some packages write files at home; lines are found again if nobody breaks them.
            env={**os.environ, "HOME": str(log.parent), "OMP_NUM_THREADS": "1", "COLUMNS": "1000"},
            start_new_session=True,
        )
        try:
            code = process.wait(limit_seconds)
        except subprocess.TimeoutExpired:
            return f"not done after {limit_seconds:g} s"
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        if code == 0:
            return TRAINED
        output.seek(0)
        lines = [line.strip() for line in output if line.strip()]
    told = [line for line in lines if line.startswith(("ddpg: ", "sb3: "))] or lines or ["it said nothing"]
    ended = signal.Signals(-code).name if code < 0 else f"exit code {code}"
    return f"{re.sub('^(ddpg|sb3): ', '', told[-1])} ({ended})"


def train(environment: Environment, python: Path, folder: Path, steps: int, limit_seconds: float) -> tuple[str, str]:
    """Train with SB3 and with `ddpg train`.

    :param environment: what to train on
    :param python: that has its package
    :param folder: gets logs and runs
    :param steps: env steps
    :param limit_seconds: for each of the two
    :return: how it went with SB3, and with `ddpg train`
    """
    name = re.sub(r"\W+", "-", environment.env_id)
    sb3 = [str(python), "-c", SB3, environment.env_id, str(steps), *(environment.registered_by or "").split(":")]
    ddpg = [str(python), "-m", "sb3_ddpg_custom.cli", "train", environment.env_id, "--steps", str(steps)]
    runs = tempfile.mkdtemp(prefix=f"{name}.", dir=folder)
    ddpg += ["--out", runs]
    ddpg += ["--import", environment.registered_by] if environment.registered_by else []
    with_sb3 = attempt(sb3, limit_seconds=limit_seconds, log=folder / f"{name}.sb3.log")
    log = folder / f"{name}.ddpg.log"
    with_ddpg = attempt(ddpg, limit_seconds=limit_seconds, log=log)
    if with_ddpg == TRAINED:
        films = len(list(Path(runs).rglob("*.mp4")))
        reasons = [line.strip() for line in log.read_text().splitlines() if line.startswith("no videos: ")]
        with_ddpg = f"{TRAINED}, {films} films" if films else ", ".join([TRAINED, *(reasons or ["no films"])])
    return with_sb3, with_ddpg


def main(
    packages: Annotated[list[str] | None, typer.Option(help="Only this package; repeatable.")] = None,
    steps: Annotated[int, typer.Option(min=1, help="Env steps of each training.")] = 300,
    limit_seconds: Annotated[float, typer.Option(min=1, help="Seconds after which a training is ended.")] = 300,
    keep: Annotated[Path | None, typer.Option(help="Work in this folder, and leave it for the next time.")] = None,
) -> None:
    """Train on other people's environments with SB3's DDPG and with `ddpg train`."""
    unknown = set(packages or ()) - {environment.package for environment in ENVIRONMENTS}
    if unknown:
        sys.exit(f"environments: {', '.join(sorted(unknown))}: no package of the list in {__file__}")
    chosen = [environment for environment in ENVIRONMENTS if not packages or environment.package in packages]
    console, progress = (Console(stderr=stderr, highlight=False, markup=False) for stderr in (False, True))
    if not console.is_terminal:
        console.width = 200  # sentences
    table = Table("package", "version", "environment", "SB3", "ddpg", box=None)
    with_sb3_only: list[str] = []
    with_both: list[str] = []
    missing: list[str] = []
    with tempfile.TemporaryDirectory() if keep is None else nullcontext(keep) as place:
        folder = Path(place).resolve()
        folder.mkdir(parents=True, exist_ok=True)
        constraints = write_constraints(folder)
        progress.print(f"installing this checkout into {folder}")
        base = folder / "base"
        try:
            install(base, "-c", str(CONSTRAINTS), "-e", str(ROOT))
        except RuntimeError as error:
            sys.exit(f"environments: this checkout cannot be installed: {error}")
        for environment in chosen:
            own = folder / environment.package
            demands = environment.demands or (environment.package,)
            try:
                python = install(own, "-c", str(constraints), *demands, base=base)
            except RuntimeError as error:
                missing.append(environment.env_id)
                table.add_row(environment.package, "", environment.env_id, f"not installed: {error}", "")
                continue
            distribution = next(iter(metadata.distributions(name=environment.package, path=[str(_packages(own))])))
            with_sb3, with_ddpg = train(environment, python, folder, steps, limit_seconds)
            progress.print(f"{environment.env_id}: SB3 {with_sb3}; ddpg {with_ddpg}", soft_wrap=True)
            table.add_row(environment.package, distribution.version, environment.env_id, with_sb3, with_ddpg)
            if with_sb3 == TRAINED:
                (with_both if with_ddpg.startswith(TRAINED) else with_sb3_only).append(environment.env_id)
    console.print(table)
    if missing:
        console.print(f"not tried: {', '.join(missing)}", soft_wrap=True)
    if with_sb3_only:
        console.print(f"SB3 trains and ddpg does not: {', '.join(with_sb3_only)}", soft_wrap=True)
        raise typer.Exit(1)
    console.print(f"SB3 trains on {len(with_both)} of {len(chosen)}, and ddpg on all of those")
    if missing or not with_both:
        raise typer.Exit(2)  # nothing is shown about some, or about any


if __name__ == "__main__":
    typer.run(main)
