"""From settings to the algorithm."""

from typing import TYPE_CHECKING

import numpy as np

from sb3_ddpg_custom.cli.classes import build_policy_kwargs, build_replay_buffer_class, import_class
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.noise import build_action_noise, build_parameter_noise, build_schedule
from sb3_ddpg_custom.cli.settings import Settings

if TYPE_CHECKING:
    from stable_baselines3.common.vec_env import VecEnv

    from sb3_ddpg_custom.ddpg import DDPG

# Settings that the constructor takes as they are.
_PASSED_ON = (
    "buffer_size",
    "learning_starts",
    "batch_size",
    "tau",
    "gamma",
    "train_freq",
    "gradient_steps",
    "optimize_memory_usage",
    "n_steps",
    "stats_window_size",
    "critic_weight_decay",
    "max_grad_norm",
    "output_init",
    "update",
)


def build_model(settings: Settings, env: "VecEnv", *, seed: int, device: str) -> "DDPG":
    """Make the algorithm that the settings describe.

    :param settings: hyper-parameters
    :param env: its envs
    :param seed: the training's seed
    :param device: torch device
    """
    from sb3_ddpg_custom.ddpg import DDPG

    action_dim = int(np.prod(env.action_space.shape or (1,)))
    critic_rate = settings.critic_learning_rate
    return DDPG(
        import_class(settings.policy, "policy") if "." in settings.policy else settings.policy,
        env,
        learning_rate=build_schedule(settings.learning_rate),
        critic_learning_rate=None if critic_rate is None else build_schedule(critic_rate),
        action_noise=build_action_noise(settings, action_dim),
        parameter_noise=build_parameter_noise(settings),
        policy_kwargs=build_policy_kwargs(settings.policy_kwargs),
        replay_buffer_class=build_replay_buffer_class(settings.replay_buffer_class),
        replay_buffer_kwargs=dict(settings.replay_buffer_kwargs),
        seed=seed,
        device=device,
        **{name: getattr(settings, name) for name in _PASSED_ON},
    )


def check_device(device: str) -> None:
    """Make sure that torch has a device.

    :param device: value of ``--device``
    :raises UsageError: if it has not; SB3 would train on the CPU without a word
    """
    import torch as th

    try:
        wanted = th.device("cpu" if device == "auto" else device)
    except RuntimeError as error:
        raise UsageError(f"--device {device} is no device of torch; use auto, cpu, cuda or cuda:0") from error
    if wanted.type == "cuda" and not th.cuda.is_available():
        raise UsageError(f"--device {device}: torch sees no CUDA device here; use --device cpu")
    try:
        th.zeros(1, device=wanted).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).partition("\n")[0].rstrip(".")
        raise UsageError(f"--device {device} cannot be used here: {reason}; use --device cpu") from error
