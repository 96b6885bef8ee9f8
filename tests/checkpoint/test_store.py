"""A folder of checkpoints, and trees of plain data in its files."""

import io
import json
from collections import deque
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch as th
from hypothesis import given, settings
from hypothesis import strategies as st

from sb3_ddpg_custom.checkpoint.plain_tree import read_tree, write_tree
from sb3_ddpg_custom.checkpoint.store import CheckpointStore, StoreError


def content_of(tree: Any) -> bytes:
    file = io.BytesIO()
    write_tree(tree, file)
    return file.getvalue()


def test_a_tree_comes_back_to_the_last_bit() -> None:
    tree: dict[Any, Any] = {
        "numbers": [1, 2**200, -0.0, float("inf"), 0.1 + 0.2, True, None, "µ"],
        7: (np.float64(0.1), np.float32(0.1), np.int64(3), np.bool_(True)),
        "deque": deque([1, (2, 3)], maxlen=5),
        "arrays": {"a": np.arange(6, dtype=np.int16).reshape(2, 3).T, "empty": np.zeros((0, 3)), "text": np.array("é")},
        "tensors": [th.arange(3.0), th.tensor([1.5, -2.5], dtype=th.bfloat16), th.tensor(5), th.zeros(2, 0)],
        "$": "a key of ours",
    }
    back = read_tree(content_of(tree))
    assert back["numbers"] == tree["numbers"]
    assert str(back["numbers"][2]) == "-0.0"
    assert [type(one) for one in back[7]] == [np.float64, np.float32, np.int64, np.bool_]
    assert back[7] == tree[7]
    assert back["deque"] == tree["deque"]
    assert back["deque"].maxlen == 5
    for name, array in tree["arrays"].items():
        np.testing.assert_array_equal(back["arrays"][name], array)
        assert back["arrays"][name].dtype == array.dtype
    for ours, theirs in zip(back["tensors"], tree["tensors"], strict=True):
        assert ours.dtype == theirs.dtype
        assert th.equal(ours, theirs)
    assert back["$"] == "a key of ours"


def test_what_only_a_pickle_could_hold_is_named() -> None:
    with pytest.raises(TypeError, match=r"it\['a'\]\[1\] is a set"):
        content_of({"a": [1, {2}]})
    with pytest.raises(TypeError, match="array of object"):
        content_of(np.array([{}]))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_tree_with_other_bytes_is_an_error_or_a_tree(data: st.DataObject) -> None:
    content = bytearray(content_of({"a": np.arange(5.0), "b": [1, {"c": th.ones(2)}]}))
    for _ in range(data.draw(st.integers(1, 8))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    tree: Any = {}
    with suppress(ValueError):
        tree = read_tree(bytes(content))
    assert isinstance(tree, dict)


def commit(store: CheckpointStore, step: int) -> None:
    def write(file: Any) -> None:
        file.write(b"x" * step)

    store.commit(step, {f"state-{step}.zip": write}, {}, {"step": step})


def test_two_checkpoints_are_kept(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path / "state")
    assert store.steps() == []
    assert store.newest() == (None, [])
    for step in (1, 2, 3):
        commit(store, step)
    assert store.steps() == [3, 2]
    assert sorted(path.name for path in store.folder.iterdir()) == [
        *("state-2.zip", "state-3.zip", "step-000000002.json", "step-000000003.json"),
    ]
    manifest, problems = store.newest()
    assert manifest is not None
    assert (manifest.step, problems) == (3, [])
    assert store.read(manifest, "state-3.zip") == b"xxx"


@pytest.mark.parametrize(
    ("name", "content", "problem"),
    [
        ("state-3.zip", b"xxy", "state-3.zip is damaged"),
        ("state-3.zip", b"xx", "state-3.zip is damaged"),
        ("state-3.zip", None, "state-3.zip is missing"),
        ("step-000000003.json", b"{", "is no JSON"),
        ("step-000000003.json", b"[" * 100_000, "is no JSON"),
        ("step-000000003.json", b"{}", "is no manifest"),
        ("step-000000003.json", b" " * 9_000_000, "larger than any manifest"),
    ],
)
def test_what_is_damaged_is_named_and_the_one_before_counts(
    name: str, content: bytes | None, problem: str, tmp_path: Path
) -> None:
    store = CheckpointStore(tmp_path)
    for step in (2, 3):
        commit(store, step)
    if content is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(content)
    manifest, problems = store.newest()
    assert manifest is not None
    assert manifest.step == 2
    assert len(problems) == 1
    assert problem in problems[0]


@pytest.mark.parametrize(
    "files",
    [
        {"../state-1.zip": {"bytes": 1, "sha256": ""}},
        {"/etc/passwd": {"bytes": 1, "sha256": ""}},
        {"state-1.zip": {"bytes": "1", "sha256": ""}},
        {"state-1.zip": []},
        ["state-1.zip"],
    ],
)
def test_names_lead_nowhere_else(files: Any, tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    commit(store, 3)
    path = tmp_path / "step-000000003.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "files": files}))
    with pytest.raises(StoreError, match="is damaged"):
        store.read_manifest(3)


def test_a_full_disk_leaves_the_last_one_whole(tmp_path: Path) -> None:
    store = CheckpointStore(tmp_path)
    commit(store, 2)

    def fill(file: Any) -> None:
        file.write(b"half of it")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space left"):
        store.commit(3, {"state-3.zip": fill}, {}, {})
    manifest, problems = store.newest()
    assert manifest is not None
    assert (manifest.step, problems) == (2, [])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["state-2.zip", "step-000000002.json"]
