"""Deep deterministic policy gradient as an SB3 algorithm."""

import io
import pickle
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from copy import copy
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import numpy as np
import torch as th
from gymnasium import spaces
from numpy.typing import NDArray
from stable_baselines3.common.buffers import ReplayBuffer as SB3ReplayBuffer
from stable_baselines3.common.callbacks import BaseCallback
from stable_baselines3.common.logger import Logger
from stable_baselines3.common.noise import ActionNoise
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import BasePolicy
from stable_baselines3.common.save_util import load_from_zip_file
from stable_baselines3.common.type_aliases import GymEnv, MaybeCallback, RolloutReturn, Schedule
from stable_baselines3.common.utils import FloatSchedule, update_learning_rate
from stable_baselines3.her.her_replay_buffer import HerReplayBuffer
from stable_baselines3.td3.policies import CnnPolicy, MlpPolicy, MultiInputPolicy, TD3Policy

from sb3_ddpg_custom.acting.action_noise import fit_to_envs, report_progress
from sb3_ddpg_custom.acting.noise_of_all_envs import at_once
from sb3_ddpg_custom.acting.numpy_actor import NumpyActor
from sb3_ddpg_custom.acting.parameter_noise import ParameterNoise, PerturbedActor
from sb3_ddpg_custom.acting.rollout_callbacks import may_act_on_rollout_start
from sb3_ddpg_custom.action_spaces import as_type_of, is_whole, with_real_bounds
from sb3_ddpg_custom.checkpoint.sb3_zip import LEFT_OUT, marked_for_us, trains_otherwise_in_sb3, without_mark
from sb3_ddpg_custom.episode_curves import EpisodeCurves
from sb3_ddpg_custom.policies import Adam, initialise_outputs
from sb3_ddpg_custom.replay.buffer import ReplayBuffer
from sb3_ddpg_custom.replay.files import kind_of, load_replay_buffer, opened, save_replay_buffer
from sb3_ddpg_custom.replay.from_sb3 import from_sb3
from sb3_ddpg_custom.replay.priorities import PrioritizedSamples
from sb3_ddpg_custom.updates import (
    AnalyticUpdate,
    Batch,
    FittingUpdate,
    Precision,
    Update,
    UpdateName,
    UpdateStatistics,
)

_CURVES = [f"train/{name}" for name in UpdateStatistics._fields]
# What older releases kept in each model, and is the policy's or a property now.
_ONCE_ATTRIBUTES = {"actor", "actor_target", "critic", "critic_target", "_update", "_actor", "critic_lr_schedule"}
# What runs between a look at the policy and the next action, where it is this class's own.
_BETWEEN_LOOKS = ("train", "collect_rollouts", "_sample_action", "_update_learning_rate", "_log_updates", "_batches")
_NOWHERE_EXCLUDED = dict.fromkeys(_CURVES, ("",))

SelfDDPG = TypeVar("SelfDDPG", bound="DDPG")


def _network_of_policy(name: str) -> Any:
    return property(
        lambda model: getattr(model.policy, name),
        lambda model, network: setattr(model.policy, name, network),
        doc=f"The policy's ``{name}``.",
    )


