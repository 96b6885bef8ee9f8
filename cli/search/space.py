"""The space of a search, as a YAML file: which hyper-parameters vary, and between what."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sb3_ddpg_custom.cli.config.plain import integer
from sb3_ddpg_custom.cli.config.settings import Settings, unknown_key
from sb3_ddpg_custom.cli.config.yaml_text import parse_yaml, read_text
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, received
from sb3_ddpg_custom.cli.paths import shown
from sb3_ddpg_custom.yaml_values import number

if TYPE_CHECKING:
    from optuna.trial import Trial

_KEYS = ("low", "high", "log", "choices")


@dataclass(frozen=True, kw_only=True)
class Range:
    """A number between two others, both included.

    :param low: the least
    :param high: the most
    :param log: search orders of magnitude alike
    """

    low: float
    high: float
    log: bool = False

    def suggest(self, name: str, trial: "Trial") -> Any:
        """Ask Optuna for a value.

        :param name: of the hyper-parameter
        :param trial: for which
        """
        if isinstance(self.low, int) and isinstance(self.high, int):
            return trial.suggest_int(name, self.low, self.high, log=self.log)
        return trial.suggest_float(name, self.low, self.high, log=self.log)

    def examples(self) -> list[float]:
        """Give values that stand for all: both ends, and between fractional ones another fraction."""
        ends = [self.low, self.high]
        is_whole = isinstance(self.low, int) and isinstance(self.high, int)
        return ends if is_whole else [*ends, self.low + (self.high - self.low) / math.pi]


@dataclass(frozen=True)
class Choice:
    """One of several values, of any kind.

    :param values: plain data
    """

    values: Sequence[Any]

    def suggest(self, name: str, trial: "Trial") -> Any:
        """Ask Optuna for a value.

        :param name: of the hyper-parameter
        :param trial: for which
        """
        # Optuna stores scalars; lists go by their text.
        texts = {one if _is_scalar(one) else json.dumps(one): one for one in self.values}
        return texts[trial.suggest_categorical(name, list(texts))]

    def examples(self) -> list[Any]:
        """Give all values."""
        return list(self.values)


Space = Mapping[str, Range | Choice]


def default_space_text() -> str:
    """Give the text of the space that is searched where nothing else is asked for."""
    return (resources.files("sb3_ddpg_custom.cli.search") / "default_space.yml").read_text("utf-8")


def read_space(path: Path | None) -> Space:
    """Read a space.

    :param path: a file; None reads the default
    :raises UsageError: one sentence about the first thing that is wrong
    """
    source = "default_space.yml" if path is None else str(shown(path))
    document = parse_yaml(default_space_text() if path is None else read_text(path), source)
    if not isinstance(document, dict) or not document:
        raise UsageError(
            f"`{source}` holds {received(document)}; a search space is such as tau: {{low: 0.001, high: 0.05}}"
        )
    return {str(key): _dimension(key, value, source) for key, value in document.items()}


def _dimension(key: object, value: object, source: str) -> Range | Choice:
    if str(key).partition(".")[0] not in Settings.model_fields:
        raise UsageError(f"`{source}`: {unknown_key(key)}")
    if not isinstance(value, Mapping):
        raise UsageError(f"`{source}`: {key} is {received(value)}; write {{low: …, high: …}} or {{choices: […]}}")
    for part in value:
        if part not in _KEYS:
            hint = did_you_mean(part, _KEYS) or f"; there are {', '.join(_KEYS)}"
            raise UsageError(f"`{source}`: unknown key {key}.{part}{hint}")
    if "choices" in value:
        choices = value["choices"]
        if not isinstance(choices, list) or not choices or len(value) > 1:
            raise UsageError(f"`{source}`: {key}.choices is {received(choices)}; write a list, and nothing beside it")
        return Choice(choices)
    low, high, log = value.get("low"), value.get("high"), value.get("log", False)
    low, high = _whole(low), _whole(high)
    if low is None or high is None or low >= high or not isinstance(log, bool) or (log and low <= 0):
        raise UsageError(
            f"`{source}`: {key} is {received(value)}; low and high are numbers, low below high, and above 0 with log"
        )
    if not (isinstance(low, int) and isinstance(high, int)):
        low, high = float(low), float(high)
    return Range(low=low, high=high, log=log)


def _whole(value: object) -> float | None:
    """Read a number; one that was written as whole stays so."""
    return integer(value) if isinstance(value, int) else number(value)


def _is_scalar(value: Any) -> bool:
    return value is None or isinstance(value, bool | int | float | str)
