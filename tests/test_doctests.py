"""Every example in a docstring gives what it shows."""

import doctest
import importlib
import pkgutil
from pathlib import Path

import pytest

import sb3_ddpg_custom

# These replace or start something when they are imported.
NOT_IMPORTED = ("sb3_ddpg_custom.zoo", "sb3_ddpg_custom.cli.__main__")
MODULES = [
    module.name
    for module in pkgutil.walk_packages(sb3_ddpg_custom.__path__, "sb3_ddpg_custom.")
    if module.name not in NOT_IMPORTED
]


def examples_of(name: str) -> list[doctest.DocTest]:
    try:
        module = importlib.import_module(name)
    except ImportError as error:
        pytest.skip(f"{name} needs what is not installed: {error}")
    return [one for one in doctest.DocTestFinder().find(module) if one.examples]


@pytest.mark.parametrize("name", MODULES)
def test_examples_give_what_they_show(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    for one in examples_of(name):
        runner.run(one)
    assert runner.summarize(verbose=False).failed == 0


def test_there_are_examples() -> None:
    assert "sb3_ddpg_custom.wrappers.stats_monitor" in MODULES
    assert len(examples_of("sb3_ddpg_custom.wrappers.stats_monitor")[0].examples) > 5
