"""What a training knows of itself while it goes, and what its doctor is sure of."""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.logger import KVWriter

from sb3_ddpg_custom.diagnosis.facts import Curve, Facts
from sb3_ddpg_custom.diagnosis.rules import Finding, findings

_MOST_EPISODES = 5_000
_MOST_POINTS = 3_000
# A finding that comes and goes is none: it is said once it was there so often in a row.
_SURE = 5
_CHECKS = 50


class LiveFacts(KVWriter):
    """Collects what the rules need from what is logged, and applies them some fifty times in a training.

    :param settings: hyper-parameters
    :param total_steps: length of the training, env steps
    """

    def __init__(self, settings: Mapping[str, Any], total_steps: int) -> None:
        self._settings = settings
        self._every = max(total_steps // _CHECKS, 1)
        self._next_check = self._every
        self._points: dict[str, deque[tuple[int, float]]] = {}
        self._evaluations: list[tuple[int, NDArray[Any]]] = []
        self._episodes: deque[tuple[int, float, int]] = deque(maxlen=_MOST_EPISODES)
        self._seen: Counter[str] = Counter()
        self._sure: Finding | None = None

    def write(self, key_values: dict[str, Any], key_excluded: dict[str, Any], step: int = 0) -> None:  # noqa: ARG002
        """Take what is logged; see SB3's ``KVWriter``."""
        for tag, value in key_values.items():
            if tag.startswith("diagnosis/") or tag == "train/q_mean":
                self._points.setdefault(tag, deque(maxlen=_MOST_POINTS)).append((step, float(value)))

    def close(self) -> None:
        """Close nothing."""

    def add_episode(self, step: int, total: float, length: int) -> None:
        """Take a training episode.

        :param step: at which it ended
        :param total: its return
        :param length: env steps
        """
        self._episodes.append((step, total, length))

    def add_evaluation(self, step: int, returns: NDArray[Any]) -> None:
        """Take an evaluation.

        :param step: of the training
        :param returns: of its episodes
        """
        self._evaluations.append((step, np.asarray(returns, np.float64)))

    def latest(self, tag: str) -> float | None:
        """Give a curve's last value; None without one.

        :param tag: TensorBoard's
        """
        points = self._points.get(tag)
        return points[-1][1] if points else None

    def sure_of(self, step: int) -> Finding | None:
        """Apply the rules, if it is time; give the gravest finding that stays.

        :param step: env steps made
        """
        if step >= self._next_check:
            self._next_check = step + self._every
            found = findings(self._facts(step))
            self._seen = Counter({one.rule: self._seen[one.rule] + 1 for one in found})
            self._sure = next((one for one in found if self._seen[one.rule] >= _SURE), None)
        return self._sure

    def _facts(self, step: int) -> Facts:
        ends, returns, lengths = _columns(list(self._episodes), 3)
        curves = {}
        for tag, points in self._points.items():
            steps, values = _columns(list(points), 2)
            curves[tag] = Curve(steps.astype(np.int64), values)
        return Facts(
            settings=self._settings,
            steps=step,
            curves=curves,
            evaluations=np.array([at for at, _ in self._evaluations], np.int64),
            evaluation_returns=np.array([own for _, own in self._evaluations])
            if self._evaluations
            else np.empty((0, 0)),
            episode_steps=ends.astype(np.int64),
            episode_returns=returns,
            episode_lengths=lengths.astype(np.int64),
        )


def _columns(rows: Sequence[tuple[float, ...]], number: int) -> NDArray[np.float64]:
    return np.array(rows, np.float64).reshape(-1, number).T
