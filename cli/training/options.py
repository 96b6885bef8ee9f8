"""The options of ``ddpg train`` and ``ddpg resume``, each declared once; all that prints them follows from it."""

import json
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import yaml

from sb3_ddpg_custom.cli.environments.filming import FilmLook
from sb3_ddpg_custom.cli.environments.kinds import VecEnvKind, read_vec_env
from sb3_ddpg_custom.cli.errors import UsageError, or_nothing
from sb3_ddpg_custom.cli.shared_options import (
    IMPORT,
    Device,
    EvalEpisodes,
    Fps,
    Out,
    Overlay,
    Preset,
    normalization_option,
    path_option,
    read_path,
)
from sb3_ddpg_custom.cli.tracking.names import TrackerName, read_tracker

FilmedEpisodes = int | Literal["none", "cubic"]


def _filmed_episodes(text: str) -> FilmedEpisodes:
    match text:
        case "none" | "cubic":
            return text
    if text.isascii() and text.isdecimal() and int(text) >= 1:
        return int(text)
    raise UsageError(f"--video {or_nothing(text)} is neither none, cubic nor a whole number of at least 1")


def _action_bounds(text: str) -> str:
    from sb3_ddpg_custom.cli.config.kinds import read_bounds

    try:
        read = read_bounds(yaml.safe_load(f"[{text}]"))
    except yaml.YAMLError:
        read = None
    if read is None:
        raise UsageError(f"--action-bounds {text} is no low and high; write such as -1,1 or [-1,-2],[1,2]")
    return json.dumps(read)[1:-1].replace(" ", "")


def _on_divergence(text: str) -> str:
    word, colon, times = text.partition(":")
    counts = not colon or (times.isascii() and times.isdecimal() and int(times) >= 1)
    if text == "stop" or (word == "rollback" and counts):
        return text
    raise UsageError(f"--on-divergence {or_nothing(text)} is neither stop, rollback nor such as rollback:5")


def most_rollbacks(on_divergence: str) -> int:
    """Read how often a training may go back.

    :param on_divergence: value of ``--on-divergence``
    """
    word, _, times = on_divergence.partition(":")
    return int(times or 3) if word == "rollback" else 0


