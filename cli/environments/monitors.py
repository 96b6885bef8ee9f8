"""Monitors around an env and its wrappers: episodes are the outermost env's, rewards the innermost's."""

import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, SupportsFloat

import gymnasium as gym
import numpy as np
from stable_baselines3.common.monitor import Monitor

from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.wrapping import wrap
from sb3_ddpg_custom.wrappers import ContractError, FiniteGuard, StatsMonitor
from sb3_ddpg_custom.wrappers.finished_episodes import FinishedEpisodes

Env = gym.Env[Any, Any]
Step = tuple[Any, SupportsFloat, bool, bool, dict[str, Any]]


def monitored(
    env: Env,
    settings: Settings,
    *,
    files: tuple[Path | FinishedEpisodes, Path] | None = None,
    most_steps: int | None = None,
    goes_on: bool = False,
) -> Env:
    """Put the settings' wrappers around an env, and the monitors around those.

    A wrapper may end episodes, repeat actions and scale rewards: an episode is what the algorithm sees, while its
    return is the sum of the env's own rewards, so that runs with differently scaled rewards can be compared.

    :param env: as its maker made it
    :param settings: for ``env_wrapper`` and ``monitor_kwargs``
    :param files: ``rewards.npz``, or who takes the episodes to it, and ``Monitor``'s file without its ending; None to
        write none
    :param most_steps: episodes are cut after so many steps
    :param goes_on: add to files that are there already
    """
    kwargs = dict(settings.monitor_kwargs)
    rewards: OwnRewards | None = None
    if settings.env_wrapper:
        tap = RewardTap(env)
        env = FiniteGuard(wrap(tap, settings.env_wrapper, "env_wrapper"))
        env = rewards = OwnRewards(env, tap)
    else:
        env = FiniteGuard(env)
    keywords = kwargs["info_keywords"] = tuple(kwargs.get("info_keywords", ()))  # SB3 adds them to a tuple
    if keywords:
        env = InfoKeywords(env, keywords)
    if most_steps is not None:
        env = EpisodeBound(env, most_steps, keywords)
    file = None
    if files is not None:
        statistics, name = files
        env = StatsMonitor(env, statistics, existing="continue" if goes_on else "refuse")
        file = str(name)
        # SB3 writes a header only where it may also override; a new file needs one.
        is_new = not Path(f"{file}.{Monitor.EXT}").exists()
        kwargs["override_existing"] = is_new or (kwargs.get("override_existing", True) and not goes_on)
    with closed_on_error(env):
        env = ClosingMonitor(env, file, **kwargs)
    return env if rewards is None else GivenRewards(env, rewards)


class ClosingMonitor(Monitor):
    """SB3's ``Monitor``, whose file is closed even where the env fails to."""

    def step(self, action: Any) -> Step:
        """Take a step; before the end an "episode" in the info is the env's own, and SB3 would take it for ours."""
        answer: Step = super().step(action)
        if not (answer[2] or answer[3]):
            answer[4].pop("episode", None)
        return answer

    def close(self) -> None:
        """Close the env and the file."""
        try:
            super().close()
        finally:
            if self.results_writer is not None:
                self.results_writer.close()


class RewardTap(gym.Wrapper[Any, Any, Any, Any]):
    """Adds up the env's own rewards, from inside of the wrappers that may change them."""

    def __init__(self, env: Env) -> None:
        super().__init__(env)
        self._sum: float | None = 0.0

    def step(self, action: Any) -> Step:
        """Take a step, and note its reward where it is a number."""
        answer: Any = self.env.step(action)
        if self._sum is not None:
            self._sum = self._sum + float(answer[1]) if np.ndim(answer[1]) == 0 else None
        stepped: Step = answer
        return stepped

    def take(self) -> float | None:
        """Give the sum since the last call; None if a reward was no number (several objectives, say)."""
        taken, self._sum = self._sum, 0.0
        return taken


class OwnRewards(gym.Wrapper[Any, Any, Any, Any]):
    """Answers the env's own rewards instead of what the wrappers between made of them.

    :param env: with the wrappers
    :param tap: inside of them
    """

    def __init__(self, env: Env, tap: RewardTap) -> None:
        super().__init__(env)
        self._tap = tap
        self.given: SupportsFloat = 0.0

    def step(self, action: Any) -> Step:
        """Take a step, and keep the wrappers' reward in ``given``."""
        observation, self.given, terminated, truncated, info = self.env.step(action)
        own = self._tap.take()
        return observation, self.given if own is None else own, terminated, truncated, info


class GivenRewards(gym.Wrapper[Any, Any, Any, Any]):
    """Answers the wrappers' rewards again, for the algorithm.

    :param env: monitors around ``rewards``
    :param rewards: which knows them
    """

    def __init__(self, env: Env, rewards: OwnRewards) -> None:
        super().__init__(env)
        self._rewards = rewards

    def step(self, action: Any) -> Step:
        """Take a step."""
        observation, _, terminated, truncated, info = self.env.step(action)
        return observation, self._rewards.given, terminated, truncated, info


class EpisodeBound(gym.Wrapper[Any, Any, Any, Any]):
    """Cuts episodes that last too long, and counts them.

    :param env: any env
    :param most_steps: after which an episode is truncated
    :param keywords: of ``Monitor``, for which the info of an episode that did not end has nothing to say
    """

    def __init__(self, env: Env, most_steps: int, keywords: Sequence[str] = ()) -> None:
        super().__init__(env)
        self._keywords = keywords
        self.bound_steps = most_steps
        self.cut_episodes = 0
        self._steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin an episode."""
        self._steps = 0
        return self.env.reset(seed=seed, options=options)

    def step(self, action: Any) -> Step:
        """Take a step; the last one allowed is truncated."""
        observation, reward, terminated, truncated, info = self.env.step(action)
        self._steps += 1
        if self._steps >= self.bound_steps and not (terminated or truncated):
            self.cut_episodes += 1
            truncated = True
            info = {**dict.fromkeys(self._keywords, math.nan), **info}
        return observation, reward, terminated, truncated, info


class InfoKeywords(gym.Wrapper[Any, Any, Any, Any]):
    """Says in a sentence which of ``Monitor``'s ``info_keywords`` an episode's last info lacks.

    :param env: any env
    :param keywords: that SB3's ``Monitor`` will look up
    """

    def __init__(self, env: Env, keywords: Sequence[str]) -> None:
        super().__init__(env)
        self._keywords = keywords

    def step(self, action: Any) -> Step:
        """Take a step.

        :raises ContractError: if it ends the episode without one of the keywords
        """
        answer = self.env.step(action)
        if answer[2] or answer[3]:
            missing = next((key for key in self._keywords if key not in answer[4]), None)
            if missing is not None:
                there = ", ".join(map(str, answer[4])) or "nothing"
                raise ContractError(
                    f"monitor_kwargs.info_keywords has {missing!r}, which is not in the info at an episode's end; "
                    f"there is {there}"
                )
        return answer


@contextmanager
def closed_on_error(env: Env) -> Iterator[None]:
    """Close an env where the block that goes on with it fails: its files are then written, and nothing stays open."""
    try:
        yield
    except BaseException:
        with suppress(Exception):  # the first error is the one to tell
            env.close()
        raise
