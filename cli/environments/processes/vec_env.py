"""SB3's ``SubprocVecEnv`` with the results, the files and the sentences of a ``DummyVecEnv``."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from multiprocessing import util
from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import SubprocVecEnv, VecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvIndices, VecEnvObs, VecEnvStepReturn

from sb3_ddpg_custom.cli.blame import ToldError
from sb3_ddpg_custom.cli.environments.advice import FirstSteps
from sb3_ddpg_custom.cli.environments.processes.remote import RemoteEnv
from sb3_ddpg_custom.wrappers import EpisodeRecorder, RenderError

_SECONDS_TO_CLOSE = 30.0
_SECONDS_WHEN_INTERRUPTED = 2.0  # by an impatient user, in the midst of a step
_BEFORE_JOINING = 10  # multiprocessing's own priority for what it waits for is lower


class ProcessVecEnv(SubprocVecEnv):
    """Envs in processes of their own, which give the same bits as a ``DummyVecEnv`` of the same envs.

    One file has the statistics of all of them, written in this process. What an env raises is raised here; a process
    that died is a :class:`~sb3_ddpg_custom.cli.errors.RunError`.

    :param packed: an order for each env, pickled
    :param recorder: writes the statistics; closed with the envs
    :param on_render_error: called once if a film cannot go on
    :param first_steps: times the first steps
    """

    def __init__(
        self,
        packed: Sequence[bytes],
        recorder: EpisodeRecorder,
        *,
        on_render_error: Callable[[RenderError], None],
        first_steps: FirstSteps,
    ) -> None:
        self.waiting = False
        self.closed = False
        self._recorder = recorder
        self._on_render_error = on_render_error
        self._first_steps: FirstSteps | None = first_steps
        self._began = 0.0
        self._envs: list[RemoteEnv] = []
        # Where an exception passes by close(): Python would wait at its end for processes that wait for it.
        self._end_at_exit = util.Finalize(self, _end, args=(self._envs,), exitpriority=_BEFORE_JOINING)
        try:
            for rank, order in enumerate(packed):
                self._envs.append(RemoteEnv(rank, order))
            for env in self._envs:
                env.recv()
            self.remotes = tuple(self._envs)  # SB3's methods send and receive
            self._envs[0].send(("get_spaces", None))
            # Not SubprocVecEnv's, which starts processes of its own.
            VecEnv.__init__(self, len(packed), *self._envs[0].recv())
            self.metadata = self.get_attr("metadata", 0)[0]
        except BaseException:
            with suppress(Exception):  # the first error is the one to tell
                self.close()
            raise

    def step_async(self, actions: np.ndarray[Any, Any]) -> None:
        """Have all envs take a step."""
        self._began = time.perf_counter()
        super().step_async(actions)

    def step_wait(self) -> VecEnvStepReturn:
        """Wait for all envs.

        :raises ToldError: what went wrong in one of them, and its kin in ``failures``
        """
        try:
            observations, rewards, dones, infos = super().step_wait()
        finally:  # the episodes of envs before one that failed have ended all the same
            self._recorder.stepped([env.last.finished for env in self._envs])
            self._tell_undrawn()
        if self._first_steps is not None:
            self._time_step(self._first_steps)
        # As a DummyVecEnv gives them: what VecNormalize adds up depends on it.
        return observations, rewards.astype(np.float32), dones, list(infos)

    def reset(self) -> VecEnvObs:
        """Begin an episode in each env."""
        observations = super().reset()
        self._tell_undrawn()
        return observations

    def env_method(
        self, method_name: str, *method_args: Any, indices: VecEnvIndices = None, **method_kwargs: Any
    ) -> list[Any]:
        """Call a method of envs; what is about the file of statistics is done here."""
        if method_name == "annotate_episode":
            return [self._recorder.annotate(env, **method_kwargs) for env in self._get_indices(indices)]
        answers = super().env_method(method_name, *method_args, indices=indices, **method_kwargs)
        self._tell_undrawn()  # an episode that is played again is filmed again
        if method_name == "episode_so_far":
            for episode in answers:
                episode["records"] |= {"StatsMonitor": self._recorder.record_state()}
        elif method_name == "replay_episode":
            self._recorder.restore_record(method_args[0]["records"]["StatsMonitor"])
        return answers

    def close(self) -> None:
        """Close all envs and the file of statistics, and end their processes.

        :raises ToldError: what went wrong in an env's ``close``
        """
        if self.closed:
            return
        self.closed = True
        is_interrupted = any(env.is_interrupted for env in self._envs)
        deadline = time.monotonic() + (_SECONDS_WHEN_INTERRUPTED if is_interrupted else _SECONDS_TO_CLOSE)
        try:
            for env in self._envs:
                env.ask_to_close()
            problems = [env.wait_until_closed(deadline) for env in self._envs]
        finally:
            self._end_at_exit()
            self._recorder.close()
        for problem in problems:
            if problem is not None:
                raise problem

    def _time_step(self, first_steps: FirstSteps) -> None:
        seconds = time.perf_counter() - self._began
        took = [env.last.took for env in self._envs]
        if any(one.is_filmed for one in took):
            return
        if first_steps.add(seconds, sum(one.seconds for one in took), sum(one.cpu_seconds for one in took)):
            self._first_steps = None

    def _tell_undrawn(self) -> None:
        for env in self._envs:
            while env.undrawn:
                told = env.undrawn.pop(0)
                error = RenderError(told)
                error.__cause__ = ToldError(told)
                self._on_render_error(error)


def _end(envs: list[RemoteEnv]) -> None:
    for env in envs:
        env.end()
