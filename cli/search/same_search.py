"""What makes a search the one it is: trials of another environment, setting or space have no place in it."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from sb3_ddpg_custom.cli.config.resolve import Resolved, to_yaml
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml
from sb3_ddpg_custom.cli.errors import UsageError, received
from sb3_ddpg_custom.cli.search.options import TuneRequest
from sb3_ddpg_custom.cli.search.space import Space

if TYPE_CHECKING:
    import optuna

_ATTRIBUTE = "asked for"


def check_same_search(study: "optuna.Study", request: TuneRequest, base: Resolved, space: Space) -> None:
    """Note what a search is asked for, or refuse to go on with another one under its name.

    :param study: Optuna's
    :param request: what was asked for now
    :param base: the settings that do not vary
    :param space: what varies
    :raises UsageError: naming the first thing that differs
    """
    asked = _asked(request, base, space)
    noted = study.user_attrs.get(_ATTRIBUTE)
    if not isinstance(noted, Mapping):  # a new search, or one of an older release
        study.set_user_attr(_ATTRIBUTE, asked)
        return
    for name in [*asked, *(name for name in noted if name not in asked)]:
        if noted.get(name) != asked.get(name):
            raise UsageError(
                f"the search {request.name!r} has {name} {_word(noted.get(name))}, and now it is asked for "
                f"{_word(asked.get(name))}: choose another --name"
            )


def _asked(request: TuneRequest, base: Resolved, space: Space) -> dict[str, Any]:
    """Give what trials depend on, as plain data: what a storage gives back compares equal."""
    asked: dict[str, Any] = {
        "environment": base.env_id,
        "--seeds-per-trial": request.seeds_per_trial,
        "--eval-episodes": request.eval_episodes,
        **{f"the range of {name}": asdict(part) for name, part in space.items()},
        **parse_yaml(to_yaml(base), "settings")[base.env_id],
    }
    plain: dict[str, Any] = json.loads(json.dumps(asked, default=str))
    return plain


def _word(value: Any) -> str:
    return "nothing" if value is None else received(value)
