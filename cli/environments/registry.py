"""From a registered id to one env as its maker made it, or one sentence that says why not."""

import importlib
import sys
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import gymnasium as gym
from gymnasium import error as gym_error

from sb3_ddpg_custom.cli.blame import exits_are_errors, kind_and_reason, reason
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.errors import UsageError, one_line
from sb3_ddpg_custom.wrappers import ContractGuard, rendering_advice

# Gymnasium's own families: which extra of ours brings what they need.
_EXTRAS = {"gymnasium.envs.mujoco": "mujoco", "gymnasium.envs.box2d": "box2d"}


def import_modules(names: Sequence[str]) -> None:
    """Import modules for what they register with Gymnasium.

    :param names: values of ``--import``: ``module``, or ``module:function`` for a function that registers
    :raises UsageError: if one cannot be imported, or its function fails
    """
    for name in names:
        module, colon, function = name.partition(":")
        shown = name if name.strip() else repr(name)
        try:
            with _modules_of_the_current_folder(), exits_are_errors():
                found = importlib.import_module(module)
                register = getattr(found, function, None) if colon else None
                if colon and not callable(register):
                    raise UsageError(f"--import {shown}: {module} has no function {function!r}; name one that it has")
                if callable(register):
                    register()
        except UsageError:
            raise
        except Exception as error:  # a module may raise anything while it is imported
            problem = one_line(error) if isinstance(error, ImportError) else kind_and_reason(error)
            raise UsageError(f"--import {shown}: {problem}; name a module that Python finds here") from error


@contextmanager
def _modules_of_the_current_folder() -> Iterator[None]:
    """Find modules in the current folder too, behind all others: what the user names, not what a file names."""
    before = list(sys.path)
    sys.path.append(str(Path.cwd()))
    try:
        yield
    finally:
        sys.path[:] = before


def registered_ids() -> Collection[str]:
    """List the ids that Gymnasium knows now."""
    return gym.registry.keys()


def needed_extra(env_id: str) -> str | None:
    """Name the extra of this package that an env of Gymnasium's own needs, or None."""
    spec = gym.registry.get(env_id)
    entry_point = str(spec.entry_point) if spec is not None else ""
    return next((extra for family, extra in _EXTRAS.items() if entry_point.startswith(family)), None)


def make_env(env_id: str, settings: Settings, render_mode: str | None = None) -> gym.Env[Any, Any]:
    """Make one env as it comes from its maker, with a guard that tells how it breaks Gymnasium's contract.

    :param env_id: registered id
    :param settings: for ``env_kwargs``
    :param render_mode: Gymnasium's
    :raises UsageError: if the env is unknown, lacks a package or refuses its arguments
    """
    # Envs without a renderer need not take the argument.
    rendering = {} if render_mode is None else {"render_mode": render_mode}
    given = f" with env_kwargs {dict(settings.env_kwargs)}" if settings.env_kwargs else ""
    try:
        with exits_are_errors():
            return ContractGuard.inside(gym.make(env_id, **{**settings.env_kwargs, **rendering}))
    except (gym_error.DependencyNotInstalled, ImportError) as error:
        extra = needed_extra(env_id)
        remedy = f'pip install "sb3-ddpg-custom[{extra}]"' if extra else "install the package that it needs"
        raise UsageError(f"{env_id} needs a package that is missing ({one_line(error)}); {remedy}") from error
    except gym_error.UnregisteredEnv as error:
        raise UsageError(
            f"{env_id} is not registered ({one_line(error)}); if a module registers it, add --import MODULE"
        ) from error
    except Exception as error:  # an env may raise anything while it is made
        if isinstance(error, TypeError) and given:
            raise UsageError(f"{env_id} refuses its env_kwargs {dict(settings.env_kwargs)}: {reason(error)}") from error
        remedy = rendering_advice(error) or ("correct them, or the env" if given else "correct the env")
        raise UsageError(f"{env_id} cannot be made{given} ({kind_and_reason(error)}); {remedy}") from error


@contextmanager
def closed_quietly(env: gym.Env[Any, Any]) -> Iterator[None]:
    """Close an env that was made only to look at it; what goes wrong then says nothing about a training.

    :param env: an env, which may never have been reset
    """
    try:
        yield
    finally:
        with suppress(Exception), exits_are_errors():
            env.close()
