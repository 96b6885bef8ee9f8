"""An old kernel in OpenBLAS is named in one line."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sb3_ddpg_custom.cli.training.blas import remark_on_kernel


def test_an_old_kernel_is_named_with_what_chose_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
    assert remark_on_kernel("Haswell", "AVX512") == (
        "OpenBLAS multiplies with kernels for Haswell, slower than this processor with AVX512 can, because "
        "OPENBLAS_CORETYPE is Haswell: unset it"
    )
    monkeypatch.delenv("OPENBLAS_CORETYPE")
    remark = remark_on_kernel("Nehalem", "AVX2")
    assert remark is not None
    assert remark.endswith("as far as it knows: try a newer NumPy")


@pytest.mark.parametrize(
    ("kernel", "processor"),
    [
        *(("SkylakeX", "AVX512"), ("Cooperlake", "AVX512"), ("Zen", "AVX2"), ("Haswell", "AVX2")),
        *(("Haswell", "DEFAULT"), ("neoversen1", "DEFAULT"), ("None", "AVX512"), ("a kernel of tomorrow", "AVX512")),
    ],
)
def test_nothing_is_said_otherwise(kernel: str, processor: str) -> None:
    assert remark_on_kernel(kernel, processor) is None


def test_a_training_says_it_and_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("threadpoolctl")
    import torch as th

    if th.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"):
        pytest.skip("OpenBLAS has no older kernel to fall back to here that we know of")
    done = subprocess.run(
        [sys.executable, "-m", "sb3_ddpg_custom.cli", "train", "pendulum", "--steps", "20", "--video", "none"],
        cwd=tmp_path,
        env={**os.environ, "OPENBLAS_CORETYPE": "Nehalem"},
        capture_output=True,
        text=True,
        check=True,
    )
    lines = [line for line in (done.stdout + done.stderr).splitlines() if "OPENBLAS_CORETYPE" in line]
    assert len(lines) == 1
    assert lines[0].startswith("OpenBLAS multiplies with kernels for Nehalem")
