"""The player: one file that needs NumPy alone, takes no memory on the way, and runs nothing of a file."""

import io
import json
import shutil
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sb3_ddpg_custom.export import player
from sb3_ddpg_custom.export.npz_file import write_npz
from sb3_ddpg_custom.export.player import FORMAT, PROGRAM, Policy, PolicyFileError
from sb3_ddpg_custom.export.program import Input, Program, Step

F32 = np.dtype(np.float32)


def of(*steps: Step, shape: tuple[int, ...] = (2,), actions: tuple[int, ...] = (1,), dtype: Any = F32) -> Program:
    return Program((Input("observation", shape, np.dtype(dtype)),), steps, actions, F32)


def array(*rows: Any) -> Any:
    return np.array(rows, np.float32)


# y = tanh(2 a - b + 0.5), scaled to [-1, 3]
SMALL = of(
    Step("to_float", ("observation",), "x", {}, {"divisor": 1.0}),
    Step("linear", ("x",), "z", {"weight": array([2.0, -1.0]), "bias": array(0.5)}),
    Step("tanh", ("z",), "t"),
    Step("scale_action", ("t",), "a", {"low": array(-1.0), "span": array(4.0)}),
)


@pytest.fixture
def small(tmp_path: Path) -> Path:
    write_npz(SMALL, tmp_path / "p.npz", {"env_id": "Toy-v0"})
    return tmp_path / "p.npz"


def test_literal_numbers(small: Path) -> None:
    policy = Policy(small)
    # tanh(0.25 · 2 - 1 + 0.5) = 0 is the middle of the bounds; tanh(0.5) = 0.46211716
    assert policy(np.array([0.25, 1.0])).tolist() == [1.0]
    assert policy(np.array([0.0, 0.0])).tolist() == pytest.approx([-1 + 4 * (1 + 0.46211716) / 2])
    assert policy.metadata == {"env_id": "Toy-v0"}
    assert policy.shapes == {"observation": (2,)}


@pytest.mark.parametrize(
    ("step", "given", "wanted"),
    [
        (Step("relu", ("observation",), "y"), [-2.0, 3.0], [0.0, 3.0]),
        (Step("sigmoid", ("observation",), "y"), [0.0, -200.0], [0.5, 0.0]),
        (Step("silu", ("observation",), "y"), [1.0, -2.0], [0.7310586, -0.23840584]),
        (Step("gelu", ("observation",), "y"), [1.0, -2.0], [0.8413447, -0.04550026]),
        (Step("leaky_relu", ("observation",), "y", {}, {"slope": 0.1}), [-2.0, 3.0], [-0.2, 3.0]),
        (Step("elu", ("observation",), "y", {}, {"alpha": 2.0}), [-1.0, 3.0], [-1.2642411, 3.0]),
        (
            Step("layer_norm", ("observation",), "y", {"weight": array(2, 2), "bias": array(1, 0)}, {"epsilon": 0.0}),
            [3.0, 7.0],
            [-1.0, 2.0],
        ),
        (
            Step(
                "normalize",
                ("observation",),
                "y",
                {"mean": np.array([1.0, 2.0]), "deviation": np.array([2.0, 0.1])},
                {"clip": 5.0},
            ),
            [3.0, 7.0],
            [1.0, 5.0],
        ),
    ],
    ids=lambda value: value.op if isinstance(value, Step) else "",
)
def test_literal_numbers_of_each_operation(step: Step, given: list[float], wanted: list[float], tmp_path: Path) -> None:
    write_npz(of(step, actions=(2,)), tmp_path / "p.npz", {})
    np.testing.assert_allclose(Policy(tmp_path / "p.npz")(given), wanted, rtol=1e-6)


def test_a_convolution_in_numbers(tmp_path: Path) -> None:
    kernel = array([[[1.0, 2.0], [3.0, 4.0]]])
    step = Step("conv", ("observation",), "y", {"weight": kernel, "bias": array(0.5)}, {"stride": 2.0})
    write_npz(of(step, shape=(1, 4, 5), actions=(4,)), tmp_path / "p.npz", {})
    picture = np.arange(20.0).reshape(1, 4, 5)
    # The first patch is 0, 1, 5, 6: 0 + 2 + 15 + 24 + 0.5.
    assert Policy(tmp_path / "p.npz")(picture).tolist() == [41.5, 61.5, 141.5, 161.5]


