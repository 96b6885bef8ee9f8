"""The running episodes of a model's envs: asked for, and played again."""

from typing import Any

import numpy as np
from stable_baselines3.common.vec_env import VecEnv

NO_REPLAYER = "the envs are not in an EpisodeReplayer (outermost, around Monitor)"


def can_replay(env: VecEnv) -> bool:
    """Tell whether every env is in an :class:`sb3_ddpg_custom.wrappers.EpisodeReplayer`.

    :param env: a model's envs
    """
    base = env.unwrapped
    singles = getattr(base, "envs", None)
    if singles is not None:
        return all("replay_episode" in dir(type(one)) for one in singles)
    try:
        return bool(base.has_attr("replay_episode"))
    except Exception:  # simulators that are vectorised themselves have no single envs to ask
        return False


def episodes_so_far(env: VecEnv) -> list[Any] | None:
    """Ask each env for its running episode; None where they cannot say.

    :param env: a model's envs
    """
    return env.unwrapped.env_method("episode_so_far") if can_replay(env) else None


def play_again(model: Any, episodes: list[Any] | None) -> str | None:
    """Play the running episodes again, or reset all envs where that does not work.

    :param model: with its envs, built as they were
    :param episodes: which :func:`episodes_so_far` gave
    :return: why all envs have been reset; None if each is in the midst of its episode
    """
    env = model.get_env()
    why_not = None
    if episodes is None or not can_replay(env):
        why_not = NO_REPLAYER
    else:
        base = env.unwrapped
        for index, episode in enumerate(episodes):
            (here,), there = (
                base.env_method("built_of", indices=[index]),
                [layer["kind"] for layer in episode["layers"]],
            )
            if here != there:
                why_not = f"env {index} is in other wrappers than it was, {_difference(there, here)}"
                break
            if not base.env_method("replay_episode", episode, indices=[index])[0]:
                why_not = (
                    f"env {index} is not deterministic: its episode came out otherwise when it was played again; "
                    "all episodes begin anew"
                )
                break
    if why_not is not None:
        model._last_obs = env.reset()
        model._last_episode_starts = np.ones((env.num_envs,), dtype=bool)
        if model._vec_normalize_env is not None:
            model._last_original_obs = model._vec_normalize_env.get_original_obs()
    return why_not


def _difference(there: list[str], here: list[str]) -> str:
    lacking, more = [name for name in there if name not in here], [name for name in here if name not in there]
    told = [f"{word} {', '.join(names)}" for word, names in (("without", lacking), ("with", more)) if names]
    return f"{' and '.join(told) or 'in another order'}; all episodes begin anew"


def left_out(episodes: Any) -> list[str]:
    """Name what of envs and wrappers was too long to keep.

    :param episodes: which :func:`episodes_so_far` gave
    """
    layers = [layer for episode in episodes or () for layer in episode["layers"]]
    return sorted({f"{layer['kind']}.{name}" for layer in layers for name in layer["left_out"]})
