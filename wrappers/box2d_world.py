"""Worlds of Gymnasium's Box2D environments, in which the contacts depend on the episodes before."""

from typing import Any


def renew_world(env: Any) -> None:
    """Let the next episode of a Box2D environment begin in a world of its own, as ``LunarLander`` does by itself.

    In BipedalWalker and CarRacing the same random state and actions come out otherwise in a world that has had episodes
    before, so that no seed repeats an episode but the first. Other environments are left alone.

    :param env: just before its ``reset``
    """
    base = getattr(env, "unwrapped", env)
    if not any(kind.__module__.startswith("gymnasium.envs.box2d.") for kind in type(base).__mro__):
        return
    world: Any = getattr(base, "world", None)
    if type(world).__name__ == "b2World" and hasattr(base, "_destroy"):
        base._destroy()
        base.world = type(world)(gravity=tuple(world.gravity))
