"""The file formats, and their endings."""

from pathlib import Path
from typing import Literal, get_args

FormatName = Literal["onnx", "npz", "torchscript"]
ENDINGS: dict[FormatName, str] = {"onnx": ".onnx", "npz": ".npz", "torchscript": ".pt"}


def format_of(path: Path) -> FormatName:
    """Tell a file's format by its ending.

    :param path: such as policy.onnx
    :raises ValueError: if it is none of the known ones
    """
    for name in get_args(FormatName):
        if path.suffix.lower() == ENDINGS[name]:
            known: FormatName = name
            return known
    raise ValueError(f"{path.name} ends in none of {', '.join(ENDINGS.values())}, which name the formats")
