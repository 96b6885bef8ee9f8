"""The hub's own library, and its errors in sentences."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sb3_ddpg_custom.cli.errors import RunError, UsageError, one_line


def hub() -> Any:
    """Import it.

    :raises UsageError: with the command that installs it
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants  # which it does not import by itself
        import huggingface_hub.errors
    except ImportError as error:
        raise UsageError(
            f'the hub needs the package huggingface_hub ({one_line(error)}): pip install "sb3-ddpg-custom[hub]"'
        ) from error
    return huggingface_hub


@contextmanager
def told(library: Any, repo: str) -> Iterator[None]:
    """Turn what goes wrong with the hub into sentences.

    :param library: from :func:`hub`
    :param repo: that it is about
    :raises UsageError: if the user can mend it
    :raises RunError: if the hub cannot be reached
    """
    errors = library.errors
    try:
        yield
    except (errors.OfflineModeIsEnabled, errors.LocalEntryNotFoundError) as error:
        if library.constants.HF_HUB_OFFLINE:
            raise UsageError(f"HF_HUB_OFFLINE is set, and {repo} is not among what was got before; unset it") from error
        raise RunError(f"the hub cannot be reached, and {repo} is not among what was got before") from error
    except errors.RevisionNotFoundError as error:
        raise UsageError(f"{repo} has no such revision; leave out --revision") from error
    except errors.RepositoryNotFoundError as error:
        raise UsageError(
            f"{repo} is not there, or not for you; log in with `hf auth login`, or set HF_TOKEN"
        ) from error
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", None)
        if status in (401, 403):
            raise UsageError(
                f"the hub lets nobody unknown at {repo}; log in with `hf auth login`, or set HF_TOKEN"
            ) from error
        raise RunError(f"the hub refused ({one_line(error)[:200]})") from error
    except ValueError as error:
        raise UsageError(f"{repo} cannot be taken as it is ({one_line(error)[:200]})") from error
    except (OSError, RuntimeError) as error:
        raise RunError(f"the hub cannot be reached ({one_line(error)[:200]})") from error
    except Exception as error:
        if type(error).__module__.partition(".")[0] in ("httpx", "httpx2", "httpcore", "requests"):
            raise RunError(f"the hub cannot be reached ({one_line(error)[:200]})") from error
        raise
