"""What `ddpg train` imports, and the benchmark of its start. No clock is looked at here."""

import gc
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import sb3_ddpg_custom
from sb3_ddpg_custom.cli.imports import no_garbage_collection

PACKAGE = Path(sb3_ddpg_custom.__file__).parent.parent
BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
SHORT = ("--steps", "60", "--eval-every", "60", "--eval-episodes", "1", "--set", "learning_starts=20")
# Seconds each, and nothing that training on SB3's own policies needs.
HEAVY = (
    "torch._dynamo",
    "torch._inductor",
    "sympy",
    "pandas",
    "matplotlib",
    "scipy",
    "tensorflow",
    "rl_zoo3",
    "mujoco",
    *("onnx", "onnxruntime", "huggingface_hub", "mlflow", "trackio", "wandb"),
)


def python(*arguments: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    # The package that is tested here, wherever an editable install may point to.
    variables = {"PYTHONPATH": str(PACKAGE), "COLUMNS": "200", "TERM": "dumb", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=cwd,
        env={**os.environ, **variables},
    )
    assert done.returncode == 0, done.stderr
    return done


def test_training_and_evaluating_import_nothing_heavy_that_they_do_not_use(tmp_path: Path) -> None:
    """From the first step to the last: updates, an evaluation, a video, checkpoints, TensorBoard's file."""
    code = f"""
import sys
sys.modules["numba"] = None  # it needs SciPy
from sb3_ddpg_custom.cli.app import main
from sb3_ddpg_custom.cli.training import run
run._to_look_at = lambda *_: (None, None)  # behind the last step, the curve needs matplotlib
sys.argv = ["ddpg", "train", "pendulum", "--quiet", *{SHORT}]
try:
    main()
finally:
    print([name for name in {HEAVY} if name in sys.modules])
"""
    assert python("-c", code, cwd=tmp_path).stdout == "[]\n"
    folder = tmp_path / "runs" / "Pendulum-v1" / "1"
    assert {"final.zip", "best.zip", "videos"} <= {path.name for path in folder.iterdir()}
    code = code.replace('"train"', '"evaluate"').replace("pendulum", "--checkpoint").replace('"--quiet"', f'"{folder}"')
    assert "torch._dynamo" not in python("-c", code.replace(f"*{SHORT}", '"--episodes=1"'), cwd=tmp_path).stdout


def test_garbage_collection_is_as_it_was_afterwards() -> None:
    assert gc.isenabled()
    with no_garbage_collection():
        assert not gc.isenabled()
    with pytest.raises(ImportError), no_garbage_collection():
        raise ImportError
    assert gc.isenabled()
    gc.disable()
    try:
        with no_garbage_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_benchmark_of_the_start_measures_both_moments_and_lists_imports(tmp_path: Path) -> None:
    quick = ["--runs", "1", "--against", PACKAGE, "--largest", "3"]
    training = ["--", "pendulum", "--video", "none", *SHORT]
    lines = python(BENCHMARKS / "startup.py", *quick, *training, cwd=tmp_path).stdout.splitlines()
    (step,) = [line.split()[-3:] for line in lines if "to the first env step" in line]
    (update,) = [line.split()[-3:] for line in lines if "to the first update" in line]
    assert all(0 < float(first) <= float(second) for first, second in zip(step[:2], update[:2], strict=True))
    listed = [line.split() for line in lines[lines.index(next(line for line in lines if "modules" in line)) + 1 :]]
    assert listed[0][0] == "torch"
    assert len(listed) == 3 + 1
    assert list(tmp_path.iterdir()) == []


def test_the_time_to_a_score_is_measured_for_ours_and_for_others(tmp_path: Path) -> None:
    file = tmp_path / "scores.json"
    # Any policy returns more than that, so that the first evaluation ends each training.
    rows = ["pendulum", "--row", "--video none", "--row", "same", "--row", "SAC"]
    options = [*rows, *["--seeds", "1", "--every", "30", "--limit", "40", "--threshold", "-10000", "--json"], file]
    printed = python(BENCHMARKS / "time_to_score.py", *options, cwd=tmp_path).stdout
    results = json.loads(file.read_text())
    assert [result["steps"] for result in results] == [30] * 3
    assert all(result["seconds"] > 0 and result["cpu_seconds"] > 0 for result in results)
    assert all(f" {result['row']} " in printed for result in results)
    # The same seed draws the same first networks in both, and both play the same episodes.
    assert results[0]["best_return"] == results[1]["best_return"]
    # What a file tells of is not measured again.
    python(BENCHMARKS / "time_to_score.py", *options, cwd=tmp_path)
    assert json.loads(file.read_text()) == results


def test_help_and_the_package_import_no_extra(tmp_path: Path) -> None:
    code = f"""
import sys, sb3_ddpg_custom
from sb3_ddpg_custom.cli.app import main
sys.argv = ["ddpg", "--help"]
try:
    main()
except SystemExit:
    pass
print([name for name in ("torch", "stable_baselines3", *{HEAVY}) if name in sys.modules])
"""
    assert python("-c", code, cwd=tmp_path).stdout.endswith("[]\n")


def test_what_a_graphics_card_makes_of_it_can_be_tried_without_one(tmp_path: Path) -> None:
    file = tmp_path / "on_gpu.json"
    options = ["--device", "cpu", "--no-tests", "--seconds", "0.01", "--rounds", "1", "--case", "c1", "--envs", "2"]
    printed = python(BENCHMARKS / "on_gpu.py", *options, "--json", file, cwd=tmp_path).stdout
    found = json.loads(file.read_text())
    assert 0 < found["differences"]["C1"] < 1e-4  # compiled, and by hand
    assert [one["contender"] for one in found["speeds"]] == ["ours", "SB3"]
    assert all(one["steps"] > 0 and one["updates"] > 0 and one["samples"] > 0 for one in found["speeds"])
    assert "ratio" in printed
