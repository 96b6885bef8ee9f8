"""What SB3's callbacks can do, and when."""

from collections.abc import Iterator

from stable_baselines3.common.callbacks import BaseCallback, CallbackList, EventCallback


def may_act_on_rollout_start(callback: BaseCallback) -> bool:
    """Say whether a callback runs code of its own where a rollout starts.

    :param callback: as ``learn`` has it, with what it holds
    """
    known = (BaseCallback, CallbackList, EventCallback)
    hooks = ("on_rollout_start", "_on_rollout_start")
    return any(
        (getattr(type(one), name) not in [getattr(kind, name) for kind in known] and not _only_looks(one))
        or name in one.__dict__
        for one in _unpacked(callback)
        for name in hooks
    )


def _only_looks(callback: BaseCallback) -> bool:
    """Say whether a callback's class promises to change nothing about the model."""
    return getattr(type(callback), "leaves_the_model_alone", False)


def _unpacked(callback: BaseCallback) -> Iterator[BaseCallback]:
    yield callback
    inner = callback.callbacks if isinstance(callback, CallbackList) else [getattr(callback, "callback", None)]
    for one in inner:
        if isinstance(one, BaseCallback):
            yield from _unpacked(one)
