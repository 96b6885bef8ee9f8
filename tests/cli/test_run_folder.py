from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.run_folder import create_run_folder, find_checkpoint


def test_numbers_follow_the_highest(tmp_path: Path) -> None:
    assert create_run_folder(tmp_path / "a" / "b", "E-v0", None) == tmp_path / "a" / "b" / "E-v0" / "1"
    parent = tmp_path / "E-v0"
    for name in ("2", "10", "mine", "007x"):
        (parent / name).mkdir(parents=True)
    assert create_run_folder(tmp_path, "E-v0", None) == parent / "11"
    assert create_run_folder(tmp_path, "E-v0", None) == parent / "12"
    assert create_run_folder(tmp_path, "F-v0", None) == tmp_path / "F-v0" / "1"


def test_a_file_takes_a_number_too(tmp_path: Path) -> None:
    (tmp_path / "E-v0").mkdir()
    (tmp_path / "E-v0" / "1").write_text("")
    assert create_run_folder(tmp_path, "E-v0", None).name == "2"


def test_names(tmp_path: Path) -> None:
    assert create_run_folder(tmp_path, "module:ns/E-v0", "my run") == tmp_path / "module-ns-E-v0" / "my run"
    with pytest.raises(UsageError, match="my run exists already; choose another --name"):
        create_run_folder(tmp_path, "module:ns/E-v0", "my run")


@pytest.mark.parametrize("name", ["", " ", ".", "..", "a/b", "a\\b", "/", "../x"])
def test_what_is_no_name(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match="--name"):
        create_run_folder(tmp_path, "E-v0", name)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a\nb", "a\0b", "\x1b[31m", "a\u2028b", "a\udc80b"])
def test_names_with_signs_that_cannot_be_seen(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"^--name .* is no name for a folder; leave out"):
        create_run_folder(tmp_path, "E-v0", name)
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_too_long(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^--name has 300 characters, too many"):
        create_run_folder(tmp_path, "E-v0", "x" * 300)


def test_letters_of_any_language_are_a_name(tmp_path: Path) -> None:
    assert create_run_folder(tmp_path, "E-v0", "prüfung ٣ 👩‍🔬").is_dir()


@pytest.mark.parametrize("below", [Path(), Path("below")])
def test_a_file_in_the_way(tmp_path: Path, below: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="file"):
        create_run_folder(tmp_path / "file" / below, "E-v0", None)
    (tmp_path / "E-v0").write_text("")
    with pytest.raises(UsageError, match="E-v0 exists already"):
        create_run_folder(tmp_path, "E-v0", "name")


def test_runs_that_start_at_once_never_share_a_folder(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        folders = list(pool.map(lambda _: create_run_folder(tmp_path, "E-v0", None), range(60)))
        assert sorted(int(folder.name) for folder in folders) == list(range(1, 61))
        named = list(pool.map(lambda _: _created(lambda: create_run_folder(tmp_path, "E-v0", "one")), range(20)))
    assert sum(named) == 1


def _created(create: Callable[[], Path]) -> bool:
    try:
        create()
    except UsageError:
        return False
    return True


def test_the_best_comes_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--from .* without best\.zip"):
        find_checkpoint(tmp_path, "--from")
    (tmp_path / "checkpoints").mkdir()
    for path in ("checkpoints/step_000000200.zip", "checkpoints/step_000001000.zip", "final.zip", "best.zip"):
        (tmp_path / path).write_text("")
        assert find_checkpoint(tmp_path) == tmp_path / path
    assert find_checkpoint(tmp_path / "final.zip") == tmp_path / "final.zip"
    with pytest.raises(UsageError, match=r"--checkpoint .*nothing does not exist"):
        find_checkpoint(tmp_path / "nothing")
