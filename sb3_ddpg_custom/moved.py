"""Where the modules of older releases are now: their zips, buffer files and scripts name them."""

import sys
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

_PACKAGE = __name__.rpartition(".")[0]
#: old name -> new name, within the package
MOVED = {
    "batch_memory": "replay.batch_memory",
    "buffer_file": "replay.files",
    "device_records": "replay.device_records",
    "experience_replay": "replay.experience_replay",
    "exploration": "acting.action_noise",
    "final_observations": "replay.final_observations",
    "noise_at_once": "acting.noise_of_all_envs",
    "observation_fields": "replay.observation_fields",
    "optimizer": "policies",
    "parameter_noise": "acting.parameter_noise",
    "priorities": "replay.priorities",
    "records": "replay.records",
    "replay_buffer": "replay.buffer",
    "sb3_buffers": "replay.from_sb3",
    "stacked_actor": "acting.stacked_actor",
    "sum_tree": "replay.sum_tree",
    "transition_storage": "replay.storage",
}


class OldNames(MetaPathFinder, Loader):
    """Answers an import of an old name with the module that is there now."""

    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:  # noqa: ARG002
        """Find a module that has moved; None leaves every other name to Python."""
        package, _, name = fullname.rpartition(".")
        return ModuleSpec(fullname, self) if package == _PACKAGE and name in MOVED else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """Give the module itself, not a copy: its classes are the same under both names."""
        module = import_module(f"{_PACKAGE}.{MOVED[spec.name.rpartition('.')[2]]}")
        spec.loader_state = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Leave the module as it is, executed under its own name, which Python has just overwritten."""
        if module.__spec__ is not None:
            module.__spec__ = module.__spec__.loader_state


def install() -> None:
    """Answer old names from here on, behind all that Python finds by itself."""
    if not any(isinstance(finder, OldNames) for finder in sys.meta_path):
        sys.meta_path.append(OldNames())
