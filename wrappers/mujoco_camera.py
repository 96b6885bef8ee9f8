"""A camera that keeps MuJoCo's robots in the picture."""

from typing import Any

import gymnasium as gym

_TRACKING = 1  # mujoco.mjtCamera.mjCAMERA_TRACKING
_FREE = -1  # of Gymnasium, for the camera's number


def follow_robot(env: gym.Env[Any, Any]) -> None:
    """Let the camera of one of Gymnasium's MuJoCo environments move with the robot.

    Gymnasium 1.4 films them with a camera that stands still, though their configuration names a body to track: after a
    hundred steps there is nothing but floor. Cameras that somebody has chosen, and environments that Gymnasium lets
    track anyway, stay as they are.

    :param env: any environment, before it is drawn for the first time
    """
    renderer: Any = getattr(env.unwrapped, "mujoco_renderer", None)
    chosen = {} if env.spec is None else env.spec.kwargs
    if getattr(renderer, "camera_id", None) != _FREE or "camera_id" in chosen:
        return
    config = dict(getattr(renderer, "default_cam_config", None) or {})
    if "type" in config:
        return
    if config.get("trackbodyid", 0) > 0:
        renderer.default_cam_config = {**config, "type": _TRACKING}
        renderer.camera_id = None  # or each picture sets the type again
    elif "default_camera_config" not in chosen:
        import mujoco

        number = mujoco.mj_name2id(renderer.model, mujoco.mjtObj.mjOBJ_CAMERA, "track")
        renderer.camera_id = number if number >= 0 else _FREE
