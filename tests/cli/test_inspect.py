"""``ddpg inspect``: each kind of file says what it is, and no file runs anything or fills the memory."""

import io
import json
import resource
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stable_baselines3
from helpers import SMALL, Ddpg, make_model
from stable_baselines3.common.envs import BitFlippingEnv

PendulumRun = tuple[Path, subprocess.CompletedProcess[str]]


def facts(ddpg: Ddpg, path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ddpg("inspect", path, "--json").stdout)
    assert found["path"] == str(path)
    return {"kind": found["kind"], **found["facts"]}


def test_a_run_folder(ddpg: Ddpg, pendulum_run: PendulumRun) -> None:
    found = facts(ddpg, pendulum_run[0])
    assert found["kind"] == "run folder"
    assert found["environment"] == "Pendulum-v1"
    assert found["steps"] == "600 of 600"
    assert found["goes on"] == "from step 600, exactly"
    assert found["episodes"] == 3
    assert found["replay buffer"] == "600 of 20,000 transitions"
    assert found["settings"]["batch_size"] == 16
    assert found["bytes"]["best.zip"] == (pendulum_run[0] / "best.zip").stat().st_size
    assert "best.zip" in ddpg("inspect", pendulum_run[0]).stdout


def test_a_checkpoint(ddpg: Ddpg, pendulum_run: PendulumRun) -> None:
    found = facts(ddpg, pendulum_run[0] / "final.zip")
    assert found["written by"] == "DDPG"
    assert found["steps"] == 600
    assert found["observations"] == "Box shape [3], dtype float32, low [-1.0, -1.0, -8.0], high [1.0, 1.0, 8.0]"
    assert found["actions"] == "Box shape [1], dtype float32, low -2.0, high 2.0"
    assert found["actor"] == "353 parameters in (16, 3), (16, 16), (1, 16)"
    assert found["versions"]["stable-baselines3"] == stable_baselines3.__version__


def test_a_zip_that_python_saved_and_one_of_sb3s(ddpg: Ddpg, tmp_path: Path) -> None:
    make_model(critic_weight_decay=0.5).save(tmp_path / "ours")
    ours = facts(ddpg, tmp_path / "ours.zip")
    assert ours["settings"]["critic_weight_decay"] == 0.5
    stable_baselines3.DDPG("MlpPolicy", "Pendulum-v1", **SMALL).save(tmp_path / "theirs")
    theirs = facts(ddpg, tmp_path / "theirs.zip")
    assert theirs["written by"].startswith("Stable-Baselines3")
    assert theirs["settings"]["batch_size"] == 16
    assert ours["actor"] == theirs["actor"]


def test_a_zip_of_sb3s_with_dict_observations(ddpg: Ddpg, tmp_path: Path) -> None:
    env = BitFlippingEnv(n_bits=2, continuous=True)
    stable_baselines3.DDPG("MultiInputPolicy", env, device="cpu").save(tmp_path / "m.zip")
    said = " ".join(ddpg("inspect", tmp_path / "m.zip").stdout.split())
    assert "observations Dict of {'achieved_goal': MultiBinary(2)" in said


def test_a_replay_buffer(ddpg: Ddpg, tmp_path: Path) -> None:
    model = make_model().learn(50)
    model.save_replay_buffer(tmp_path / "buffer")
    found = facts(ddpg, tmp_path / "buffer.pkl")
    assert found["kind"] == "replay buffer"
    assert found["transitions"] == "50 of 500"
    assert found["bytes per transition"] == model.replay_buffer.records.row_bytes


def test_statistics_arrays_and_manifests(ddpg: Ddpg, pendulum_run: PendulumRun) -> None:
    run = pendulum_run[0]
    assert facts(ddpg, run / "rewards.npz")["episodes"] == 3
    assert facts(ddpg, run / "evaluations.npz")["results"] == "float64 (2, 2)"
    found = facts(ddpg, run / "state" / "step-000000600.json")
    assert (found["step"], found["exact"], found["env"]) == (600, True, "Pendulum-v1")


@pytest.mark.parametrize("content", [b"", b"PK\x05\x06" + bytes(18), b"hello", b"\x80\x04N.", bytes(3000)])
def test_what_is_nothing(ddpg: Ddpg, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file.zip").write_bytes(content)
    error = ddpg("inspect", tmp_path / "file.zip", code=2).stderr
    assert "is no checkpoint, buffer, state or statistics that can be read" in error
    assert error.count("\n") == 1
    assert "has no config.yml" in ddpg("inspect", tmp_path, code=2).stderr
    assert "does not exist" in ddpg("inspect", tmp_path / "nope", code=2).stderr


class Touch:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def add_zeros(archive: zipfile.ZipFile, name: str, megabytes: int, head: bytes = b"") -> None:
    """Add a member that unpacks to ``head`` and so many megabytes of zeros, of which one is compressed."""
    deflate, zeros = zlib.compressobj(wbits=-zlib.MAX_WBITS), bytes(2**20)
    begin = deflate.compress(head) + deflate.flush(zlib.Z_FULL_FLUSH)
    megabyte = deflate.compress(zeros) + deflate.flush(zlib.Z_FULL_FLUSH)  # the same again and again
    info = zipfile.ZipInfo(name)
    archive.writestr(info, begin + megabyte * megabytes + deflate.flush())
    info.compress_type, info.file_size, info.CRC = zipfile.ZIP_DEFLATED, len(head) + megabytes * 2**20, zlib.crc32(head)
    for _ in range(megabytes):
        info.CRC = zlib.crc32(zeros, info.CRC)


def bombs() -> dict[str, Callable[[Path], None]]:
    """Files of some hundred kilobytes that would unpack to a gigabyte."""

    def zipped(**members: int) -> Callable[[Path], None]:
        def write(path: Path) -> None:
            with zipfile.ZipFile(path, "w") as archive:
                for name, megabytes in members.items():
                    add_zeros(archive, name.replace("_", "."), megabytes)

        return write

    def npz(path: Path) -> None:
        head = io.BytesIO()
        np.lib.format.write_array_header_1_0(head, {"descr": "<f8", "fortran_order": False, "shape": (2**27,)})
        with zipfile.ZipFile(path, "w") as archive:
            add_zeros(archive, "rewards.npy", 1024, head.getvalue())

    return {
        "weights.zip": zipped(data=1, policy_pth=1024),
        "text.zip": zipped(data=1024, policy_pth=1),
        "description.zip": zipped(data=1, policy_pth=1, description_json=1024),
        "buffer.pkl": zipped(header_json=1024),
        "rewards.npz": npz,
    }


SCRIPT = """
import sys
from sb3_ddpg_custom.cli.app import main
for path in sys.argv[1:]:
    sys.argv = ["ddpg", "inspect", path]
    try:
        main()
    except SystemExit as leaving:
        assert leaving.code == 2, path
"""


@pytest.mark.long
@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process")
def test_bombs_are_refused_before_they_unpack(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in bombs()]
    for path, write in zip(paths, bombs().values(), strict=True):
        write(path)
        assert path.stat().st_size < 3e6
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, *map(str, paths)],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_DATA, (900 * 2**20, 900 * 2**20)),
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("\n") == len(paths)
    assert "MemoryError" not in ended.stderr
