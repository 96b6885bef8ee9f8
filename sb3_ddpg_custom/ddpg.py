"""Deep deterministic policy gradient as an SB3 algorithm."""

import math
from collections.abc import Iterator
from copy import copy
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn, Schedule
from stable_baselines3.td3.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, TD3Policy

from sb3_ddpg_custom.acting.collecting import CollectingAlgorithm
from sb3_ddpg_custom.acting.nobody_else import may_act_on_rollout_start, only_known_code_runs
from sb3_ddpg_custom.acting.numpy_actor import NumpyActor
from sb3_ddpg_custom.acting.parameter_noise import ParameterNoise
from sb3_ddpg_custom.action_bounds import ActionBounds, BoundingAlgorithm, bounded_env
from sb3_ddpg_custom.action_spaces import with_real_bounds
from sb3_ddpg_custom.checkpoint.saving import SavingAlgorithm
from sb3_ddpg_custom.diagnosis.diagnose import DiagnosingAlgorithm
from sb3_ddpg_custom.episode_curves import EpisodeCurves
from sb3_ddpg_custom.layer_norm import with_layer_norm
from sb3_ddpg_custom.normalized_policies import OPTION, policy_with_options
from sb3_ddpg_custom.optimizing import OptimizingAlgorithm
from sb3_ddpg_custom.option_values import Precision, UpdateName, check_positive, check_share, check_switch
from sb3_ddpg_custom.overrides import has_own
from sb3_ddpg_custom.policies import QUICK_OPTIMIZERS, initialise_outputs
from sb3_ddpg_custom.replay.buffer import ReplayBuffer
from sb3_ddpg_custom.replay.device_records import contiguous
from sb3_ddpg_custom.replay.draw import Draw
from sb3_ddpg_custom.replay.priorities import PrioritizedSamples
from sb3_ddpg_custom.residual_policies import SimbaPolicy
from sb3_ddpg_custom.temporarily import temporarily
from sb3_ddpg_custom.updates import FittingUpdate, Update
from sb3_ddpg_custom.updates.divergence import NonFiniteUpdateError
from sb3_ddpg_custom.updates.pre_tanh import final_tanh
from sb3_ddpg_custom.updates.statistics_log import record, summary

# What older releases kept in each model, and is the policy's or a property now.
_ONCE_ATTRIBUTES = {"actor", "actor_target", "critic", "critic_target", "_update", "_actor", "critic_lr_schedule"}
# What runs between a look at the policy and the next action, where it is this class's own.
_BETWEEN_LOOKS = ("train", "collect_rollouts", "_sample_action", "_update_learning_rate", "_log_updates", "_batches")
# What a model finds out in a training, and each copy of it for itself.
_FOUND_BY_EACH_COPY: dict[str, Any] = {
    "_quick_actor": (None, None),
    "_average_row": (None, None),
    "_own_envs": None,
    "_fitted_at": -1,
    **dict.fromkeys(("_is_learning", "_rollouts_start_alone", "_rollouts_are_alone"), False),
}

SelfDDPG = TypeVar("SelfDDPG", bound="DDPG")


def _network_of_policy(name: str) -> Any:
    return property(
        lambda model: getattr(model.policy, name),
        lambda model, network: setattr(model.policy, name, network),
        doc=f"The policy's ``{name}``.",
    )