class DDPG(OffPolicyAlgorithm):
    """Deep deterministic policy gradient (Lillicrap et al. 2016, arXiv 1509.02971).

    Takes every argument of SB3's ``DDPG`` under the same name and with the same default; those behind the star are
    its own. SB3 documents the shared ones.

    >>> from sb3_ddpg_custom import DDPG
    >>> model = DDPG("MlpPolicy", "Pendulum-v1", critic_learning_rate=2e-3, seed=0).learn(150)
    >>> model.num_timesteps
    150

    :param policy: ``"MlpPolicy"``, ``"CnnPolicy"``, ``"MultiInputPolicy"`` or a subclass of SB3's ``TD3Policy``
    :param env: environment or its id; its action space must be a bounded Box
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
    :param policy_kwargs: keywords for the policy
    :param verbose: 0 silent, 1 messages and logs, 2 more
    :param seed: seed of Python, NumPy, torch, the env and the action space
    :param device: torch device
    :param _init_setup_model: build the networks at once
    :param stats_window_size: episodes over which ``rollout/*`` averages
    :param critic_learning_rate: the critic's step size, a number or a schedule; None takes ``learning_rate``
    :param critic_weight_decay: L2 penalty on the critic (the paper's is 1e-2): adds decay · w to each gradient; None
        for the optimiser's own
    :param max_grad_norm: bound on the L2 norm of each network's gradient, None for no bound
    :param output_init: bound of the uniform initialisation of the output layers (the paper's is 3e-3); None for torch's
    :param update: how gradients are computed, see :func:`sb3_ddpg_custom.updates.make_update`
    :param precision: ``"bfloat16"`` computes the updates' large matrix products in it; parameters, targets, optimisers
        and acting stay float32
    :param parameter_noise: explore with noise on the actor's weights; the model keeps a copy, whose ``std`` adapts and
        is saved with it
    """

    policy_aliases: ClassVar[dict[str, type[BasePolicy]]] = {
        "MlpPolicy": MlpPolicy,
        "CnnPolicy": CnnPolicy,
        "MultiInputPolicy": MultiInputPolicy,
    }
    policy: TD3Policy
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
        max_grad_norm: float | None = None,
        output_init: float | None = None,
        update: UpdateName = "auto",
        precision: Precision = "float32",
        parameter_noise: ParameterNoise | None = None,
    ) -> None:
        super().__init__(
            policy=policy,
            env=env,
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
        _check_positive(max_grad_norm=max_grad_norm, output_init=output_init)
        _check_positive(
            or_zero=True, critic_weight_decay=critic_weight_decay, critic_learning_rate=critic_learning_rate
        )
        self.critic_learning_rate = critic_learning_rate
        self.critic_weight_decay = critic_weight_decay
        self.max_grad_norm = max_grad_norm
        self.output_init = output_init
        self.update: UpdateName = update
        self.precision: Precision = precision
        self.last_update: UpdateStatistics | None = None
        self._is_saving = False
        self._curves: EpisodeCurves | None = None
        self._quick_actor: tuple[object, NumpyActor | None] = (None, None)
        self._fitted_at, self._attributes, self._is_learning, self._rollouts_start_alone = -1, 0, False, False
        self.parameter_noise = copy(parameter_noise)
        self._perturbed_actor: PerturbedActor | None = None
        if _init_setup_model:
            self._setup_model()

    def _setup_model(self) -> None:
        if self.replay_buffer_class is None:
            self.replay_buffer_class = ReplayBuffer
        own = issubclass(self.replay_buffer_class, ReplayBuffer)
        if own and "n_steps" in self.replay_buffer_kwargs:
            self.replay_buffer_kwargs = {"gamma": self.gamma, **self.replay_buffer_kwargs}
        seen_by_sb3: dict[str, Any] = {"policy_kwargs": self._quick_policy_kwargs()}
        if own and self.n_steps > 1:
            self.replay_buffer_kwargs = {**self.replay_buffer_kwargs, "n_steps": self.n_steps, "gamma": self.gamma}
            # SB3 warns that it ignores n_steps for any buffer but its own; this one has just been told.
            seen_by_sb3["n_steps"] = 1
        # SB3 would cut stored actions, which lie in [-1, 1], to whole numbers, and its bounds can overflow.
        seen_by_sb3["action_space"] = with_real_bounds(self.action_space)
        with self._with(**seen_by_sb3):
            super()._setup_model()
        if self.policy.optimizer_class is Adam:
            self.policy.optimizer_class = th.optim.Adam  # what policy.save() writes
        if self.output_init is not None:
            initialise_outputs(self.policy, self.output_init)
        self._updates = FittingUpdate(self.update, self.policy, self.precision, self.tau, self.max_grad_norm)
        # Of its own: updates through autograd draw from torch's generator, as SB3's do, and those by hand do not.
        self._noise_generator = th.Generator().manual_seed(th.initial_seed())

    @property
    def _update(self) -> Update:
        """The way to update that fitted last."""
        return self._updates.current

    @_update.setter
    def _update(self, update: Update) -> None:
        self._updates.current = update

    def _is_as_known(self, update: AnalyticUpdate) -> bool:
        return update.policy is self.policy and update.flat.acts_as_known()

    @property
    def _was_just_fitted(self) -> bool:
        """Whether nothing of a script's can have run since the last training looked at the policy."""
        return (
            self.num_timesteps == self._fitted_at
            and self._rollouts_start_alone
            and len(self.__dict__) == self._attributes  # no method was assigned
        )

    def _fit_update(self, *, anew: bool = False) -> Update:
        """Take the way to update that fits the policy as it is now."""
        return self._updates.fit(self.update, self.policy, self.precision, anew=anew)

    @property
    def _actor(self) -> NumpyActor | None:
        """The quick way to act on the actor as it is now, None where it has to be the policy's."""
        update = self._update
        if isinstance(update, AnalyticUpdate) and not (self._was_just_fitted or self._is_as_known(update)):
            update = self._fit_update()
        if not isinstance(update, AnalyticUpdate) or _has_own(self, "predict"):
            return None
        flat, actor = self._quick_actor
        if flat is not update.flat:
            actor = NumpyActor.of(update)
            self._quick_actor = update.flat, actor
        return actor

    def _quick_policy_kwargs(self) -> dict[str, Any]:
        """Name our Adam where SB3's policies would take torch's; other policies and optimisers are left alone."""
        takes_adam = self.policy_kwargs.get("optimizer_class", th.optim.Adam) is th.optim.Adam
        if takes_adam and self.policy_class in self.policy_aliases.values():
            return {**self.policy_kwargs, "optimizer_class": Adam}
        return self.policy_kwargs

    @property
    def critic_lr_schedule(self) -> Schedule:
        """The critic's step size as a function of the remaining progress (1 to 0)."""
        separate = self.critic_learning_rate
        return self.lr_schedule if separate is None else FloatSchedule(separate)

    @critic_lr_schedule.setter
    def critic_lr_schedule(self, schedule: Schedule) -> None:
        self.critic_learning_rate = schedule

    def train(self, gradient_steps: int, batch_size: int = 100) -> None:
        """Update the networks from the replay buffer.

        :param gradient_steps: number of updates
        :param batch_size: transitions per update
        """
        if gradient_steps < 1:
            return
        update = self._fit_update()
        self._fitted_at = self.num_timesteps
        by_hand = update if isinstance(update, AnalyticUpdate) else None
        (self.policy if by_hand is None else by_hand.flat).set_training_mode(True)
        policy = self.policy
        optimizers = (policy.actor.optimizer, policy.critic.optimizer) if by_hand is None else by_hand.optimizers
        self._set_optimizer_options(*optimizers)
        if _has_own(self, "_update_learning_rate") or (by_hand is not None and not by_hand.flat.spares_walks):
            # A script's code ran since.
            update = self._fit_update()
            by_hand = update if isinstance(update, AnalyticUpdate) else None
        # Read anew each time, as gamma is: a callback may anneal them.
        update.tau, update.max_grad_norm = self.tau, self.max_grad_norm
        step = update if by_hand is None else by_hand.step
        statistics = []
        for batch in self._batches(gradient_steps, batch_size):
            result = step(batch, self.gamma)
            statistics.append(result.statistics)
            if isinstance(batch, PrioritizedSamples):
                self.replay_buffer.update_priorities(batch.indices, result.td_errors)  # type: ignore[union-attr]
        self._n_updates += gradient_steps
        self._log_updates(statistics)

    def _batches(self, count: int, batch_size: int) -> Iterator[Batch]:
        buffer: Any = self.replay_buffer
        if isinstance(buffer, ReplayBuffer):
            buffer.anneal(self._current_progress_remaining)
            if self.n_steps > 1:
                buffer.gamma = self.gamma  # which a script may have changed
            if isinstance(self._update, AnalyticUpdate):  # which copies a batch before it takes the next one
                return buffer.batches(count, batch_size, self._vec_normalize_env)
        return (buffer.sample(batch_size, env=self._vec_normalize_env) for _ in range(count))

    def _set_optimizer_options(self, actor: th.optim.Optimizer, critic: th.optim.Optimizer) -> None:
        """Bring learning rates and weight decay up to date: SB3 loads old ones with a zip, and knows one rate only."""
        if self.critic_learning_rate is None:
            self._update_learning_rate([actor, critic])
        else:
            self._update_learning_rate([actor])
            critic_learning_rate = self.critic_lr_schedule(self._current_progress_remaining)
            update_learning_rate(critic, critic_learning_rate)
            self.logger.record("train/critic_learning_rate", critic_learning_rate)
        if self.critic_weight_decay is not None:
            for group in critic.param_groups:
                group["weight_decay"] = self.critic_weight_decay

    def _log_updates(self, statistics: list[th.Tensor]) -> None:
        """Log the updates of one ``train()``.

        :param statistics: one row of statistics per update; reading them here waits for the device, once
        """
        if len(statistics) == 1:
            self.last_update = UpdateStatistics(*statistics[0].tolist())
        else:
            columns = UpdateStatistics(*th.stack(statistics, dim=1).tolist())
            means = UpdateStatistics(*[sum(column) / len(column) for column in columns])
            self.last_update = means._replace(q_max=max(columns.q_max))
        if self._curves is not None:
            self._curves.add_updates(self.last_update.q_mean * len(statistics), len(statistics))
        self.logger.record("train/n_updates", self._n_updates, exclude="tensorboard")
        if type(self.logger) is Logger:  # what record() does, for all of them
            self.logger.name_to_value.update(zip(_CURVES, self.last_update, strict=True))
            self.logger.name_to_excluded.update(_NOWHERE_EXCLUDED)
            return
        for name, value in zip(_CURVES, self.last_update, strict=True):
            self.logger.record(name, value)

    def _setup_learn(
        self,
        total_timesteps: int,
        callback: MaybeCallback = None,
        reset_num_timesteps: bool = True,
        tb_log_name: str = "run",
        progress_bar: bool = False,
    ) -> tuple[int, BaseCallback]:
        env = self.get_env()
        if env is not None:
            self.action_noise = fit_to_envs(self.action_noise, env.num_envs)
        saving = self.optimize_memory_usage and not isinstance(self.replay_buffer, ReplayBuffer)
        # SB3's memory saving buffer cannot tell where a new episode begins, so its last transition is made terminal.
        with self._with(optimize_memory_usage=saving):
            prepared = super()._setup_learn(total_timesteps, callback, reset_num_timesteps, tb_log_name, progress_bar)
        self._fit_update(anew=True)
        self._fitted_at, self._attributes = -1, len(self.__dict__)
        self._rollouts_start_alone = self._is_learning and not may_act_on_rollout_start(prepared[1])
        self._perturbed_actor = None
        if env is not None and self.parameter_noise is not None:
            self._perturbed_actor = self._perturb(self.parameter_noise, env.num_envs)
        if env is not None and (self._curves is None or self._curves.env is not env or reset_num_timesteps):
            self._curves = EpisodeCurves(env)
        return prepared

    @contextmanager
    def _with(self, **attributes: Any) -> Iterator[None]:
        """Let SB3 see other attributes for a while."""
        own = {name: getattr(self, name) for name in attributes}
        self.__dict__.update(attributes)
        try:
            yield
        finally:
            self.__dict__.update(own)

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
        self._is_learning = not any(_has_own(self, name) for name in _BETWEEN_LOOKS)
        try:
            return super().learn(
                total_timesteps, callback, log_interval, tb_log_name, reset_num_timesteps, progress_bar
            )
        finally:
            self._is_learning = self._rollouts_start_alone = False
            update = self._update
            if isinstance(update, AnalyticUpdate):
                update.flat.complete_training_mode()

    def collect_rollouts(self, *args: Any, **kwargs: Any) -> RolloutReturn:
        """Collect transitions; see SB3's ``OffPolicyAlgorithm.collect_rollouts``."""
        update = self._update
        if isinstance(update, AnalyticUpdate) and update.policy is self.policy:
            update.flat.spare_one_walk()
        return super().collect_rollouts(*args, **kwargs)

    def _store_transition(
        self,
        replay_buffer: SB3ReplayBuffer,
        buffer_action: NDArray[Any],
        new_obs: NDArray[Any] | dict[str, NDArray[Any]],
        reward: NDArray[Any],
        dones: NDArray[Any],
        infos: list[dict[str, Any]],
    ) -> None:
        ended = np.asarray(dones).any()
        if self._vec_normalize_env is not None or ended or not isinstance(new_obs, np.ndarray):
            super()._store_transition(replay_buffer, buffer_action, new_obs, reward, dones, infos)
            return
        # What remains of it within an episode, less a deep copy.
        observations: Any = self._last_obs
        self._last_original_obs = observations
        replay_buffer.add(observations, new_obs.copy(), buffer_action, reward, dones, infos)
        self._last_obs = new_obs

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[Any] | None = None,
        deterministic: bool = False,
    ) -> tuple[NDArray[Any], tuple[NDArray[Any], ...] | None]:
        """Give the policy's actions; see SB3's ``BaseAlgorithm.predict``.

        :param observation: one observation, or those of several envs
        :param state: of recurrent policies, handed through
        :param episode_start: of recurrent policies
        :param deterministic: DDPG's policy is
        :return: actions in the env's units, of its action space's type, and ``state``
        """
        actions, state = super().predict(observation, state, episode_start, deterministic)
        return as_type_of(self.action_space, actions), state

    def _sample_action(
        self, learning_starts: int, action_noise: ActionNoise | None = None, n_envs: int = 1
    ) -> tuple[NDArray[Any], NDArray[Any]]:
        if action_noise is not None:
            total = self._total_timesteps
            progress_remaining = 1.0 - self.num_timesteps / total if total else 1.0
            report_progress(action_noise, progress_remaining, self._episode_num)
            action_noise = at_once(action_noise)
        act = None
        if self.num_timesteps >= learning_starts and self._last_obs is not None:
            act = self._perturbed_actor or self._actor
        if act is None:
            action, scaled_action = super()._sample_action(learning_starts, action_noise, n_envs)
        else:
            if isinstance(act, PerturbedActor):
                if act.policy is not self.policy:
                    act = self._perturbed_actor = self._perturb(act.noise, n_envs)
                self._adapt_parameter_noise(act)
            scaled_action = act(self._last_obs)  # type: ignore[arg-type]  # there is one
            if action_noise is not None:
                # As clip() does, in half the time.
                scaled_action = np.minimum(np.maximum(scaled_action + action_noise(), -1), 1)
            action = self.policy.unscale_action(scaled_action)
        if is_whole(self.action_space):
            # What the env executes is what is stored.
            action = as_type_of(self.action_space, action)
            scaled_action = self.policy.scale_action(action)
        return action, scaled_action

    def _perturb(self, noise: ParameterNoise, n_envs: int) -> PerturbedActor:
        predict = self.predict if _has_own(self, "predict") else None
        return PerturbedActor(noise, self.policy, n_envs, generator=self._noise_generator, predict=predict)

    def _adapt_parameter_noise(self, actor: PerturbedActor) -> None:
        if actor.adaptation_is_due and self.last_update is not None:  # what has been trained on can be sampled
            batch = self.replay_buffer.sample(self.batch_size, env=self._vec_normalize_env)  # type: ignore[union-attr]
            self.logger.record("train/parameter_noise_distance", actor.adapt(batch.observations))
            self.logger.record("train/parameter_noise_std", actor.noise.std)

    def _update_info_buffer(self, infos: list[dict[str, Any]], dones: NDArray[np.bool_] | None = None) -> None:
        super()._update_info_buffer(infos, dones)
        if dones is not None and self._perturbed_actor is not None:
            self._perturbed_actor.reset(np.flatnonzero(dones))
        # The rollout loop has counted neither these episodes nor their training yet, so their curves end here.
        if dones is not None and self._curves is not None and np.asarray(dones).any():
            self._curves.publish(dones, infos, self.logger, self._episode_num)

    def save_replay_buffer(self, path: str | Path | io.BufferedIOBase) -> None:
        """Write the replay buffer to a file that can be read without unpickling.

        A file on the disk is replaced whole or not at all. A buffer of another class goes SB3's way, as a pickle.

        :param path: file to write, ``.pkl`` is added where there is no suffix, folders are made; or a binary file
        """
        if isinstance(self.replay_buffer, ReplayBuffer):
            save_replay_buffer(self.replay_buffer, path)
        else:
            super().save_replay_buffer(path)

    def load_replay_buffer(self, path: str | Path | io.BufferedIOBase, truncate_last_traj: bool = True) -> None:
        """Take over a replay buffer that ours or SB3's ``save_replay_buffer`` wrote.

        The capacity is the file's. Batches are those that the saved buffer would have given. A pickle runs what its
        author put into it: load pickles that you trust. SB3's plain, Dict and n-step buffers become ours; others, such
        as ``HerReplayBuffer``, stay what they are.

        :param path: file to read, with or without ``.pkl``, or a binary file object
        :param truncate_last_traj: for ``HerReplayBuffer``, see SB3
        :raises ValueError: if the file is damaged, or does not fit this model
        """
        own = self.replay_buffer
        if own is None:
            own = self.replay_buffer = self._make_replay_buffer()
        kind = kind_of(path)
        if kind == "ours":
            if not isinstance(own, ReplayBuffer):
                raise ValueError(
                    f"{path} is a file of sb3_ddpg_custom.ReplayBuffer, but this model uses {type(own).__name__}: "
                    "build the model without replay_buffer_class"
                )
            self.replay_buffer = load_replay_buffer(path, own)
            self.replay_buffer.device = self.device
            return
        if kind == "unknown":
            raise ValueError(f"{path} is no replay buffer: save_replay_buffer writes what can be loaded here")
        try:
            with opened(path) as file:
                super().load_replay_buffer(file, truncate_last_traj)  # type: ignore[arg-type]  # a binary file
            if isinstance(own, ReplayBuffer) and self.replay_buffer is not None:
                self.replay_buffer = from_sb3(self.replay_buffer, own)
        except BaseException as error:
            self.replay_buffer = own
            if isinstance(error, (pickle.UnpicklingError, EOFError)):
                raise ValueError(f"{path} is no replay buffer, or only a part of one ({error})") from error
            raise

    def _make_replay_buffer(self) -> SB3ReplayBuffer:
        """Build an empty replay buffer from the model's settings, as SB3 does with the model."""
        kwargs = dict(self.replay_buffer_kwargs)
        if issubclass(self.replay_buffer_class, HerReplayBuffer):  # type: ignore[arg-type]  # set with the model
            kwargs["env"] = self.env
        return self.replay_buffer_class(  # type: ignore[misc]
            self.buffer_size,
            self.observation_space,
            with_real_bounds(self.action_space),
            device=self.device,
            n_envs=self.n_envs,
            optimize_memory_usage=self.optimize_memory_usage,
            **kwargs,
        )

    def save(
        self,
        path: str | Path | io.BufferedIOBase,
        exclude: Iterable[str] | None = None,
        include: Iterable[str] | None = None,
    ) -> None:
        """Write a zip; see SB3's ``BaseAlgorithm.save``.

        SB3's own DDPG reads it too, unless an option is in use without which it would silently train on differently:
        then it refuses the zip because of an "unexpected key in state_dict: needs_sb3_ddpg_custom".

        :param path: file, ``.zip`` is added where there is no suffix; or a binary file
        :param exclude: attributes to leave out besides SB3's choice
        :param include: attributes to keep against SB3's choice
        """
        with self._with(_is_saving=True):
            super().save(path, exclude=[*(exclude or ()), "_is_saving"], include=include)

    def get_parameters(self) -> dict[str, dict[str, Any]]:
        """Give the state dicts of the policy and its optimisers; see SB3's ``BaseAlgorithm.get_parameters``."""
        parameters: dict[str, dict[str, Any]] = super().get_parameters()
        return marked_for_us(parameters) if self._is_saving and trains_otherwise_in_sb3(self) else parameters

    def set_parameters(
        self, load_path_or_dict: Any, exact_match: bool = True, device: th.device | str = "auto"
    ) -> None:
        """Take over state dicts or those of a zip; see SB3's ``BaseAlgorithm.set_parameters``.

        :param load_path_or_dict: what ``get_parameters`` gave, or a zip
        :param exact_match: refuse anything missing or left over
        :param device: where the tensors of a zip go
        """
        if not isinstance(load_path_or_dict, dict):
            _, load_path_or_dict, _ = load_from_zip_file(load_path_or_dict, device=device, load_data=False)
        known: Any = without_mark(load_path_or_dict)
        super().set_parameters(known, exact_match, device)

    def __getstate__(self) -> dict[str, Any]:
        # A copy looks for itself.
        fresh = {"_quick_actor": (None, None), "_is_learning": False, "_rollouts_start_alone": False, "_fitted_at": -1}
        return {**self.__dict__, **fresh}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Pickles of older releases hold the networks twice, and no way to change the update.
        self.__dict__.update({name: value for name, value in state.items() if name not in _ONCE_ATTRIBUTES})
        for name, value in {"_attributes": 0, **self.__getstate__()}.items():
            self.__dict__.setdefault(name, value)
        if "_updates" not in state and "policy" in state:
            way: UpdateName = "auto" if self.update == "compiled" else self.update
            self._updates = FittingUpdate(way, self.policy, self.precision, self.tau, self.max_grad_norm)
            self._quick_actor = (None, None)
            self._noise_generator = th.Generator().manual_seed(th.initial_seed())

    def _excluded_save_params(self) -> list[str]:
        return [*super()._excluded_save_params(), *LEFT_OUT]

    def _get_torch_save_params(self) -> tuple[list[str], list[str]]:
        return ["policy", "actor.optimizer", "critic.optimizer"], []


def _has_own(model: DDPG, name: str) -> bool:
    """Say whether a model's class, or the model itself, overrides a method."""
    kind = type(model)
    return name in model.__dict__ or (kind is not DDPG and getattr(kind, name) is not getattr(DDPG, name))


def _check_positive(*, or_zero: bool = False, **options: Any) -> None:
    for name, value in options.items():
        if isinstance(value, int | float) and not (value > 0 or (or_zero and value == 0)):
            raise ValueError(f"{name} must be {'at least' if or_zero else 'above'} 0, got {value}")
