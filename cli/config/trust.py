"""Which names in a file are looked up without the user's word: those whose classes change what a policy sees."""

from collections.abc import Sequence

from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError

_HARMLESS = ("gymnasium.wrappers.", "rl_zoo3.wrappers.", "sb3_contrib.common.wrappers.")
_WRITES_FILES = ("RecordVideo",)
# SB3's and ours also hold policies and buffers; callbacks may write anywhere, and go by the user's word.
_OF_A_TRAINING = (*_HARMLESS, "stable_baselines3.", "sb3_ddpg_custom.")


def wrappers_of(settings: Settings) -> list[str]:
    """Name the classes that making an env imports."""
    return [spec.name for spec in (*settings.env_wrapper, *settings.vec_env_wrapper)]


def modules_of(env_id: str) -> list[str]:
    """Name what making an env imports: "module:Env-v0" does, and Gymnasium's bridges import what arguments say."""
    return [env_id.replace(":", ".")] if ":" in env_id or env_id.startswith(("GymV21", "GymV26")) else []


def check_trusted(names: Sequence[str], imports: Sequence[str], source: object, *, trains: bool = False) -> None:
    """Refuse to import a module only because a file names it.

    :param names: of classes, as the file has them
    :param imports: values of ``--import``: the user's word
    :param source: what to call the file
    :param trains: policies and replay buffers of SB3's and ours are needed, too
    :raises UsageError: if a module is neither harmless nor named by the user
    """
    harmless = _OF_A_TRAINING if trains else _HARMLESS
    for name in names:
        named = any(name.startswith(f"{module.partition(':')[0]}.") for module in imports)
        if not named and not (name.startswith(harmless) and not name.endswith(_WRITES_FILES)):
            module = name.rpartition(".")[0] or name
            raise UsageError(
                f"{source} wants to import {module}, which could run anything; if you trust it, add --import {module}"
            )


def check_trusted_to_train(env_id: str, settings: Settings, imports: Sequence[str], source: object) -> None:
    """Refuse a configuration out of a file that nobody vouches for, where training with it could run anything.

    :param env_id: the file's
    :param settings: the file's
    :param imports: values of ``--import``
    :param source: what to call the file
    :raises UsageError: as :func:`check_trusted`
    """
    names = [*wrappers_of(settings), *modules_of(env_id)]
    names += [str(name) for name in (settings.policy, settings.replay_buffer_class) if "." in str(name)]
    check_trusted(names, imports, source, trains=True)
    # A callback of SB3's may write wherever its arguments say.
    check_trusted([spec.name for spec in settings.callback], imports, source)
