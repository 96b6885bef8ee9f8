"""An environment whose rewards can be told by heart, and how to play it."""

from pathlib import Path
from typing import Any

import gymnasium as gym

COLUMNS = ["rewards", "lengths", "timesteps", "seconds", "env", "qmax"]


class Countdown(gym.Env[Any, Any]):
    """Episodes of 1, 2, 3, ... steps; the reward of a step is 0.5 plus the action."""

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012
    observation_space = gym.spaces.Discrete(100)
    action_space = gym.spaces.Discrete(5)

    def __init__(self) -> None:
        self.render_mode = None
        self.episodes = 0
        self.steps = 0
        self.resets: list[Any] = []
        self.closes = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        self.resets.append((seed, options))
        self.episodes += 1
        self.steps = 0
        return 0, {"reset": True}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.steps, 0.5 + action, self.steps == self.episodes, False, {"steps": self.steps}

    def close(self) -> None:
        self.closes += 1


def play(env: gym.Env[Any, Any], episodes: int = 1) -> None:
    for _ in range(episodes):
        env.reset()
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(2)
            over = terminated or truncated


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
