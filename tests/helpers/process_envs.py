"""Environments for processes of their own: ``--import helpers.process_envs``."""

import multiprocessing
import os
import signal
import sys
import time
from typing import Any

import gymnasium as gym
import numpy as np


class Walk(gym.Env[Any, Any]):
    """Stay near the origin for 20 steps, while the ground moves at random; and fail, if asked to.

    :param fails: what happens in step ``at`` of an env whose index is ``rank``, which its first seed tells
    :param at: counted over all episodes
    :param first_seed: of the training
    :param rank: whose step it happens in
    :param seconds: that a step computes
    :param render_mode: Gymnasium's
    """

    metadata = {"render_modes": ["rgb_array"], "render_fps": 30}  # noqa: RUF012 (Gymnasium's declaration)
    observation_space = gym.spaces.Box(-10, 10, (2,), np.float32)
    action_space = gym.spaces.Box(-1, 1, (1,), np.float32)

    def __init__(
        self,
        *,
        fails: str = "",
        at: int = 50,
        first_seed: int = 7,
        rank: int = 1,
        seconds: float = 0.0,
        render_mode: str | None = None,
    ) -> None:
        if fails == "make" and multiprocessing.parent_process() is not None:
            raise RuntimeError("there is one simulator only")
        self.fails, self.at, self.seconds = fails, at, seconds
        self.failing_seed = first_seed + rank
        self.render_mode = render_mode
        self.is_failing = False
        self.steps = 0
        self.place = 0.0
        self.best = -np.inf  # what has to go on from episode to episode

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        if seed is not None:
            self.is_failing = seed == self.failing_seed
        self.place = self.np_random.normal()
        return self._observe(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        compute(self.seconds)
        if self.is_failing and self.steps == self.at:
            self.fail()
        self.place += 0.3 * float(action[0]) + 0.1 * self.np_random.normal()
        reward = -abs(self.place) / 3  # a float64 that float32 rounds
        self.best = max(self.best, reward)
        info = {"callback": lambda: None} if self.fails == "info" and self.is_failing and self.steps == self.at else {}
        return self._observe(), reward, False, False, info

    def render(self) -> Any:
        if self.fails == "render" and self.steps >= self.at:
            raise OSError("no screen")
        return np.full((32, 32, 3), min(self.steps, 255), np.uint8)

    def close(self) -> None:
        if self.fails == "close" and self.is_failing:
            raise ValueError("the simulator is lost")

    def fail(self) -> None:
        match self.fails:
            case "raise":
                raise ValueError("the rope tore")
            case "eof":
                raise EOFError
            case "exit":
                sys.exit(3)
            case "os._exit":
                os._exit(3)
            case "kill":
                os.kill(os.getpid(), signal.SIGKILL)
            case "slow":
                compute(30)
            case "nan":
                self.place = np.nan

    def _observe(self) -> Any:
        return np.array([self.place, self.best if self.best > -10 else 0.0])  # float64, where float32 is declared


def compute(seconds: float) -> None:
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass


gym.register("Walk-v0", lambda **kwargs: Walk(**kwargs), max_episode_steps=20, disable_env_checker=True)
