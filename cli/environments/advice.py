"""Whether envs should step in one process or in several, found out from a training's first steps."""

import os
import statistics
import time
from collections.abc import Callable
from typing import Any

from gymnasium import Env
from stable_baselines3.common.vec_env import DummyVecEnv
from stable_baselines3.common.vec_env.base_vec_env import VecEnvStepReturn

from sb3_ddpg_custom.cli.environments.kinds import VecEnvKind

_LEAST_STEPS, _MOST_STEPS, _MOST_SECONDS = 5, 100, 2.0
_SLOW_STEP_SECONDS = 0.002  # ten times what asking another process takes
_BUSY = 0.7  # share of the cores' time, above which envs compute more than they wait


class FirstSteps:
    """Times a training's first steps, and says once what would be quicker; nothing is stepped only to be timed.

    :param kind: how the envs step now
    :param n_envs: how many there are
    :param say: takes one sentence
    """

    def __init__(self, kind: VecEnvKind, n_envs: int, say: Callable[[str], None]) -> None:
        self._kind = kind
        self._n_envs = n_envs
        self._say = say
        self._times: list[tuple[float, float, float]] = []

    def add(self, seconds: float, of_envs: float, cpu_of_envs: float = 0.0) -> bool:
        """Take notice of a step of all envs, none of which was filmed.

        :param seconds: that it took
        :param of_envs: that the envs took, together
        :param cpu_of_envs: of these, how long they computed
        :return: whether that was the last one needed
        """
        self._times.append((seconds, of_envs, cpu_of_envs))
        count, total = len(self._times), sum(one[0] for one in self._times)
        if count < _LEAST_STEPS or (count < _MOST_STEPS and total < _MOST_SECONDS):
            return False
        whole, in_turn, computing = (statistics.median(column) for column in zip(*self._times, strict=True))
        if self._kind == "dummy":
            advice = advice_for_one_process(self._n_envs, cores(), in_turn / self._n_envs)
        else:
            advice = advice_for_processes(self._n_envs, cores(), whole, in_turn, computing)
        if advice is not None:
            self._say(advice)
        return True


def advice_for_one_process(n_envs: int, cores: int, step_seconds: float) -> str | None:
    """Say so where envs that step in turn would be quicker side by side.

    :param n_envs: how many
    :param cores: that there are
    :param step_seconds: of one env
    """
    if n_envs == 1 or cores == 1 or step_seconds < _SLOW_STEP_SECONDS:
        return None
    return (
        f"a step of an env takes {1000 * step_seconds:.1f} ms, and {n_envs} envs step in turn; --vec-env subproc steps "
        "them side by side, with the same results (ddpg resume takes it, too)"
    )


def advice_for_processes(
    n_envs: int, cores: int, whole_seconds: float, in_turn_seconds: float, computing_seconds: float
) -> str | None:
    """Say so where envs in processes of their own are no quicker than in one.

    :param n_envs: how many
    :param cores: that there are
    :param whole_seconds: of a step of all envs, with asking and answering
    :param in_turn_seconds: that they took for it together
    :param computing_seconds: of these, how long they computed
    """
    if n_envs == 1:
        return "--vec-env subproc with one env only adds a process and its messages; add --n-envs, or leave it out"
    if whole_seconds >= in_turn_seconds:
        return (
            f"--vec-env subproc does not pay here: a step of {n_envs} envs takes {1000 * whole_seconds:.2g} ms, and "
            f"about {1000 * in_turn_seconds:.2g} ms in one process; ddpg resume --vec-env dummy goes on there"
        )
    if n_envs > cores and computing_seconds > _BUSY * cores * whole_seconds:
        return (
            f"--n-envs {n_envs} with --vec-env subproc keeps this machine's {cores} "
            f"core{'' if cores == 1 else 's'} busy: its envs wait for each other"
        )
    return None


def cores() -> int:
    """Count the cores that this process may use."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS, Windows
        return os.cpu_count() or 1


class TimedVecEnv(DummyVecEnv):
    """SB3's ``DummyVecEnv``, whose first steps are timed.

    :param env_fns: make an env each
    :param first_steps: times them
    """

    def __init__(self, env_fns: list[Callable[[], Env[Any, Any]]], first_steps: FirstSteps) -> None:
        super().__init__(env_fns)
        self._first_steps: FirstSteps | None = first_steps
        self._may_film = self.envs[0].has_wrapper_attr("is_recording")

    def step_wait(self) -> VecEnvStepReturn:
        """Step all envs in turn."""
        if self._first_steps is None or (self._may_film and self.envs[0].get_wrapper_attr("is_recording")):
            return super().step_wait()
        began = time.perf_counter()
        answer = super().step_wait()
        seconds = time.perf_counter() - began
        if self._first_steps.add(seconds, seconds):
            self._first_steps = None
        return answer