def test_a_step_takes_no_memory(tmp_path: Path) -> None:
    """Each of its arrays has 4 kB or more."""
    wide: dict[str, Any] = {"weight": np.ones((2000, 2000), np.float32), "bias": np.zeros(2000, np.float32)}
    norm: dict[str, Any] = {"weight": np.ones(2000, np.float32), "bias": np.zeros(2000, np.float32)}
    layers = [
        Step("normalize", ("observation",), "x", {"mean": np.zeros(2000), "deviation": np.ones(2000)}, {"clip": 9.0}),
        Step("linear", ("x",), "z", wide),
        Step("layer_norm", ("z",), "n", norm, {"epsilon": 1e-5}),
        *(Step(op, ("n",), op) for op in ("relu", "silu", "gelu")),
        Step("elu", ("n",), "elu", {}, {"alpha": 1.0}),
        Step("add", ("relu", "silu"), "sum"),
        Step("concat", ("sum", "gelu", "elu"), "all"),
        Step("scale_action", ("all",), "a", {"low": -norm["weight"].repeat(3), "span": norm["weight"].repeat(3)}),
    ]
    write_npz(of(*layers, shape=(2000,), actions=(6000,)), tmp_path / "p.npz", {})
    policy, observation = Policy(tmp_path / "p.npz"), np.linspace(0, 1, 2000)
    first = policy(observation)
    policy(observation)
    tracemalloc.start()
    for _ in range(3):
        again = policy(observation)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert again is first
    assert peak < 3000  # bytes: counters and tuples of Python's, no array


