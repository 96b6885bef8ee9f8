from types import SimpleNamespace
from typing import Any

import gymnasium as gym
import numpy as np
import pytest

from sb3_ddpg_custom.wrappers import prepare_headless_rendering
from sb3_ddpg_custom.wrappers.mujoco_camera import follow_robot

pytest.importorskip("mujoco")


def drawn_far_away(env_id: str, **kwargs: Any) -> Any:
    """A picture of a robot that has run 20 metres."""
    env = gym.make(env_id, render_mode="rgb_array", width=160, height=160, **kwargs)
    follow_robot(env)
    env.reset(seed=0)
    base: Any = env.unwrapped
    position = base.data.qpos.copy()
    position[0] += 20
    base.set_state(position, base.data.qvel.copy())
    try:
        picture = env.render()
    except Exception as error:  # any driver
        pytest.skip(f"nothing can be drawn here: {error}")
    finally:
        env.close()
    return picture


@pytest.fixture(autouse=True)
def _without_a_screen() -> None:
    prepare_headless_rendering()


@pytest.mark.parametrize(
    "env_id", ["Hopper-v5", "Walker2d-v5", "HalfCheetah-v5", "Ant-v5", "Swimmer-v5", "Humanoid-v5"]
)
def test_a_robot_that_has_run_away_is_in_the_picture(env_id: str) -> None:
    red, _, blue = np.moveaxis(drawn_far_away(env_id).astype(int), -1, 0)
    assert (red > blue + 30).sum() > 100  # brown: the floor is green and the sky is blue or grey


class Renderer:
    """What Gymnasium's renderer is to the camera."""

    def __init__(self, camera_id: int = -1, config: dict[str, Any] | None = None) -> None:
        self.camera_id: int | None = camera_id
        self.default_cam_config = config


@pytest.mark.parametrize(
    ("renderer", "kwargs"),
    [
        (Renderer(0, {"trackbodyid": 1}), {}),  # Gymnasium before 1.4, which follows by itself
        (Renderer(-1, {"trackbodyid": 1}), {"camera_id": -1}),
        (Renderer(-1, {"trackbodyid": 1, "type": 0}), {}),
        (Renderer(-1, {"distance": 2.0}), {"default_camera_config": {"distance": 2.0}}),
    ],
)
def test_a_chosen_camera_stays(renderer: Renderer, kwargs: dict[str, Any]) -> None:
    before = vars(renderer).copy()
    env: Any = SimpleNamespace(unwrapped=SimpleNamespace(mujoco_renderer=renderer), spec=SimpleNamespace(kwargs=kwargs))
    follow_robot(env)
    assert vars(renderer) == before


def test_other_environments_have_no_camera() -> None:
    env = gym.make("Pendulum-v1")
    before = set(vars(env.unwrapped))
    follow_robot(env)
    assert set(vars(env.unwrapped)) == before