@dataclass(frozen=True, kw_only=True)
class TrainRequest:
    """What ``ddpg train`` was asked for. Each field's help says what it is; None leaves the choice to the training."""

    env: Annotated[
        str, typer.Argument(metavar="ENV", help="An alias (see `ddpg list`) or a registered environment id.")
    ]
    steps: Annotated[int | None, typer.Option(help="Environment steps; default: the config's.")] = None
    seed: Annotated[int | None, typer.Option(help="Seed of everything random; default: drawn, shown and recorded.")] = (
        None
    )
    config: Annotated[
        Path | None, path_option("--config", help="YAML file with hyper-parameters, in rl_zoo3's format.")
    ] = None
    overrides: Annotated[
        tuple[str, ...],
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Change one hyper-parameter; dotted keys, YAML values; repeatable."
        ),
    ] = ()
    preset: Preset = None
    action_bounds: Annotated[
        str | None,
        typer.Option(
            parser=_action_bounds,
            metavar="LOW,HIGH",
            help="Bounds of the actions where the environment has none, or narrower ones; lists for each component: "
            "[-1,-2],[1,2].",
        ),
    ] = None
    out: Out = Path("runs")
    name: Annotated[str | None, typer.Option(help="Name of this run's folder; default: the next number.")] = None
    device: Device = "auto"
    threads: Annotated[
        int | None, typer.Option(min=1, help="Torch's threads; default: one for small networks, else torch's choice.")
    ] = None
    n_envs: Annotated[int | None, typer.Option(help="Environments side by side; default: the config's.")] = None
    vec_env: Annotated[
        VecEnvKind,
        typer.Option(
            parser=read_vec_env,
            metavar="dummy|subproc",
            help="Step the training's environments in turn in one process, or each in a process of its own, for slow "
            "ones; the results are the same. Evaluations stay in one process.",
        ),
    ] = "dummy"
    eval_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps between evaluations and checkpoints; default: a tenth of the training, more where all "
            "evaluations together would take over ten times its steps.",
        ),
    ] = None
    eval_episodes: EvalEpisodes = 10
    eval_max_steps: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps after which an evaluation's episode is cut; default: the environment's own limit, and where it "
            "has none a twentieth of the training's, from 100 to 10,000.",
        ),
    ] = None
    checkpoint_every: Annotated[
        int | None,
        typer.Option(
            min=1,
            help="Steps between checkpoints of the whole state, for ddpg resume; default: as often as takes a "
            "hundredth of the training's time.",
        ),
    ] = None
    on_divergence: Annotated[
        str,
        typer.Option(
            parser=_on_divergence,
            metavar="stop|rollback[:N]",
            help="What to do when an update comes out as no number: stop, or go back to the last checkpoint and on "
            "with half the learning rates, N times (3) at most.",
        ),
    ] = "stop"
    video: Annotated[
        FilmedEpisodes | None,
        typer.Option(
            parser=_filmed_episodes,
            metavar="none|cubic|N",
            help="Training episodes to film: none, cubic (0, 1, 8, 27 …, 1000, 2000 …) or every N-th. "
            "Default: cubic where the environment can be drawn quickly.",
        ),
    ] = None
    fps: Fps = None
    overlay: Overlay = False
    track: Annotated[
        TrackerName | None,
        typer.Option(
            parser=read_tracker,
            metavar="wandb|mlflow|trackio",
            help="Give the curves to this tracker, too; where it is, its own environment variables say.",
        ),
    ] = None
    render: Annotated[bool, typer.Option("--render", help="Show the training in a window (one environment only).")] = (
        False
    )
    start_from: Annotated[
        Path | None,
        path_option(
            "--from", help="Begin with the networks of a run folder or checkpoint; the replay buffer begins empty."
        ),
    ] = None
    normalization: Annotated[
        Path | Literal["none"] | None,
        normalization_option(
            help="Statistics of VecNormalize for a model of --from that does not hold them, as for ddpg evaluate.",
        ),
    ] = None
    imports: Annotated[tuple[str, ...], IMPORT] = ()

    @property
    def all_overrides(self) -> tuple[str, ...]:
        """Hyper-parameters to change, as ``--set`` takes them."""
        preset = () if self.preset is None else (f"preset={self.preset}",)
        bounds = () if self.action_bounds is None else (f"action_bounds=[{self.action_bounds}]",)
        return (*preset, *self.overrides, *bounds)

    def settled(self, **changes: Any) -> "TrainRequest":
        """Copy this less what changes hyper-parameters, which stand in a configuration already.

        :param changes: values of other fields
        """
        return replace(self, overrides=(), preset=None, action_bounds=None, **changes)

    @property
    def look(self) -> FilmLook:
        """How the films look."""
        return FilmLook(fps=self.fps, overlay=self.overlay)


@dataclass(frozen=True, kw_only=True)
class ResumeRequest:
    """What ``ddpg resume`` was asked for. Each field's help says what it is; None leaves it as it was."""

    run: Annotated[Path, typer.Argument(metavar="RUN", parser=partial(read_path, "RUN"), help="A run folder.")]
    steps: Annotated[
        int | None, typer.Option(min=1, help="Environment steps of the whole run, to go on further than it was to.")
    ] = None
    device: Annotated[str | None, typer.Option(help="Torch device; default: the run's.")] = None
    threads: Annotated[int | None, typer.Option(min=1, help="Torch's threads; default: the run's.")] = None
    vec_env: Annotated[
        VecEnvKind | None,
        typer.Option(
            parser=read_vec_env,
            metavar="dummy|subproc",
            help="Environments in turn in one process, or each in a process of its own; default: as the run's.",
        ),
    ] = None
    imports: Annotated[tuple[str, ...], IMPORT] = ()
