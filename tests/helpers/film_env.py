"""An environment that draws a known picture, and how to read films."""

from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import gymnasium as gym
import numpy as np
from numpy.typing import NDArray


class Film(gym.Env[Any, Any]):
    """Episodes of three steps whose frames have one colour each: 40 times the step, in red."""

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 12}  # noqa: RUF012
    observation_space = gym.spaces.Discrete(100)
    action_space = gym.spaces.Discrete(2)

    def __init__(self, size: tuple[int, int] = (32, 48), render_mode: str | None = "rgb_array") -> None:
        self.render_mode = render_mode
        self.size = size
        self.calls: list[Any] = []
        self.length_steps = 3
        self.steps = 0

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[int, dict[str, Any]]:
        self.calls.append(("reset", seed, options))
        self.steps = 0
        return 0, {}

    def step(self, action: int) -> tuple[int, float, bool, bool, dict[str, Any]]:
        self.steps += 1
        return self.steps, 1.0, self.steps == self.length_steps, False, {"steps": self.steps}

    def render(self) -> Any:
        frame = np.zeros((*self.size, 3), np.uint8)
        frame[:, :, 0] = 40 * self.steps % 256
        return frame

    def close(self) -> None:
        self.calls.append("close")


def play(env: gym.Env[Any, Any], episodes: int = 1) -> None:
    for _ in range(episodes):
        env.reset()
        over = False
        while not over:
            _, _, terminated, truncated, _ = env.step(1)
            over = terminated or truncated


def decode(path: Path) -> list[NDArray[Any]]:
    with av.open(path) as container:
        stream = container.streams.video[0]
        assert stream.codec_context.name == "h264"
        assert stream.codec_context.pix_fmt == "yuv420p"
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(stream)]


def fps(path: Path) -> Fraction | None:
    with av.open(path) as container:
        return container.streams.video[0].average_rate


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())
