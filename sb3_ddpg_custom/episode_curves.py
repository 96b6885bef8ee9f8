"""The notes' two curves, one point per episode: the episode's reward, and "qmax"."""

import logging
import math
from typing import Any

import numpy as np
from numpy.typing import NDArray
from stable_baselines3.common.logger import Logger, TensorBoardOutputFormat
from stable_baselines3.common.vec_env import VecEnv

_log = logging.getLogger(__name__)


class EpisodeCurves:
    """Averages Q over each episode's updates and publishes it when the episode ends.

    "qmax" is the notes' name: the mean, over an episode's updates, of the batch's mean predicted Q. It goes to
    TensorBoard beside the episode's reward, and to every env that has a method ``annotate_episode`` (a
    ``StatsMonitor`` does).

    :param env: the envs whose episodes run side by side
    """

    def __init__(self, env: VecEnv) -> None:
        self.env = env
        self._annotates = _has_annotate_episode(env)
        # Running sums over all updates: an episode's mean is the difference between its end and its start.
        self._q_sum, self._updates = 0.0, 0
        self._starts = [(0.0, 0)] * env.num_envs

    def add_updates(self, q_sum: float, updates: int) -> None:
        """Take notice of gradient updates.

        :param q_sum: sum over these updates of the batch's mean predicted Q
        :param updates: how many
        """
        self._q_sum += q_sum
        self._updates += updates

    def finish(self, index: int) -> float:
        """End an env's episode and begin its next.

        :param index: number of the env
        :return: qmax; NaN if nothing was updated during the episode
        """
        q_sum, updates = self._starts[index]
        self._starts[index] = self._q_sum, self._updates
        updates = self._updates - updates
        return (self._q_sum - q_sum) / updates if updates else math.nan

    def state(self) -> dict[str, Any]:
        """Copy the sums, for :meth:`restore`."""
        return {"q_sum": self._q_sum, "updates": self._updates, "starts": list(self._starts)}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from earlier sums.

        :param state: which :meth:`state` gave, for as many envs
        """
        self._q_sum, self._updates, self._starts = state["q_sum"], state["updates"], list(state["starts"])

    def publish(self, dones: NDArray[np.bool_], infos: list[dict[str, Any]], logger: Logger, episode: int) -> None:
        """Report the episodes that just ended.

        :param dones: which envs' episodes ended, (n_envs,)
        :param infos: SB3's infos; ``infos[i]["episode"]["r"]`` is the reward that ``Monitor`` counted
        :param logger: whose TensorBoard outputs get the points
        :param episode: number of episodes that ended before
        """
        writers = [output.writer for output in logger.output_formats if isinstance(output, TensorBoardOutputFormat)]
        ended = np.flatnonzero(dones).tolist()
        qmaxes = [self.finish(index) for index in ended]
        if self._annotates:
            self._annotate(ended, qmaxes)
        for index, qmax in zip(ended, qmaxes, strict=True):
            for writer in writers:
                if "episode" in infos[index]:
                    writer.add_scalar("episode/reward", infos[index]["episode"]["r"], episode)
                if not math.isnan(qmax):
                    writer.add_scalar("episode/qmax", qmax, episode)
            episode += 1

    def _annotate(self, indices: list[int], qmaxes: list[float]) -> None:
        """Tell envs their episodes' qmax: those that began together in one call, as one waits for every subprocess."""
        envs_of: dict[float, list[int]] = {}
        for index, qmax in zip(indices, qmaxes, strict=True):
            envs_of.setdefault(qmax, []).append(index)
        for qmax, envs in envs_of.items():
            try:
                self.env.env_method("annotate_episode", indices=envs, qmax=qmax)
            except (NotImplementedError, AttributeError, TypeError, RuntimeError) as error:
                # Adapters of vectorised simulators may have every attribute, by its name, and none to call.
                _log.info("the envs are not told of their episodes' qmax (%s)", error)
                self._annotates = False
                return


def _has_annotate_episode(env: VecEnv) -> bool:
    try:
        return bool(env.has_attr("annotate_episode"))
    except Exception:
        # Vectorised simulators often have no single envs to ask.
        return False
