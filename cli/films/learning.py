"""The film of a run's learning: one start state, played by the policy as it was at moments of the training."""

import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console

from sb3_ddpg_custom.checkpoint import Checkpoint, build_policy
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.evaluation.episodes import Predictor
from sb3_ddpg_custom.cli.evaluation.evaluate import evaluate
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
from sb3_ddpg_custom.cli.evaluation.players import policy_of
from sb3_ddpg_custom.cli.films.options import FilmRequest
from sb3_ddpg_custom.cli.films.side_by_side import side_by_side
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.watching.panel import figure


def film_learning(request: FilmRequest, console: Console) -> Path:
    """Play, film and put together.

    :param request: what to do
    :param console: for progress
    :return: the film
    :raises UsageError: if the run has no checkpoints, or cannot be drawn
    """
    out = request.out or request.run / "videos" / "learning.mp4"
    chosen = _checkpoints(request.run, request.at)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".film-", dir=out.parent) as scratch:
            films, captions = [], []
            for number, (percent, step, path) in enumerate(chosen):
                folder = Path(scratch) / str(number)
                played = evaluate(
                    EvaluateRequest(
                        checkpoint=path,
                        episodes=1,
                        seed=request.seed,
                        video=folder,
                        fps=request.fps,
                        overlay=request.overlay,
                        max_steps=request.max_steps,
                        imports=request.imports,
                    ),
                    console,
                    choose=policy_of if percent else _untrained,
                )
                films.append(next(folder.glob("*.mp4")))
                captions.append(f"{f'step {step:,}' if percent else 'untrained'}: {figure(played.mean_return)}")
                console.print(captions[-1])
            side_by_side(films, captions, out)
    except OSError as error:
        raise UsageError(f"--out {shown(out)} cannot be written ({error.strerror or error})") from error
    return out


def _checkpoints(run: Path, percents: tuple[float, ...]) -> list[tuple[float, int, Path]]:
    steps = {
        int(path.stem.removeprefix("step_")): path
        for path in (run / "checkpoints").glob("step_*.zip")
        if path.stem.removeprefix("step_").isdecimal()
    }
    if not steps:
        raise UsageError(f"{shown(run)} has no checkpoints; name a run folder of ddpg train")
    last = max(steps)
    chosen = [(percent, min(steps, key=lambda step: abs(step - percent / 100 * last))) for percent in percents]
    return [(percent, step, steps[step]) for percent, step in chosen]


def _untrained(request: EvaluateRequest, checkpoint: Checkpoint, envs: Any) -> Predictor:
    """Give a policy like the checkpoint's whose weights are as they begin."""
    import torch as th

    spaces = envs.observation_space, envs.action_space
    policy = build_policy(checkpoint, *spaces, with_critic=request.overlay)
    th.manual_seed(0)
    for module in (*policy.actor.modules(), *policy.critic.modules()):
        reset: Any = getattr(module, "reset_parameters", None)
        if callable(reset):
            reset()
    return policy