def test_numpy_alone_is_enough(small: Path, tmp_path: Path) -> None:
    """A copy of the file, in an interpreter that finds nothing but NumPy and Python's own modules."""
    site = tmp_path / "site"
    site.mkdir()
    packages = Path(np.__file__).parents[1]
    for name in ("numpy", "numpy.libs"):
        if (packages / name).exists():
            (site / name).symlink_to(packages / name)
    shutil.copy(player.__file__, site / "player.py")
    code = f"""
    import sys
    sys.path = [path for path in sys.path if "site-packages" not in path]
    sys.path.insert(0, {str(site)!r})
    import player
    print(player.Policy({str(small)!r})([0.25, 1.0]).tolist())
    print([name for name in ("torch", "gymnasium", "stable_baselines3", "sb3_ddpg_custom") if name in sys.modules])
    """
    ran = subprocess.run(
        [sys.executable, "-I", "-c", textwrap.dedent(code)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.split("\n")[:2] == ["[1.0]", "[]"]


def test_the_module_in_the_package_imports_neither_torch_nor_sb3() -> None:
    code = (
        "import sys, sb3_ddpg_custom.export.player;"
        "print([n for n in ('torch', 'gymnasium', 'stable_baselines3', 'onnx') if n in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_observations_that_do_not_fit(small: Path, tmp_path: Path) -> None:
    policy = Policy(small)
    with pytest.raises(ValueError, match=r"observation has the shape \(3,\), and the policy was trained on \(2,\)"):
        policy(np.zeros(3))
    with pytest.raises(ValueError, match="the observation lacks 'observation'"):
        policy({"arm": np.zeros(2)})
    hot = of(Step("one_hot", ("observation",), "y", {"sizes": np.array([3])}), shape=(), actions=(3,), dtype=np.int64)
    write_npz(hot, tmp_path / "h.npz", {})
    hot_policy = Policy(tmp_path / "h.npz")
    assert hot_policy(2).tolist() == [0, 0, 1]
    with pytest.raises(ValueError, match="the observation holds 3, and whole numbers below 3"):
        hot_policy(3)


def document(**changes: Any) -> dict[str, Any]:
    step = {"op": "relu", "reads": ["observation"], "writes": "y", "arrays": [], "options": {}}
    whole = {
        "format": FORMAT,
        "metadata": {},
        "inputs": [{"name": "observation", "shape": [2], "dtype": "float32"}],
        "steps": [step],
        "action_shape": [2],
    }
    return {**whole, **changes}


def saved(path: Path, what: Any, **arrays: Any) -> Path:
    text = what if isinstance(what, bytes) else json.dumps(what).encode()
    np.savez(path, **{PROGRAM: np.frombuffer(text, np.uint8), **arrays})
    return path


def test_the_document_that_the_hostile_ones_are_made_of_plays(tmp_path: Path) -> None:
    assert Policy(saved(tmp_path / "p.npz", document()))([-1.0, 2.0]).tolist() == [0.0, 2.0]


@pytest.mark.parametrize(
    "what",
    [
        b"not json",
        b"[" * 100_000,
        document(format="another"),
        document(steps=[]),
        document(steps=[{"op": "system", "reads": [], "writes": "y", "arrays": [], "options": {}}]),
        document(steps=document()["steps"] * 1000),
        document(inputs=[{"name": "observation", "shape": [10**9, 10**9], "dtype": "float32"}]),
        document(inputs=[{"name": "observation", "shape": [2], "dtype": "object"}]),
        document(inputs=[{"name": "observation", "shape": [-2], "dtype": "float32"}]),
        document(action_shape=[3]),
        document(metadata=7),
        document(
            steps=[{"op": "concat", "reads": ["observation", "gone"], "writes": "y", "arrays": [], "options": {}}]
        ),
        document(
            steps=[{"op": "linear", "reads": ["observation"], "writes": "y", "arrays": ["weight"], "options": {}}]
        ),
    ],
    ids=range(13),
)
def test_hostile_files_are_refused(what: Any, tmp_path: Path) -> None:
    with pytest.raises(PolicyFileError, match=r"p\.npz (is no exported policy|has the format)"):
        Policy(saved(tmp_path / "p.npz", what))


def test_shapes_that_do_not_go_together_are_found_when_it_is_opened(tmp_path: Path) -> None:
    step = {"op": "linear", "reads": ["observation"], "writes": "y", "arrays": ["weight", "bias"], "options": {}}
    arrays = {"0.weight": np.zeros((2, 5), np.float32), "0.bias": np.zeros(2, np.float32)}
    with pytest.raises(PolicyFileError, match="is no exported policy, or is damaged"):
        Policy(saved(tmp_path / "p.npz", document(steps=[step]), **arrays))


def test_pickles_compression_and_halves_are_refused(small: Path, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "ran",))

    step = {"op": "linear", "reads": ["observation"], "writes": "y", "arrays": ["weight", "bias"], "options": {}}
    hostile = {"0.weight": np.array([Runs()], object), "0.bias": np.zeros(2, np.float32)}
    with pytest.raises(PolicyFileError):
        Policy(saved(tmp_path / "p.npz", document(steps=[step]), **hostile))
    assert not (tmp_path / "ran").exists()
    np.savez_compressed(tmp_path / "c.npz", program=np.zeros(10**7, np.uint8))
    with pytest.raises(PolicyFileError, match="larger than policies are, or compressed"):
        Policy(tmp_path / "c.npz")
    content = small.read_bytes()
    for size in (0, 10, len(content) // 2, len(content) - 1):
        (tmp_path / "half.npz").write_bytes(content[:size])
        with pytest.raises(PolicyFileError, match="is no exported policy, or is damaged"):
            Policy(tmp_path / "half.npz")
    with pytest.raises(PolicyFileError, match="there is no file"):
        Policy(tmp_path / "gone.npz")


def test_a_flipped_byte_never_does_anything_else_than_play_or_be_refused(small: Path, tmp_path: Path) -> None:
    content = bytearray(small.read_bytes())
    rng = np.random.default_rng(0)
    refused = 0
    for place in rng.integers(0, len(content), 200):
        changed = content.copy()
        changed[place] ^= 1 << int(rng.integers(8))
        (tmp_path / "f.npz").write_bytes(changed)
        try:
            action = Policy(tmp_path / "f.npz")(np.zeros(2))
        except (PolicyFileError, ValueError):
            refused += 1
        else:
            assert action.shape == (1,)
    assert refused > 100  # zip keeps a checksum of each part


def test_a_zip_of_something_else_is_refused(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "z.npz", "w") as archive:
        archive.writestr("a.txt", io.BytesIO(b"hello").getvalue())
    with pytest.raises(PolicyFileError):
        Policy(tmp_path / "z.npz")