class DDPG(SavingAlgorithm, BoundingAlgorithm, CollectingAlgorithm, OptimizingAlgorithm, DiagnosingAlgorithm):
    """Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv 1509.02971).

    Takes every argument of SB3's ``DDPG`` under the same name and with the same default; those behind the star are
    its own. SB3 documents the shared ones.

    >>> from sb3_ddpg_custom import DDPG
    >>> model = DDPG("MlpPolicy", "Pendulum-v1", critic_learning_rate=2e-3, seed=0).learn(150)
    >>> model.num_timesteps
    150

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"``, ``"MultiInputPolicy"``, ``"SimbaPolicy"`` (residual blocks, see
        :mod:`sb3_ddpg_custom.residual_policies`) or a subclass of SB3's ``TD3Policy``
    :param env: environment or its id; its action space must be a Box, bounded or with ``action_bounds``
    :param learning_rate: Adam's step size, a number or a function of the remaining progress (1 to 0)
    :param buffer_size: transitions kept
    :param learning_starts: env steps of uniformly random actions before the first update
    :param batch_size: transitions per update
    :param tau: fraction of the online networks that enters the targets after each update
    :param gamma: discount factor per env step
    :param train_freq: env steps (of all envs at once) between trainings, or ``(n, "step")``, ``(n, "episode")``
    :param gradient_steps: updates per training; -1 for as many as there were transitions
    :param action_noise: exploration noise in [-1, 1]
    :param replay_buffer_class: None takes :class:`sb3_ddpg_custom.ReplayBuffer`
    :param replay_buffer_kwargs: keywords for the replay buffer, such as ``{"priority_exponent": 0.6}`` for prioritised
        replay
    :param optimize_memory_usage: keep next observations only where the following transition does not hold them
    :param n_steps: length of the returns
    :param tensorboard_log: folder for TensorBoard's files
    :param policy_kwargs: keywords for the policy, such as ``{"normalize_observations": True}``, see
        :class:`sb3_ddpg_custom.observation_normalizer.RunningNormalizer`
    :param verbose: 0 silent, 1 messages and logs, 2 more
    :param seed: seed of Python, NumPy, torch, the env and the action space
    :param device: torch device
    :param _init_setup_model: build the networks at once
    :param stats_window_size: episodes over which ``rollout/*`` averages
    :param critic_learning_rate: the critic's step size, a number or a schedule; None takes ``learning_rate``
    :param critic_weight_decay: L2 penalty on the critic (the paper's is 1e-2): adds decay · w to each gradient; None
        for the optimiser's own
    :param actor_weight_decay: the same for the actor
    :param decoupled_weight_decay: True: both weight decays are AdamW's, which take learning rate · decay · w off the
        weights before each step, past the gradient; False: they are L2 penalties; None for the optimiser's own, which
        is L2 with Adam
    :param pre_tanh_penalty: c of a penalty c · mean z² on what goes into the actor's last tanh, in the units of Q
        (MR.Q's is 1e-5): keeps actions from sticking at ±1, where the tanh has no slope; None for none
    :param actor_average_tau: fraction of the actor that enters, after each update, an average of it that ``predict``
        plays in its place, or a larger one, so that it spans no more than the last fifth of the updates; training and
        exploration are the same with and without. None for none
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :param output_init: bound of the uniform initialisation of the output layers (the paper's is 3e-3); None for torch's
    :param update: how gradients are computed, see :func:`sb3_ddpg_custom.updates.make_update`
    :param precision: ``"bfloat16"`` computes the updates' large matrix products in it; parameters, targets, optimisers
        and acting stay float32
    :param parameter_noise: explore with noise on the actor's weights; the model keeps a copy, whose ``std`` adapts and
        is saved with it
    :param action_bounds: low and high of the actions where the env's space has no bounds, or narrower ones, each a
        number or as many as there are components; saved with the model, which puts them around every env it gets
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
        "SimbaPolicy": SimbaPolicy,
    }
    policy: TD3Policy
    #: the quick way to act, and what it was made for
    _quick_actor: tuple[object, NumpyActor | None]
    #: raise :class:`sb3_ddpg_custom.updates.divergence.NonFiniteUpdateError` where SB3 would train on with NaN
    stops_at_non_finite = False
    # One and the same network for acting and training, whoever replaces it, and wherever.
    actor = _network_of_policy("actor")
    actor_target = _network_of_policy("actor_target")
    critic = _network_of_policy("critic")
    critic_target = _network_of_policy("critic_target")

    def __init__(
        self,
        policy: str | type[TD3Policy],
        env: GymEnv | str,
        learning_rate: float | Schedule = 1e-3,
        buffer_size: int = 1_000_000,
        learning_starts: int = 100,
        batch_size: int = 256,
        tau: float = 0.005,
        gamma: float = 0.99,
        train_freq: int | tuple[int, str] = 1,
        gradient_steps: int = 1,
        action_noise: ActionNoise | None = None,
        replay_buffer_class: type[SB3ReplayBuffer] | None = None,
        replay_buffer_kwargs: dict[str, Any] | None = None,
        optimize_memory_usage: bool = False,
        n_steps: int = 1,
        tensorboard_log: str | None = None,
        policy_kwargs: dict[str, Any] | None = None,
        verbose: int = 0,
        seed: int | None = None,
        device: th.device | str = "auto",
        _init_setup_model: bool = True,
        *,
        stats_window_size: int = 100,
        critic_learning_rate: float | Schedule | None = None,
        critic_weight_decay: float | None = None,
        actor_weight_decay: float | None = None,
        decoupled_weight_decay: bool | None = None,
        pre_tanh_penalty: float | None = None,
        actor_average_tau: float | None = None,
        max_grad_norm: float | None = None,
        output_init: float | None = None,
        update: UpdateName = "auto",
        precision: Precision = "float32",
        parameter_noise: ParameterNoise | None = None,
        action_bounds: ActionBounds | None = None,
    ) -> None:
        super().__init__(
            policy=policy,
            env=bounded_env(env, action_bounds, verbose),
            learning_rate=learning_rate,
            buffer_size=buffer_size,
            learning_starts=learning_starts,
            batch_size=batch_size,
            tau=tau,
            gamma=gamma,
            train_freq=train_freq,
            gradient_steps=gradient_steps,
            action_noise=action_noise,
            replay_buffer_class=replay_buffer_class,
            replay_buffer_kwargs=replay_buffer_kwargs,
            optimize_memory_usage=optimize_memory_usage,
            n_steps=n_steps,
            # DDPG has one critic, while SB3's policy would build TD3's two.
            policy_kwargs={"n_critics": 1, **(policy_kwargs or {})},
            stats_window_size=stats_window_size,
            tensorboard_log=tensorboard_log,
            verbose=verbose,
            device=device,
            seed=seed,
            sde_support=False,
            supported_action_spaces=(spaces.Box,),
            support_multi_env=True,
        )
        check_positive(max_grad_norm=max_grad_norm, output_init=output_init)
        check_positive(or_zero=True, critic_weight_decay=critic_weight_decay, critic_learning_rate=critic_learning_rate)
        check_positive(or_zero=True, actor_weight_decay=actor_weight_decay, pre_tanh_penalty=pre_tanh_penalty)
        check_switch(decoupled_weight_decay=decoupled_weight_decay)
        check_share(actor_average_tau=actor_average_tau)
        if not isinstance(parameter_noise, ParameterNoise | None):
            raise ValueError(f"parameter_noise must be a ParameterNoise or None, got {parameter_noise!r}")
        self.critic_learning_rate = critic_learning_rate
        self.critic_weight_decay = critic_weight_decay
        self.actor_weight_decay = actor_weight_decay
        self.decoupled_weight_decay = decoupled_weight_decay
        self.pre_tanh_penalty = pre_tanh_penalty
        self.actor_average_tau = actor_average_tau
        self.max_grad_norm = max_grad_norm
        self.output_init = output_init
        self.update: UpdateName = update
        self.precision: Precision = precision
        self.last_update = None
        self._curves: EpisodeCurves | None = None
        self.__dict__.update(_FOUND_BY_EACH_COPY)
        self._attributes, self._is_exploring = 0, False
        self.parameter_noise = copy(parameter_noise)
        self.action_bounds = None if action_bounds is None else [np.asarray(one).tolist() for one in action_bounds]
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.replay_buffer_class is None:
            self.replay_buffer_class = ReplayBuffer
        self.policy_class = with_layer_norm(self.policy_class, self.policy_kwargs)
        own = issubclass(self.replay_buffer_class, ReplayBuffer)
        if own and "n_steps" in self.replay_buffer_kwargs:
            self.replay_buffer_kwargs = {"gamma": self.gamma, **self.replay_buffer_kwargs}
        policy_class, policy_kwargs = policy_with_options(self.policy_class, self._quick_policy_kwargs())  # type: ignore[arg-type]
        if self.policy_kwargs.get(OPTION) is False:  # as if it had not been said, so that SB3 reads the zips
            del self.policy_kwargs[OPTION]
        seen_by_sb3: dict[str, Any] = {"policy_class": policy_class, "policy_kwargs": policy_kwargs}
        if own and self.n_steps > 1:
            self.replay_buffer_kwargs = {**self.replay_buffer_kwargs, "n_steps": self.n_steps, "gamma": self.gamma}
            # SB3 warns that it ignores n_steps for any buffer but its own; this one has just been told.
            seen_by_sb3["n_steps"] = 1
        # SB3 would cut stored actions, which lie in [-1, 1], to whole numbers, and its bounds can overflow.
        seen_by_sb3["action_space"] = with_real_bounds(self.action_space)
        with temporarily(self, **seen_by_sb3):
            super()._setup_model()
        for torchs, quick in QUICK_OPTIMIZERS.items():
            if self.policy.optimizer_class is quick:
                self.policy.optimizer_class = torchs  # what policy.save() writes
        if self._sets_weight_decay:
            self._set_weight_decays(self.policy.actor.optimizer, self.policy.critic.optimizer)
        if self.output_init is not None:
            initialise_outputs(self.policy, self.output_init)
        if self.pre_tanh_penalty:
            final_tanh(self.policy.actor)  # or a sentence, before anything is trained
        self._make_average()
        self._updates = FittingUpdate(self.update, self.policy, self.precision, self.tau, self.max_grad_norm)

    @property
    def _update(self) -> Update:
        """The way to update that fitted last."""
        return self._updates.current

    @_update.setter
    def _update(self, update: Update) -> None:
        self._updates.current = update

    @property
    def _was_just_fitted(self) -> bool:
        """Whether nothing of a script's can have run since the last training looked at the policy."""
        return (
            self.num_timesteps == self._fitted_at
            and self._rollouts_start_alone
            and len(self.__dict__) == self._attributes  # no method was assigned
        )

    @property
    def _is_alone(self) -> bool:
        """Whether nothing of a script's can have run since the training began."""
        return self._rollouts_are_alone and len(self.__dict__) == self._attributes

    def _fit_update(self, *, anew: bool = False) -> Update:
        """Take the way to update that fits the policy as it is now."""
        return self._updates.fit(self.update, self.policy, self.precision, anew=anew)

    @property
    def _actor(self) -> NumpyActor | None:
        """The quick way to act on the actor as it is now, None where it has to be the policy's."""
        update = self._updates.by_hand
        if not self._is_alone:
            if update is not None and not (self._was_just_fitted or update.acts_for(self.policy)):
                self._fit_update()
                update = self._updates.by_hand
            if has_own(self, "predict"):
                return None
        if update is None:
            return None
        flat, actor = self._quick_actor
        if flat is not update.flat:
            actor = NumpyActor.of(update)
            self._quick_actor = update.flat, actor
        return actor

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the networks from the replay buffer.

        :param gradient_steps: number of updates
        :param batch_size: transitions per update
        """
        if gradient_steps < 1:
            return
        is_known = self._is_alone and self._updates.by_hand is not None
        update = self._updates.current if is_known else self._fit_update()
        self._fitted_at = self.num_timesteps
        by_hand = self._updates.by_hand
        (self.policy if by_hand is None else by_hand.flat).set_training_mode(True)
        policy = self.policy
        optimizers = (policy.actor.optimizer, policy.critic.optimizer) if by_hand is None else by_hand.optimizers
        self._set_optimizer_options(*optimizers)
        walks = by_hand is not None and not by_hand.flat.spares_walks
        if walks or (not is_known and has_own(self, "_update_learning_rate")):
            # A script's code ran since.
            update = self._fit_update()
            by_hand = self._updates.by_hand
        # Read anew each time, as gamma is: a callback may anneal them.
        update.tau, update.max_grad_norm, update.guards = self.tau, self.max_grad_norm, self.stops_at_non_finite
        update.pre_tanh_penalty = self.pre_tanh_penalty
        step = update if by_hand is None else by_hand.step
        statistics = []
        for batch in self._batches(gradient_steps, batch_size):
            result = step(batch, self.gamma)
            statistics.append(result.statistics)
            if isinstance(batch, PrioritizedSamples):
                self.replay_buffer.update_priorities(batch.indices, result.td_errors)  # type: ignore[union-attr]
        self._n_updates += gradient_steps
        if self.actor_average_tau is not None:
            self._follow_actor(gradient_steps, None if by_hand is None else by_hand.flat)
        self._log_updates(statistics)
        if self.stops_at_non_finite and not math.isfinite(sum(self.last_update or ())):
            batch = batch.gathered() if isinstance(batch, Draw) else batch
            raise NonFiniteUpdateError(self.last_update, batch, self.policy)  # type: ignore[arg-type]  # just set

    def _batches(self, count: int, batch_size: int) -> Iterator[Any]:
        buffer: Any = self.replay_buffer
        if isinstance(buffer, ReplayBuffer):
            buffer.anneal(self._current_progress_remaining)
            if self.n_steps > 1:
                buffer.gamma = self.gamma  # which a script may have changed
            by_hand = self._updates.by_hand
            if by_hand is not None:  # which copies a batch before it takes the next one
                drawn = by_hand.takes_draws and buffer.draws(
                    count, batch_size, self._vec_normalize_env, by_hand.random_integers
                )
                return drawn or buffer.batches(count, batch_size, self._vec_normalize_env)
            if buffer.asks_for_mirror:
                return map(contiguous, buffer.batches(count, batch_size, self._vec_normalize_env))
        return (buffer.sample(batch_size, env=self._vec_normalize_env) for _ in range(count))

    def _log_updates(self, statistics: list[th.Tensor]) -> None:
        """Log the updates of one ``train()``.

        :param statistics: one row of statistics per update; reading them here waits for the device, once
        """
        self.last_update = summary(statistics)
        if self._curves is not None:
            self._curves.add_updates(self.last_update.q_mean * len(statistics), len(statistics))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        record(self.logger, self.last_update)

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        self._make_average()  # or not: a script may have changed its mind
        saving = self.optimize_memory_usage and not isinstance(self.replay_buffer, ReplayBuffer)
        # SB3's memory saving buffer cannot tell where a new episode begins, so its last transition is made terminal.
        with temporarily(self, optimize_memory_usage=saving):
            prepared = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        self._fit_update(anew=True)
        self._fitted_at, self._attributes = -1, len(self.__dict__)
        self._rollouts_start_alone = self._is_learning and not may_act_on_rollout_start(prepared[1])
        env = self.get_env()
        self._rollouts_are_alone = self._rollouts_start_alone and only_known_code_runs(self, prepared[1])
        if self._rollouts_are_alone:
            self._look_for_own_envs()
        if env is not None and (self._curves is None or self._curves.env is not env or reset_num_timesteps):
            self._curves = EpisodeCurves(env)
        return prepared

    def learn(
        self: SelfDDPG,
        total_timesteps: int,
        callback: MaybeCallback = None,
        log_interval: int = 4,
        tb_log_name: str = "DDPG",
        reset_num_timesteps: bool = True,
        progress_bar: bool = False,
    ) -> SelfDDPG:
        """Train; see SB3's ``OffPolicyAlgorithm.learn``.

        :param total_timesteps: env steps, over all envs
        :param callback: SB3 callback or list of callbacks
        :param log_interval: episodes between two logs
        :param tb_log_name: name of the run in TensorBoard
        :param reset_num_timesteps: start counting at 0, or go on
        :param progress_bar: show SB3's progress bar
        :return: self
        """
        self._is_learning = not any(has_own(self, name) for name in _BETWEEN_LOOKS)
        try:
            return super().learn(
                total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar
            )
        finally:
            self._is_learning = self._rollouts_start_alone = self._rollouts_are_alone = False
            self._own_envs = None
            update = self._updates.by_hand
            if update is not None:
                update.flat.complete_training_mode()

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Collect transitions; see SB3's ``OffPolicyAlgorithm.collect_rollouts``."""
        update = self._updates.by_hand
        if update is not None and update.policy is self.policy:
            update.flat.spare_one_walk()
        return super().collect_rollouts(*args, **kwargs)

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: NDArray[np.bool_] | None = None) -> None:
        super()._update_info_buffer(infos, dones)
        # The rollout loop has counted neither these episodes nor their training yet, so their curves end here.
        if dones is not None and self._curves is not None and np.asarray(dones).any():
            self._curves.publish(dones, infos, self.logger, self._episode_num)

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, **_FOUND_BY_EACH_COPY}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickles of older releases hold the networks twice, and no way to change the update.
        self.__dict__.update({name: value for name, value in state.items() if name not in _ONCE_ATTRIBUTES})
        later = dict.fromkeys(("actor_weight_decay", "decoupled_weight_decay", "pre_tanh_penalty", "actor_average_tau"))
        for name, value in {"_attributes": 0, **later, **self.__getstate__()}.items():
            self.__dict__.setdefault(name, value)
        if "_updates" not in state and "policy" in state:
            way: UpdateName = "auto" if self.update == "compiled" else self.update
            self._updates = FittingUpdate(way, self.policy, self.precision, self.tau, self.max_grad_norm)
            self._quick_actor = (None, None)
            self._noise_generator = th.Generator().manual_seed(th.initial_seed())
