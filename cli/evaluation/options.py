"""The options of ``ddpg evaluate``, each declared once: its help and the commands that are printed follow from it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import typer

from sb3_ddpg_custom.cli.environments.filming import FilmLook
from sb3_ddpg_custom.cli.shared_options import IMPORT, Fps, Overlay, normalization_option, path_option


@dataclass(frozen=True, kw_only=True)
class EvaluateRequest:
    """What ``ddpg evaluate`` was asked for. Each field's help says what it is."""

    checkpoint: Annotated[
        Path | None,
        path_option(
            "--checkpoint", help="A run folder, or a .zip of this package or of Stable-Baselines3's DDPG or TD3."
        ),
    ] = None
    policy: Annotated[
        Path | None,
        path_option("--policy", metavar="FILE", help="In place of a checkpoint, an .onnx or .npz of ddpg export."),
    ] = None
    episodes: Annotated[int, typer.Option(min=1, max=1_000_000, help="Episodes to play.")] = 100
    seed: Annotated[int, typer.Option(min=0, help="Chooses the start states; never those of a training.")] = 0
    env: Annotated[str | None, typer.Option(help="Alias or environment id; default: the checkpoint's own.")] = None
    video: Annotated[
        Path | None,
        path_option(
            "--video",
            metavar="DIR|FILE",
            help="Film each episode into this folder, or all of them side by side into this .mp4 or .gif.",
        ),
    ] = None
    fps: Fps = None
    overlay: Overlay = False
    render: Annotated[bool, typer.Option("--render", help="Show the episodes in a window.")] = False
    normalization: Annotated[
        Path | Literal["none"] | None,
        normalization_option(
            help="Statistics of VecNormalize for a checkpoint that does not hold them: what VecNormalize.save wrote "
            "(no code in it is run), or a checkpoint of this package that does.",
        ),
    ] = None
    max_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps after which an episode is cut; default: the environment's own limit, and where it has none "
            "that of the training's evaluations, or 10,000.",
        ),
    ] = None
    trust_pickle: Annotated[
        bool,
        typer.Option(
            "--trust-pickle",
            help="Unpickle the checkpoint, for a policy class of its author's; runs whatever the file says.",
        ),
    ] = False
    imports: Annotated[tuple[str, ...], IMPORT] = ()

    @property
    def look(self) -> FilmLook:
        """How the films look."""
        return FilmLook(fps=self.fps, overlay=self.overlay)
