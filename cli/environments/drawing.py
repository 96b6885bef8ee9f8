"""Whether an env can be drawn here, found out by drawing it."""

import timeit

from sb3_ddpg_custom.cli.blame import exits_are_errors, reason
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.registry import closed_quietly, make_env
from sb3_ddpg_custom.wrappers import rendering_advice
from sb3_ddpg_custom.wrappers.pictures import as_picture


def can_render(
    env_id: str, settings: Settings, mode: str = "rgb_array", *, slow_seconds: float | None = None
) -> str | None:
    """Try to draw.

    :param env_id: registered id
    :param settings: for ``env_kwargs``
    :param mode: ``"rgb_array"`` for images, ``"human"`` for a window
    :param slow_seconds: time per frame that counts as a failure too, None for any time
    :return: None if it worked, else the reason in one line
    """
    env = make_env(env_id, settings)
    with closed_quietly(env):
        modes = env.metadata.get("render_modes") or []
    if mode not in modes:
        what = "show a window" if mode == "human" else "draw images"
        return f"{env_id} cannot {what} (its render modes are {modes})"
    try:
        env = make_env(env_id, settings, mode)
        with closed_quietly(env), exits_are_errors():
            if env.render_mode != mode:
                return f"{env_id} cannot be filmed (asked for the render mode {mode!r}, it has {env.render_mode!r})"
            env.reset(seed=0)
            drawn = env.render()  # opens the renderer
            if mode == "rgb_array":
                as_picture(drawn)
            seconds = min(timeit.repeat(env.render, number=1, repeat=3))
    except Exception as error:  # any renderer, any driver
        advice = rendering_advice(error)
        return f"{env_id} cannot draw here: {reason(error)}" + (f"; {advice}" if advice else "")
    if slow_seconds is not None and seconds > slow_seconds:
        return f"drawing a frame of {env_id} takes {1000 * seconds:.0f} ms here"
    return None
