"""The options of ``ddpg export``, each declared once."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import typer

from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.shared_options import IMPORT, normalization_option, path_option, read_path
from sb3_ddpg_custom.export.formats import ENDINGS, FormatName


def _format(text: str) -> FormatName:
    for name in ENDINGS:
        if text == name:
            return name
    raise UsageError(f"--format {text} is none of {', '.join(ENDINGS)}")


@dataclass(frozen=True, kw_only=True)
class ExportRequest:
    """What ``ddpg export`` was asked for. Each field's help says what it is."""

    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN",
            parser=partial(read_path, "RUN"),
            help="A run folder, or a .zip of this package or of Stable-Baselines3's DDPG or TD3.",
        ),
    ]
    kind: Annotated[
        FormatName | None,
        typer.Option(
            "--format",
            parser=_format,
            metavar="|".join(ENDINGS),
            help="onnx for onnxruntime, npz for NumPy alone, torchscript for libtorch; default: by --out, else npz.",
        ),
    ] = None
    out: Annotated[
        Path | None,
        path_option("--out", metavar="FILE", help="The file; default: beside the model, policy.onnx or such."),
    ] = None
    env: Annotated[str | None, typer.Option(help="Alias or environment id; default: the model's own.")] = None
    normalization: Annotated[
        Path | Literal["none"] | None,
        normalization_option(
            help="Statistics of VecNormalize for a model that does not hold them, as for ddpg evaluate.",
        ),
    ] = None
    license: Annotated[
        str | None, typer.Option(help="What the file says of who may use it, such as CC-BY-4.0; default: nothing.")
    ] = None
    imports: Annotated[tuple[str, ...], IMPORT] = ()
