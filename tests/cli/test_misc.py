import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from helpers import Ddpg

from sb3_ddpg_custom import __version__
from sb3_ddpg_custom.cli.config.resolve import aliases

HEAVY = ("torch", "stable_baselines3", "gymnasium", "scipy", "pydantic", "tensorboard")


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "200", **variables}
    return subprocess.run([*command], env=environment, capture_output=True, text=True, check=False)


def test_help_waits_for_nothing_heavy() -> None:
    code = f"""
import sys
import sb3_ddpg_custom.cli.app
try:
    sys.argv = ["ddpg", "--help"]
    sb3_ddpg_custom.cli.app.main()
finally:
    print("HEAVY", [name for name in {HEAVY} if name in sys.modules])
"""
    printed = run(sys.executable, "-c", code)
    assert printed.returncode == 0, printed.stderr
    assert printed.stdout.splitlines()[-1] == "HEAVY []"
    assert "evaluate" in printed.stdout


def test_help_of_all_commands(ddpg: Ddpg) -> None:
    assert all(name in ddpg("--help").stdout for name in ("train", "evaluate", "list", "config", "bench"))
    train = ddpg("train", "--help").stdout
    flags = ("--steps", "--seed", "--config", "--set", "--out", "--name", "--device", "--n-envs", "--eval-every")
    assert [flag for flag in (*flags, "--eval-episodes", "--video", "--render", "--from") if flag not in train] == []
    evaluate = ddpg("evaluate", "--help").stdout
    flags = ("--checkpoint", "--episodes", "--seed", "--env", "--video", "--render", "--import", "--json", "--debug")
    assert [flag for flag in flags if flag not in evaluate] == []
    bench = ddpg("bench", "--help").stdout
    options = ("--case", "--threads", "--rounds", "--segment-seconds", "--precision", "--json", "--debug")
    assert [flag for flag in options if flag not in bench] == []


def test_list(ddpg: Ddpg) -> None:
    printed = ddpg("list").stdout
    rows = {line.split()[0]: line.split()[1:] for line in printed.splitlines()}
    assert rows["half_cheetah"] == ["HalfCheetah-v5", f"{aliases()['half_cheetah'].n_timesteps:,}", "mujoco"]
    assert rows["lunar_lander"][2:] == ["box2d"]
    assert rows["pendulum"][2:] == []
    assert aliases().keys() <= rows.keys()
    assert 'pip install "sb3-ddpg-custom[mujoco]"' in printed


def test_config_prints_what_train_takes(ddpg: Ddpg, tmp_path: Path) -> None:
    first = ddpg("config", "pendulum", "--set", "gamma=0.5").stdout
    assert yaml.safe_load(first)["Pendulum-v1"]["gamma"] == 0.5
    (tmp_path / "my.yml").write_text(first)
    assert ddpg("config", "pendulum", "--config", tmp_path / "my.yml").stdout == first
    assert yaml.safe_load(ddpg("config", "Tiny-v0").stdout).keys() == {"Tiny-v0"}


def test_version_by_module_and_by_command(ddpg: Ddpg) -> None:
    assert ddpg("--version").stdout == f"ddpg {__version__}\n"
    printed = run(sys.executable, "-m", "sb3_ddpg_custom.cli", "--version")
    assert (printed.returncode, printed.stdout) == (0, f"ddpg {__version__}\n")


def test_without_arguments_there_is_help(ddpg: Ddpg) -> None:
    printed = ddpg(code=2)
    assert "evaluate" in printed.stdout + printed.stderr


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(shell: str) -> None:
    command = Path(sys.executable).parent / "ddpg"
    script = run(str(command), _DDPG_COMPLETE=f"source_{shell}")
    assert script.returncode == 0
    assert "_DDPG_COMPLETE" in script.stdout
    if shell == "bash":
        words = run(str(command), _DDPG_COMPLETE="complete_bash", COMP_WORDS="ddpg ev", COMP_CWORD="1")
        assert words.stdout.split() == ["evaluate"]
