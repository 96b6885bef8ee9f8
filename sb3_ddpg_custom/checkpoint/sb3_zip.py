"""What SB3's zips hold of a model, and when SB3's own DDPG must refuse one of ours."""

from collections.abc import Mapping
from typing import Any

import torch as th

from sb3_ddpg_custom.acting.action_noise import wants_progress
from sb3_ddpg_custom.observation_normalizer import normalizer_of

# An entry of this name among the policy's weights makes SB3's DDPG refuse a zip.
_NOT_FOR_SB3 = "needs_sb3_ddpg_custom"
# Options that change the training, or what plays, wherever they are not None.
_OPTIONS = (
    *("critic_learning_rate", "critic_weight_decay", "actor_weight_decay", "decoupled_weight_decay"),
    *("pre_tanh_penalty", "actor_average_tau", "max_grad_norm", "parameter_noise"),
)
#: attributes that a zip leaves out, for they are the policy's, or rebuilt where they are needed
LEFT_OUT = (
    *("actor", "actor_target", "critic", "critic_target"),
    *("_updates", "_curves", "last_update", "_perturbed_actor", "_quick_actor", "_noise_generator"),
    *("_fitted_at", "_attributes", "_is_learning", "_rollouts_start_alone", "_rollouts_are_alone"),
    *("_is_exploring", "_average_row", "_own_envs"),
)


def marked_for_us(parameters: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Add to a model's state dicts what only our ``set_parameters`` understands.

    :param parameters: as ``get_parameters`` gives them
    """
    return {**parameters, "policy": {**parameters["policy"], _NOT_FOR_SB3: th.empty(0)}}


def without_mark(parameters: Mapping[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Take that away again.

    :param parameters: state dicts of a zip, ours or SB3's
    """
    policy = {name: value for name, value in parameters.get("policy", {}).items() if name != _NOT_FOR_SB3}
    return {**parameters, "policy": policy} if policy else dict(parameters)


def trains_otherwise_in_sb3(model: Any) -> bool:
    """Say whether SB3's DDPG, which knows no option of ours, would silently train on differently.

    :param model: a ``DDPG``
    """
    return (
        any(getattr(model, name) is not None for name in _OPTIONS)
        or model.replay_buffer_kwargs.get("priority_exponent") is not None
        or normalizer_of(model.policy) is not None  # whose statistics nobody updates there
        or wants_progress(model.action_noise)  # which nobody tells there
    )
