"""Put a run on the hub, as a plain function: ``ddpg push`` without the command line."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console

from sb3_ddpg_custom.checkpoint import CheckpointError, read_checkpoint
from sb3_ddpg_custom.checkpoint.description import versions
from sb3_ddpg_custom.cli.config.resolve import RUN_KEY
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.evaluation.evaluate import EvaluateResult, evaluate
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
from sb3_ddpg_custom.cli.evaluation.what_to_play import config_of
from sb3_ddpg_custom.cli.export.export import export
from sb3_ddpg_custom.cli.export.options import ExportRequest
from sb3_ddpg_custom.cli.hub.library import hub, told
from sb3_ddpg_custom.cli.hub.options import PushRequest
from sb3_ddpg_custom.cli.paths import shown_in, tied_to_start
from sb3_ddpg_custom.cli.run_folder import find_checkpoint

_CARD, _POLICY, _CURVE, _FILM = "README.md", "policy.npz", "curve.png", "replay.mp4"


@dataclass(frozen=True)
class Pushed:
    """What was, or would be, uploaded.

    :param repo: where to
    :param files: names and sizes in bytes
    :param url: of the commit; None where nothing was sent
    """

    repo: str
    files: dict[str, int]
    url: str | None


def push(request: PushRequest, console: Console) -> Pushed:
    """Evaluate a run's best policy, write its model card, show what there is to upload, and upload it if told to.

    :param request: what to do
    :param console: for progress, and the list of files
    :raises UsageError: if the run does not serve, or the hub refuses
    :raises RunError: if the hub cannot be reached
    """
    request = tied_to_start(request)
    library = hub()
    path = find_checkpoint(request.run, "RUN")
    with _gathered(request, path, console) as (folder, env_id):
        files = {file.name: file.stat().st_size for file in sorted(folder.iterdir())}
        console.print(f"for {request.repo}, trained on {env_id}:", soft_wrap=True)
        for name, size in files.items():
            console.print(f"  {name}  {size:,} bytes", soft_wrap=True)
        if not request.yes:
            return Pushed(request.repo, files, None)
        api = library.HfApi()
        with told(library, request.repo):
            api.create_repo(request.repo, private=request.private, exist_ok=True)
            commit = api.upload_folder(
                repo_id=request.repo, folder_path=folder, commit_message=f"A policy for {env_id}"
            )
    return Pushed(request.repo, files, str(commit.commit_url))


@contextmanager
def _gathered(request: PushRequest, path: Path, console: Console) -> Iterator[tuple[Path, str]]:
    """Collect what is uploaded in a folder of its own."""
    common: dict[str, Any] = {"imports": request.imports}
    try:
        checkpoint = read_checkpoint(path)
    except CheckpointError as error:
        raise UsageError(f"RUN: {shown_in(error, path)}") from error
    result = evaluate(EvaluateRequest(checkpoint=path, episodes=request.episodes, **common), console)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        wanted = ExportRequest(run=path, out=folder / _POLICY, license=request.license, **common)
        export(wanted, console)
        try:
            export(replace(wanted, out=folder / "policy.onnx", kind="onnx"), console)
        except UsageError as error:
            if not isinstance(error.__cause__, ImportError):
                raise
        shutil.copyfile(path, folder / f"ddpg-{result.env_id.replace('/', '-').replace(':', '-')}.zip")
        run = request.run if request.run.is_dir() else path.parent
        for source, name in (
            *((run / one, one) for one in ("config.yml", "evaluations.npz", _CURVE)),
            (run / "videos" / "trained-000000.mp4", _FILM),
        ):
            if source.is_file():
                shutil.copyfile(source, folder / name)
        figures = {**asdict(result), "checkpoint": path.name}
        (folder / "results.json").write_text(json.dumps(figures, indent=1))
        steps = checkpoint.attributes.get("num_timesteps")
        facts = (config_of(checkpoint) or {}).get(RUN_KEY)
        seed = facts.get("seed") if isinstance(facts, dict) else None
        (folder / _CARD).write_text(_card(request, result, steps, seed, folder), "utf-8")
        yield folder, result.env_id


def _card(request: PushRequest, result: EvaluateResult, steps: Any, seed: Any, folder: Path) -> str:
    """Write the model card: the hub's metadata, and a page."""
    from jinja2 import Environment, PackageLoader, StrictUndefined

    library = hub()
    data = library.ModelCardData(
        library_name="stable-baselines3",
        tags=["deep-reinforcement-learning", "reinforcement-learning", "stable-baselines3", "DDPG", result.env_id],
        license=request.license,
        model_name="DDPG",
        eval_results=[
            library.EvalResult(
                task_type="reinforcement-learning",
                task_name="reinforcement-learning",
                dataset_type=result.env_id,
                dataset_name=result.env_id,
                metric_type="mean_reward",
                metric_value=f"{result.mean_return:.2f} +/- {result.std_return:.2f}",
            )
        ],
    )
    template = Environment(
        loader=PackageLoader("sb3_ddpg_custom.cli.hub", "."),
        undefined=StrictUndefined,
        trim_blocks=True,
        autoescape=False,  # noqa: S701  # Markdown of one's own run
    ).get_template("card.md.j2")
    page = template.render(
        env_id=result.env_id,
        result=result,
        steps=steps if isinstance(steps, int) else None,
        seed=seed if isinstance(seed, int) else None,
        versions=versions(),
        repo=request.repo,
        policy=_POLICY,
        curve=_CURVE if (folder / _CURVE).is_file() else None,
        film=_FILM if (folder / _FILM).is_file() else None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n{page}"
