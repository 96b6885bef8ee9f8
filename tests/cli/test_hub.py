"""``ddpg push`` and ``ddpg pull``, against a hub on the loopback; the real one is not reached."""

import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import Ddpg
from helpers.fake_hub import TOKEN, FakeHub, fake_hub
from helpers.forked import run_ddpg

pytest.importorskip("huggingface_hub")
REPO = "ada/ddpg-pendulum"


@pytest.fixture
def hub() -> Iterator[FakeHub]:
    with fake_hub() as served:
        yield served


@pytest.fixture
def cli(hub: FakeHub, tmp_path: Path) -> Any:
    """Run the command as a process: the hub's library reads its variables when it is imported."""

    def run(*arguments: object, code: int = 0, **variables: str) -> subprocess.CompletedProcess[str]:
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "home"),
            "HF_TOKEN": TOKEN,
            "COLUMNS": "200",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            **variables,
        }
        done = run_ddpg(list(map(str, arguments)), tmp_path, environment)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
        return done

    return run


def test_nothing_is_uploaded_without_yes(cli: Any, hub: FakeHub, pendulum_run: Any) -> None:
    shown = cli("push", pendulum_run[0], REPO, "--episodes", 2)
    assert "add --yes" in shown.stdout
    assert "policy.npz" in shown.stderr
    assert "ddpg-Pendulum-v1.zip" in shown.stderr
    assert hub.requests == []


def test_there_and_back(cli: Any, ddpg: Ddpg, hub: FakeHub, pendulum_run: Any, tmp_path: Path) -> None:
    run = pendulum_run[0]
    shown = cli("push", run, REPO, "--episodes", 2, "--yes", "--license", "mit")
    assert f"{hub.url}/{REPO}/commit/" in shown.stdout
    held = hub.repos[REPO]
    assert {"README.md", "config.yml", "curve.png", "evaluations.npz", "policy.npz", "replay.mp4"} <= held.keys()
    assert held["ddpg-Pendulum-v1.zip"] == (run / "best.zip").read_bytes()
    card = held["README.md"].decode()
    assert card.startswith("---\n")
    assert "license: mit" in card
    assert "mean_reward" in card
    assert "![Returns over the training](curve.png)" in card
    assert "ddpg train Pendulum-v1 --config runs/hub/ada--ddpg-pendulum/config.yml --seed 7" in card
    assert all(f"  {name}  {len(content):,} bytes" in shown.stderr for name, content in held.items())

    pulled = cli("pull", REPO)
    folder = tmp_path / "runs" / "hub" / "ada--ddpg-pendulum"
    assert "ddpg evaluate --checkpoint runs/hub/ada--ddpg-pendulum" in pulled.stdout
    for name, content in held.items():
        assert (folder / name.replace("ddpg-Pendulum-v1.zip", "best.zip")).read_bytes() == content
    evaluated = [ddpg("evaluate", "--checkpoint", who, "--episodes", 2, "--json").stdout for who in (folder, run)]
    assert len({printed.split('"mean_return"')[1] for printed in evaluated}) == 1

    # From the cache, whose files nobody may write to, without the hub.
    for file in (tmp_path / "home").rglob("*"):
        if file.is_file():
            file.chmod(stat.S_IRUSR)
    hub.requests.clear()
    cli("pull", REPO, "--out", "again", HF_HUB_OFFLINE="1")
    assert hub.requests == []
    again = tmp_path / "again" / "ada--ddpg-pendulum"
    assert (again / "best.zip").read_bytes() == (folder / "best.zip").read_bytes()
    cli("pull", REPO, "--out", "again", HF_HUB_OFFLINE="1")  # over what is there


def test_what_goes_wrong_is_a_sentence(cli: Any, hub: FakeHub, pendulum_run: Any, tmp_path: Path) -> None:
    assert "is not there, or not for you; log in" in cli("pull", "ada/gone", code=2).stderr
    told = cli("pull", "ada/gone", code=2, HF_HUB_OFFLINE="1").stderr
    assert "HF_HUB_OFFLINE is set, and ada/gone is not among what was got before" in told
    told = cli("push", pendulum_run[0], REPO, "--episodes", 2, "--yes", code=2, HF_TOKEN="hf_wrong").stderr
    assert "log in with `hf auth login`, or set HF_TOKEN" in told
    assert "the hub cannot be reached" in cli("pull", REPO, code=1, HF_ENDPOINT="http://127.0.0.1:9").stderr
    hub.repos["ada/empty"] = {"README.md": b"nothing"}
    assert "holds no .zip of Stable-Baselines3 or this package" in cli("pull", "ada/empty", code=2).stderr
    (tmp_path / "file").touch()
    hub.repos["ada/model"] = {"ddpg-x.zip": b"x"}
    assert "--out file cannot be written" in cli("pull", "ada/model", "--out", "file", code=2).stderr


@pytest.mark.parametrize("repo", ["x", "a/b/c", "../x", "a/..", "a b/c", "https://h/x"])
def test_what_is_no_repository(refused: Any, repo: str) -> None:
    assert "is no repository of the hub; write USER/NAME" in refused("pull", repo)


def test_hostile_files_of_a_repository_run_nothing(cli: Any, hub: FakeHub, tmp_path: Path) -> None:
    import io
    import pickle
    import zipfile

    class Runs:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        archive.writestr("data", "{}")
        archive.writestr("policy.pth", pickle.dumps(Runs()))
    hub.repos["eve/model"] = {"ddpg-x.zip": content.getvalue(), "code.py": b"open('ran2', 'w')"}
    hub.repos["eve/up"] = {"ddpg-x.zip": content.getvalue(), "../up.zip": b"x"}
    assert "eve/up cannot be taken as it is" in cli("pull", "eve/up", code=2).stderr
    cli("pull", "eve/model")
    folder = tmp_path / "runs" / "hub" / "eve--model"
    assert [path.name for path in folder.iterdir()] == ["best.zip"]
    told = cli("evaluate", "--checkpoint", folder, "--env", "pendulum", code=2).stderr
    assert "best.zip" in told
    assert not (tmp_path / "ran").exists()
    assert not list(tmp_path.rglob("up.zip"))
