"""The settings of a training run, and what makes them valid."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from sb3_ddpg_custom.cli.config.conflicts import conflict_of
from sb3_ddpg_custom.cli.config.kinds import (
    POLICIES,
    PRECISIONS,
    UPDATES,
    AboveZero,
    AtLeastZero,
    Classes,
    Count,
    Kwargs,
    Name,
    Positive,
    Rate,
    Scale,
    Share,
    Switch,
    expect,
    read_bounds,
    read_env_kwargs,
    read_monitor_kwargs,
    read_normalize,
    read_policy_kwargs,
    read_string,
    read_train_freq,
    whole,
)
from sb3_ddpg_custom.cli.config.kwargs_text import is_dotted_name
from sb3_ddpg_custom.cli.config.plain import integer
from sb3_ddpg_custom.cli.errors import UsageError, did_you_mean, received
from sb3_ddpg_custom.yaml_values import NOISE_TYPES, number


class Settings(BaseModel):
    """Everything a training run is made of, as plain data.

    Keys and their defaults are rl_zoo3's and SB3's DDPG's. A schedule is written ``"lin_x"``: from x at the start
    of training linearly to 0 at its end.

    :param n_timesteps: environment steps to train for, over all environments together
    :param policy: a policy of SB3, or ``"module.Class"``; None: the one that fits the observations
    :param n_envs: environments side by side; ``--vec-env`` says whether they step in turn
    :param normalize: ``VecNormalize``'s arguments, or False; pass it the algorithm's ``gamma`` too, as rl_zoo3 does
    :param env_wrapper: wrappers around each environment, the first innermost
    :param vec_env_wrapper: wrappers around the vectorised environment
    :param env_kwargs: arguments of ``gymnasium.make``
    :param frame_stack: observations to stack, or None
    :param callback: SB3 callbacks
    :param monitor_kwargs: arguments of SB3's ``Monitor``
    :param noise_type: exploration noise, or None
    :param noise_std: its scale, in the normalised [-1, 1] action space, or a schedule, or a range over the envs; for
        ``adaptive-param`` the change of actions that the noise on the actor's weights aims at
    :param learning_rate: of the actor, and of the critic unless it has its own; a number or a schedule
    :param critic_learning_rate: of the critic; None: as the actor's
    :param buffer_size: transitions to remember
    :param learning_starts: steps before the first update
    :param batch_size: transitions per update
    :param tau: fraction taken from the online networks into the targets at each update
    :param gamma: discount
    :param train_freq: environment steps between updates, or (how many, ``"step"`` or ``"episode"``)
    :param gradient_steps: updates each time; -1: as many as steps were collected (SB3's convention)
    :param policy_kwargs: the policy's arguments, see ``cli.config.classes.build_policy_kwargs``
    :param replay_buffer_class: see ``cli.config.classes.build_replay_buffer_class``; None: the algorithm chooses
    :param replay_buffer_kwargs: the replay buffer's arguments
    :param optimize_memory_usage: store next observations only where the following transition does not hold them
    :param n_steps: steps of the return in the critic's target
    :param max_grad_norm: gradients are clipped to this norm; None: they are not
    :param critic_weight_decay: L2 on the critic's weights; None: the optimiser's own
    :param actor_weight_decay: L2 on the actor's weights; None: the optimiser's own
    :param decoupled_weight_decay: whether both are AdamW's instead of L2; None: the optimiser's own
    :param pre_tanh_penalty: c of the penalty c · mean z² on what goes into the actor's last tanh; None: none
    :param actor_average_tau: fraction of the actor in an average of it that is evaluated and played; None: none
    :param output_init: output layers start uniform in ± this; None: as PyTorch starts them
    :param action_bounds: low and high of the actions, where the env's space has none or narrower ones are wanted;
        each a number or a list
    :param update: how a gradient update is computed
    :param precision: of the updates' large matrix products
    :param stats_window_size: episodes that the logged means span
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    n_timesteps: Positive
    policy: (
        Annotated[
            str,
            expect(
                f"{', '.join(POLICIES)} or 'module.Class'",
                read_string,
                lambda name: name in POLICIES or ("." in name and is_dotted_name(name)),
            ),
        ]
        | None
    ) = None
    n_envs: Annotated[int, whole(1, 10_000)] = 1
    normalize: Annotated[dict[str, Any] | Literal[False], BeforeValidator(read_normalize)] = False
    env_wrapper: Classes = ()
    vec_env_wrapper: Classes = ()
    env_kwargs: Annotated[Kwargs, AfterValidator(read_env_kwargs)] = Field(default_factory=dict)
    frame_stack: Positive | None = None
    callback: Classes = ()
    monitor_kwargs: Annotated[Kwargs, AfterValidator(read_monitor_kwargs)] = Field(default_factory=dict)
    noise_type: (
        Annotated[str, expect("null or one of " + ", ".join(NOISE_TYPES), read_string, lambda s: s in NOISE_TYPES)]
        | None
    ) = None
    noise_std: Scale | None = None
    learning_rate: Rate = 1e-3
    critic_learning_rate: Rate | None = None
    buffer_size: Positive = 1_000_000
    learning_starts: Count = 100
    batch_size: Annotated[int, whole(1, 10_000_000)] = 256
    tau: Share = 0.005
    gamma: Annotated[float, expect("a number from 0 to 1", number, lambda x: 0 <= x <= 1)] = 0.99
    train_freq: Annotated[
        int | tuple[int, str],
        expect(
            "a whole number of at least 1, or such as [1, episode] or [4, step]",
            read_train_freq,
            lambda every: (every if isinstance(every, int) else every[0]) >= 1,
        ),
    ] = 1
    gradient_steps: Annotated[
        int,
        expect("a whole number of at least 1, or -1 for one per collected step", integer, lambda n: n >= 1 or n == -1),
    ] = 1
    policy_kwargs: Annotated[Kwargs, AfterValidator(read_policy_kwargs)] = Field(default_factory=dict)
    replay_buffer_class: Name | None = None
    replay_buffer_kwargs: Kwargs = Field(default_factory=dict)
    optimize_memory_usage: Switch = False
    n_steps: Positive = 1
    max_grad_norm: AboveZero | None = None
    critic_weight_decay: AtLeastZero | None = None
    actor_weight_decay: AtLeastZero | None = None
    decoupled_weight_decay: Switch | None = None
    pre_tanh_penalty: AtLeastZero | None = None
    actor_average_tau: Share | None = None
    output_init: AboveZero | None = None
    action_bounds: (
        Annotated[list[Any], expect("low and high, such as [-1, 1] or [[-1, -2], [1, 2]]", read_bounds, bool)] | None
    ) = None
    update: Annotated[str, expect("one of " + ", ".join(UPDATES), read_string, lambda name: name in UPDATES)] = "auto"
    precision: Annotated[
        str, expect("one of " + ", ".join(PRECISIONS), read_string, lambda name: name in PRECISIONS)
    ] = "float32"
    stats_window_size: Positive = 100


def unknown_key(key: object) -> str:
    """Say that there is no such key, and which one may have been meant.

    :param key: what was received
    :return: a part of a sentence
    """
    known = sorted(Settings.model_fields)
    return f"unknown key {received(key)}" + (did_you_mean(key, known) or f"; the keys are {', '.join(known)}")


def validate(entry: Mapping[str, Any], source: str, blame: Mapping[str, str] | None = None) -> Settings:
    """Turn hyper-parameters into settings.

    :param entry: the hyper-parameters, which stay as they are
    :param source: the file they come from, for error messages
    :param blame: for keys that did not come from the file, what set them, such as ``--steps``
    :return: the settings
    :raises UsageError: one sentence about the first thing that is wrong
    """
    for key in entry:
        if key not in Settings.model_fields:
            raise UsageError(f"`{source}`: {unknown_key(key)}")
    try:
        settings = Settings.model_validate(dict(entry))
    except ValidationError as caught:
        error = caught.errors(include_url=False)[0]
        key = str(error["loc"][0])
        subject = (blame or {}).get(key) or f"`{source}`: {key}"
        if error["type"] == "missing":
            raise UsageError(f"`{source}`: {key} is missing; add it, or pass --steps") from None
        problem = error.get("ctx", {}).get("error", error["msg"])
        raise UsageError(f"{subject} is {received(entry[key])}; {problem}") from None
    conflict = conflict_of(settings)
    if conflict is not None:
        raise UsageError(conflict if blame else f"`{source}`: {conflict}")
    return settings
