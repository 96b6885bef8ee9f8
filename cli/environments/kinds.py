"""How the envs of a training step: in turn, or side by side."""

from typing import Literal

from sb3_ddpg_custom.cli.errors import UsageError, or_nothing

VecEnvKind = Literal["dummy", "subproc"]


def read_vec_env(text: str) -> VecEnvKind:
    """Read the value of ``--vec-env``.

    :param text: as it was written
    :raises UsageError: if it is another word
    """
    match text:
        case "dummy" | "subproc":
            return text
    raise UsageError(f"--vec-env {or_nothing(text)} is neither dummy nor subproc")
