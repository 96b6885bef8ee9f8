"""How a training fails: one sentence, what is good is saved, and nothing half-made stays."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sb3_ddpg_custom.checkpoint import save_checkpoint
from sb3_ddpg_custom.cli.blame import exits_are_errors, reason
from sb3_ddpg_custom.cli.errors import RunError, UsageError
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.cli.training.callbacks import checkpoint_path
from sb3_ddpg_custom.wrappers import RenderError

if TYPE_CHECKING:
    from sb3_ddpg_custom.ddpg import DDPG


class Unused:
    """A run folder whose training has not begun while there is no model that has stepped."""

    model: "DDPG | None" = None


@contextmanager
def removed_if_unused(folder: Path, *, is_new: bool) -> Iterator[Unused]:
    """Remove a half-made run folder after an error before the first env step; never one that holds a model.

    :param folder: the run's
    :param is_new: whether this process has made it
    """
    unused = Unused()
    try:
        yield unused
    except BaseException:
        if not is_new:
            raise
        stepped = unused.model is not None and unused.model.num_timesteps > 0
        if not stepped and not any(folder.rglob("*.zip")):
            shutil.rmtree(folder, ignore_errors=True)
        raise


@contextmanager
def mistakes_are_sentences(env_id: str, folder: Path) -> Iterator[None]:
    """Blame the settings for what goes wrong while envs, model and callbacks are made."""
    try:
        with exits_are_errors():
            yield
    except (UsageError, RunError):
        raise
    except OSError as error:
        raise RunError(f"{env_id} cannot be trained in {shown(folder)}: {reason(error)}") from error
    except Exception as error:  # anybody's env, wrapper, policy or callback
        raise UsageError(f"{env_id} cannot be trained with these settings: {reason(error)}") from error


def closing(close: Callable[[], None], note: Callable[[str], None]) -> Callable[..., None]:
    """Close something at the end; what goes wrong then must not hide what went wrong before."""

    def leave(kind: type[BaseException] | None, *_: object) -> None:
        try:
            with exits_are_errors():
                close()
        except Exception as error:  # an env may raise anything while it is closed
            if kind is None and isinstance(error, OSError):
                what = f"the training is over, but not all of it could be written: {reason(error)}"
                raise RunError(what) from error
            if kind is None:
                note(f"the training is over and saved, but the environment could not be closed: {reason(error)}")

    return leave


def failure(model: "DDPG", folder: Path, config: str, error: Exception) -> str:
    """Save what is still good, and say it in one sentence."""
    why = reason(error)
    if model.num_timesteps == 0:
        return f"training failed at its first step: {why}"
    message = f"training stopped at step {model.num_timesteps}: {why}"
    if not all(bool(parameter.isfinite().all()) for parameter in model.policy.parameters()):
        return f"{message}; the weights are no numbers any more, so see best.zip and checkpoints/ in {shown(folder)}"
    path = checkpoint_path(folder, model.num_timesteps)
    try:
        save_checkpoint(model, path, config=config)
    except Exception as second:  # whatever it is, the first error is what the user has to know
        return f"{message}; {shown(path)} cannot be written ({reason(second)}); {what_is_left(folder)}"
    return f"{message}; the model as it was is in {shown(path)}"


def drawing_failed(error: RenderError) -> str:
    """Say why an env could not be drawn."""
    cause = error.__cause__ or error
    return f"drawing failed ({reason(cause)})"


def what_is_left(folder: Path) -> str:
    """Name the model that an earlier step has saved."""
    candidates = [folder / "best.zip", *sorted((folder / "checkpoints").glob("*.zip"), reverse=True)]
    left = next((path for path in candidates if path.is_file()), None)
    return "no model was saved" if left is None else f"an earlier model is in {shown(left)}"
