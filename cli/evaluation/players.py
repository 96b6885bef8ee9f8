"""Who plays: a checkpoint's policy, or one that was exported."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from gymnasium import spaces
from rich.console import Console
from stable_baselines3.common.vec_env import VecEnv

from sb3_ddpg_custom.checkpoint import Checkpoint, CheckpointError, build_policy, read_checkpoint
from sb3_ddpg_custom.cli.blame import reason
from sb3_ddpg_custom.cli.environments.raw import Raw
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.evaluation.episodes import Predictor
from sb3_ddpg_custom.cli.evaluation.options import EvaluateRequest
from sb3_ddpg_custom.cli.evaluation.what_to_play import config_of, normalize, with_normalization
from sb3_ddpg_custom.cli.paths import shown, shown_in
from sb3_ddpg_custom.cli.run_folder import find_checkpoint
from sb3_ddpg_custom.export.formats import ENDINGS
from sb3_ddpg_custom.export.player import Policy, PolicyFileError

Choose = Callable[[EvaluateRequest, Checkpoint, VecEnv], Predictor]


@dataclass(frozen=True, kw_only=True)
class Player:
    """Who plays.

    :param path: of the file
    :param flag: the option that named it
    :param config: of the training, as plain data; None where nothing is known
    :param normalize: puts the training's normalisation around the envs; None without one
    :param policy: gives what chooses actions in envs
    """

    path: Path
    flag: str
    config: Any
    normalize: Callable[[VecEnv], VecEnv] | None
    policy: Callable[[VecEnv], Predictor]


def player_of(request: EvaluateRequest, console: Console, choose: Choose | None) -> Player:
    """Read the file that plays.

    :param request: which names one
    :param console: for remarks
    :param choose: gives the policy of a checkpoint; None for its own
    :raises UsageError: if it names none or two, or the file does not serve
    """
    if request.policy is not None:
        if request.checkpoint is not None:
            raise UsageError("--checkpoint and --policy name two that play; leave one of them out")
        for flag, is_given in (("--normalization", request.normalization), ("--trust-pickle", request.trust_pickle)):
            if is_given:
                raise UsageError(f"{flag} is about checkpoints, and --policy names an exported file; leave it out")
        return _exported(request.policy)
    if request.checkpoint is None:
        raise UsageError("name a run folder or .zip with --checkpoint, or an exported .onnx or .npz with --policy")
    path = find_checkpoint(request.checkpoint)
    try:
        checkpoint = with_normalization(read_checkpoint(path), request.normalization, console)
    except CheckpointError as error:
        raise UsageError(f"--checkpoint: {shown_in(error, path)}") from error
    return Player(
        path=path,
        flag="--checkpoint",
        config=config_of(checkpoint),
        normalize=None if checkpoint.normalization is None else partial(normalize, checkpoint),
        policy=partial(choose or policy_of, request, checkpoint),
    )


def policy_of(request: EvaluateRequest, checkpoint: Checkpoint, envs: VecEnv) -> Predictor:
    """Give a checkpoint's policy.

    :param request: whether it may be unpickled
    :param checkpoint: as it was read
    :param envs: that it plays in
    """
    if not request.trust_pickle:
        spaces = envs.observation_space, envs.action_space
        return build_policy(checkpoint, *spaces, with_critic=request.overlay)
    from sb3_ddpg_custom.ddpg import DDPG

    try:
        return DDPG.load(checkpoint.path, env=envs, buffer_size=1)
    except Exception as error:  # whatever the pickle does
        raise CheckpointError(f"{checkpoint.path} cannot be unpickled: {reason(error)}") from error


def _exported(path: Path) -> Player:
    try:
        opened = _opened(path)
    except ImportError as error:
        raise UsageError(str(error)) from error
    except PolicyFileError as error:
        raise UsageError(f"--policy: {shown_in(error, path)}") from error
    return Player(
        path=path,
        flag="--policy",
        config=opened.metadata.get("environment"),
        normalize=None,
        policy=lambda envs: ExportedPlayer(opened, envs, path),
    )


def _opened(path: Path) -> Any:
    if path.suffix.lower() == ENDINGS["npz"]:
        return Policy(path)
    if path.suffix.lower() == ENDINGS["onnx"]:
        from sb3_ddpg_custom.export.onnx_policy import OnnxPolicy

        return OnnxPolicy(path)
    if path.suffix.lower() == ENDINGS["torchscript"]:
        raise UsageError(
            f"--policy {shown(path)} is TorchScript, which is a program of its author's; evaluate the .npz or .onnx"
        )
    raise UsageError(f"--policy {shown(path)} ends in neither .onnx nor .npz; ddpg export writes such")


class ExportedPlayer:
    """Plays an exported policy in SB3's envs.

    :param policy: of batches of raw observations
    :param envs: that it plays in
    :param path: of its file, for errors
    :raises UsageError: if it was trained on other observations or actions
    """

    def __init__(self, policy: Any, envs: VecEnv, path: Path) -> None:
        self._policy = policy
        self._raw = Raw(envs)
        space = self._raw.space
        given = (
            {name: one.shape for name, one in space.spaces.items()} if isinstance(space, spaces.Dict) else space.shape
        )
        needed: Any = dict(policy.shapes)
        if not isinstance(space, spaces.Dict) and len(needed) == 1:
            (needed,) = needed.values()
        if given != needed:
            raise UsageError(
                f"--policy {shown(path)} was trained on observations of shape {needed}, and this env has {given}: "
                "choose its own env with --env"
            )
        if policy.action_shape != envs.action_space.shape:
            raise UsageError(
                f"--policy {shown(path)} gives actions of shape {policy.action_shape}, and this env takes "
                f"{envs.action_space.shape}: choose its own env with --env"
            )

    def predict(self, observation: Any, *, deterministic: bool) -> tuple[Any, Any]:
        """Choose actions; see SB3's ``BasePolicy.predict``."""
        del deterministic  # it always is
        answer: tuple[Any, Any] = self._policy.predict(self._raw.of(observation))
        return answer
