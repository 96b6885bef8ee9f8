"""From settings to the algorithm."""

import inspect
from collections.abc import Iterable, Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from gymnasium import spaces

from sb3_ddpg_custom.cli.blame import reason
from sb3_ddpg_custom.cli.config.classes import build_policy_kwargs, build_replay_buffer_class, import_class
from sb3_ddpg_custom.cli.config.settings import Settings
from sb3_ddpg_custom.cli.environments.fitting import suited_policy
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, one_line
from sb3_ddpg_custom.cli.training.noise import build_action_noise, build_parameter_noise, build_schedule

if TYPE_CHECKING:
    import torch as th
    from stable_baselines3.common.vec_env import VecEnv

    from sb3_ddpg_custom.ddpg import DDPG


def build_model(settings: Settings, env: "VecEnv", *, seed: int, device: str) -> "DDPG":
    """Make the algorithm that the settings describe.

    :param settings: hyper-parameters
    :param env: its envs
    :param seed: the training's seed
    :param device: torch device
    :raises UsageError: if they do not describe one
    """
    from sb3_ddpg_custom.ddpg import DDPG

    if settings.policy is None:
        settings = settings.model_copy(update={"policy": suited_policy(env.observation_space)})
    name = str(settings.policy)
    policy = import_class(name, "policy") if "." in name else name
    buffer = build_replay_buffer_class(settings.replay_buffer_class)
    critic_rate = settings.critic_learning_rate
    built: dict[str, Any] = {
        "policy": policy,
        "env": env,
        "seed": seed,
        "device": device,
        "learning_rate": build_schedule(settings.learning_rate),
        "critic_learning_rate": None if critic_rate is None else build_schedule(critic_rate),
        "action_noise": build_action_noise(settings, env.action_space.shape or ()),
        "parameter_noise": build_parameter_noise(settings),
        "policy_kwargs": build_policy_kwargs(settings.policy_kwargs),
        "replay_buffer_class": buffer,
        "replay_buffer_kwargs": dict(settings.replay_buffer_kwargs),
    }
    # The other settings that have the name of an argument are taken as they are.
    taken = inspect.signature(DDPG.__init__).parameters.keys() & Settings.model_fields.keys()
    as_they_are = {name: getattr(settings, name) for name in taken - built.keys()}
    _check_policy(name, settings, env)
    _check_replay_buffer(settings, buffer, env)
    try:
        return DDPG(**built, **as_they_are)
    except MemoryError as error:
        raise UsageError(
            f"buffer_size is {settings.buffer_size}, more than memory holds ({one_line(error)[:40]}); lower it"
        ) from error
    except Exception as error:  # SB3's policies and buffers, and anybody's own, raise what they like
        raise UsageError(f"no model can be built with {_named(settings)}: {reason(error)}") from error


def remarks_on_precision(precision: str, device: "th.device") -> list[str]:
    """Say so where a precision brings nothing.

    :param precision: that was asked for
    :param device: where the networks are
    """
    from sb3_ddpg_custom.updates import has_fast_bfloat16

    if precision != "bfloat16" or has_fast_bfloat16(device):
        return []
    return ["precision is bfloat16, but nothing here multiplies it faster than float32"]


def remarks_on_numba(model: "DDPG") -> list[str]:
    """Say what would make the updates faster, where they could be compiled and Numba is missing.

    :param model: to be trained
    """
    from sb3_ddpg_custom.updates import FlatUpdate

    if find_spec("numba") is not None or model.update != "auto" or model.device.type != "cpu":
        return []
    if not isinstance(model._update, FlatUpdate):
        return []
    return ['longer trainings are faster with Numba: pip install "sb3-ddpg-custom[numba]"']


def _named(settings: Settings) -> str:
    """Name the settings that a model's parts are most often refused for."""
    given = [f"policy={settings.policy}", f"update={settings.update}"]
    for key in ("policy_kwargs", "replay_buffer_class", "replay_buffer_kwargs"):
        value = getattr(settings, key)
        given += [f"{key}={value}"] if value else []
    return ", ".join(given)


def _check_policy(policy: str, settings: Settings, env: "VecEnv") -> None:
    from stable_baselines3.common.preprocessing import is_image_space
    from stable_baselines3.td3.policies import TD3Policy

    from sb3_ddpg_custom.normalized_policies import OPTION

    space = env.observation_space
    is_dict = isinstance(space, spaces.Dict)
    if is_dict and policy in ("MlpPolicy", "CnnPolicy"):
        raise UsageError(f"policy is {policy}, but the observations are a Dict; use --set policy=MultiInputPolicy")
    if not is_dict and policy == "MultiInputPolicy":
        raise UsageError("policy is MultiInputPolicy, but the observations are no Dict; use --set policy=MlpPolicy")
    custom = "features_extractor_class" in settings.policy_kwargs
    normalized = not settings.policy_kwargs.get("normalize_images", True)
    if policy == "CnnPolicy" and not custom and not is_image_space(space, normalized_image=normalized):
        raise UsageError(
            f"policy is CnnPolicy, but the observations of shape {space.shape} and type {space.dtype} are no images of "
            "type uint8; use --set policy=MlpPolicy"
        )
    if "." not in policy:
        # The arguments of SB3's policies, and those that are ours.
        ours = () if policy == "SimbaPolicy" else ("layer_norm", OPTION)
        _check_names("policy_kwargs", settings.policy_kwargs, TD3Policy, besides=ours)


def _check_replay_buffer(settings: Settings, buffer: type[Any] | None, env: "VecEnv") -> None:
    from stable_baselines3 import HerReplayBuffer

    from sb3_ddpg_custom.replay.buffer import ReplayBuffer

    space = env.observation_space
    goals = {"observation", "achieved_goal", "desired_goal"}
    if (
        buffer is not None
        and issubclass(buffer, HerReplayBuffer)
        and not (isinstance(space, spaces.Dict) and goals <= space.spaces.keys())
    ):
        raise UsageError(
            f"replay_buffer_class is {settings.replay_buffer_class}, which needs an environment with goals: "
            f"Dict observations with {', '.join(sorted(goals))}; use --set replay_buffer_class=null"
        )
    _check_names("replay_buffer_kwargs", settings.replay_buffer_kwargs, buffer or ReplayBuffer)


# What the algorithm gives to policies and replay buffers by itself.
_NOT_FOR_USERS = ("self", "observation_space", "action_space", "lr_schedule", "buffer_size", "device", "n_envs", "env")


def _check_names(key: str, given: Iterable[str], taker: type[Any], *, besides: tuple[str, ...] = ()) -> None:
    parameters: Mapping[str, inspect.Parameter] = inspect.signature(taker.__init__).parameters
    if any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in parameters.values()):
        return
    known = [*(name for name in parameters if name not in _NOT_FOR_USERS), *besides]
    for name in given:
        if name not in known:
            hint = did_you_mean(name, known) or f"; there are {', '.join(known)}"
            raise UsageError(f"{key}.{name} is no argument of {taker.__name__}{hint}")


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
        # The first sentence: torch goes on with all the backends that it was built with.
        reason = one_line(error).partition(". ")[0]
        raise UsageError(f"--device {device} cannot be used here: {reason}; use --device cpu") from error
