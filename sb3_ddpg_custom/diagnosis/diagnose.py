"""What goes wrong inside of a training, as curves: saturated actions, dead units, what Q promises and what comes of it.

Looked at are the newest transitions, about every thousand env steps, when something is logged anyway. Nothing is drawn
at random for it, so that a training comes out the same.
"""

import math
from typing import Any, NamedTuple

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.policies import ContinuousCritic
from stable_baselines3.td3.policies import Actor
from torch import nn

from sb3_ddpg_custom.overrides import has_own
from sb3_ddpg_custom.updates.plain_policy import is_hooked

Array = NDArray[np.float64]

_STEPS_BETWEEN = 1000
_ROWS = 1000  # looked through for rewards
_STATES = 256  # whose actions and values are computed
_SATURATED = 0.99  # in [-1, 1]
_LITTLE = 0.25  # how much of a return may be a prediction itself, where a time limit cut it
# Layers that compute the same whenever they are asked, and keep nothing of it.
_STEADY = frozenset(
    {
        *(nn.Sequential, nn.ModuleDict, nn.Identity, nn.Flatten, nn.Linear, nn.Conv2d, nn.LayerNorm),
        *(nn.ReLU, nn.LeakyReLU, nn.ELU, nn.GELU, nn.SiLU, nn.Softplus, nn.Sigmoid, nn.Tanh),
    }
)
_OF_SB3_OR_OURS = ("stable_baselines3.", "sb3_ddpg_custom.")


class Diagnosis(NamedTuple):
    """What was found; NaN where there is nothing to say.

    - ``saturated_actions``: share of the actor's outputs beyond ±0.99, where tanh has no slope left
    - ``dead_units_actor``, ``dead_units_critic``: share of hidden ReLU units that are 0 in every state looked at
    - ``q_spread``: standard deviation of Q over the states; near 0 the critic tells nothing apart
    - ``q_predicted``: mean Q of the states and actions whose returns are known by now
    - ``q_realised``: mean of those discounted returns, exploration included
    - ``overestimation``: the first minus the second
    - ``exploration``: mean distance of the actions that were tried from the actor's, in [-1, 1]
    - ``largest_input``: root mean square of the largest number that the networks read of an observation
    - ``terminated``: share of the episodes' ends that were the task's own, not a time limit's
    """

    saturated_actions: float
    dead_units_actor: float
    dead_units_critic: float
    q_spread: float
    q_predicted: float
    q_realised: float
    overestimation: float
    exploration: float
    largest_input: float
    terminated: float


class DiagnosingAlgorithm(OffPolicyAlgorithm):
    """Logs a :class:`Diagnosis` as ``diagnosis/…``."""

    _diagnosed_at = -_STEPS_BETWEEN

    def _setup_model(self) -> None:
        super()._setup_model()
        self._diagnosed_at = self._diagnosed_at  # an attribute that appears in a training looks like a script's

    def dump_logs(self) -> None:
        """Write what was logged; see SB3's ``OffPolicyAlgorithm.dump_logs``."""
        since = self.num_timesteps - self._diagnosed_at
        if self.num_timesteps > self.learning_starts and not 0 <= since < _STEPS_BETWEEN:
            self._diagnosed_at = self.num_timesteps
            found = diagnose(self)
            for name, value in found._asdict().items() if found is not None else ():
                if math.isfinite(value):
                    self.logger.record(f"diagnosis/{name}", value)
        super().dump_logs()


@th.no_grad()
def diagnose(model: Any) -> Diagnosis | None:
    """Look at a model and its newest transitions.

    :param model: one of ours
    :return: None where its networks may draw random numbers, have running statistics or hooks, or where its replay
        buffer is of an unknown kind
    """
    policy, buffer = model.policy, model.replay_buffer
    if not all(hasattr(buffer, name) for name in ("observations", "actions", "rewards", "dones", "timeouts", "pos")):
        return None
    rows = min(buffer.size(), max(_ROWS // buffer.n_envs, 1))
    if rows == 0 or is_hooked(policy) or not _is_steady(policy):
        return None
    newest = (buffer.pos - rows + np.arange(rows)) % buffer.buffer_size
    normalizer = model.get_vec_normalize_env()
    rewards = np.asarray(buffer._normalize_reward(buffer.rewards[newest], normalizer), np.float64)
    timeouts = np.asarray(buffer.timeouts[newest], bool)
    terminated = np.asarray(buffer.dones[newest], bool) & ~timeouts

    places = _evenly(np.arange(rows * buffer.n_envs), _STATES)
    observations, actions = _tensors(model, newest, places)
    chosen = policy.actor(observations)
    q_values = _q(policy, observations, actions)
    own = policy.actor.extract_features(observations, policy.actor.features_extractor)
    seen = policy.critic.extract_features(observations, policy.critic.features_extractor)

    # Behind a time limit, and behind the newest transition, Q has to say how it goes on.
    cut = timeouts.copy()
    cut[-1] |= ~terminated[-1]
    behind = np.zeros(cut.shape)
    behind[cut] = _q(policy, *_tensors(model, newest, np.flatnonzero(cut))).numpy(force=True)
    returns, decided = realised_returns(rewards, terminated, cut, behind, model.gamma)
    predicted = realised = math.nan
    known = _evenly(np.flatnonzero(decided), _STATES)
    if len(known):
        predicted = float(_q(policy, *_tensors(model, newest, known)).mean())
        realised = float(returns.ravel()[known].mean())
    return Diagnosis(
        saturated_actions=float((chosen.abs() > _SATURATED).double().mean()),
        dead_units_actor=dead_share(policy.actor.mu, own),
        dead_units_critic=dead_share(policy.critic.q_networks[0], th.cat([seen, actions], dim=1)),
        q_spread=float(q_values.std()),
        q_predicted=predicted,
        q_realised=realised,
        overestimation=predicted - realised,
        exploration=float((actions - chosen).abs().mean()),
        largest_input=float(own.square().mean(dim=0).max().sqrt()) if _is_read_as_it_is(policy) else math.nan,
        terminated=float(terminated.sum() / ends) if (ends := (terminated | timeouts).sum()) else math.nan,
    )


def realised_returns(
    rewards: Array, terminated: NDArray[np.bool_], cut: NDArray[np.bool_], behind: Array, gamma: float
) -> tuple[Array, NDArray[np.bool_]]:
    """Compute what came of each transition, G = r + γ G', and whether it can be told.

    >>> ends = np.array([[False], [True], [False]])
    >>> cut = np.array([[False], [False], [True]])
    >>> returns, decided = realised_returns(np.ones((3, 1)), ends, cut, np.full((3, 1), 9.0), gamma=0.5)
    >>> returns.ravel().tolist(), decided.ravel().tolist()
    ([1.5, 1.0, 9.0], [True, True, False])

    :param rewards: (steps, envs)
    :param terminated: where an episode ended by the task's own rules, (steps, envs)
    :param cut: where it is not known how it went on, (steps, envs); the last step is one or the other
    :param behind: where it was cut, what is taken for G there, (steps, envs)
    :param gamma: discount factor
    :return: G, and where at most a quarter of what counts in it is taken from ``behind``; (steps, envs) each
    """
    returns, decided = np.full(rewards.shape, np.nan), np.zeros(rewards.shape, bool)
    for env in range(rewards.shape[1]):
        start = 0
        for end in np.flatnonzero(terminated[:, env] | cut[:, env]).tolist():
            own = rewards[start : end + 1, env].copy()
            if cut[end, env]:
                own[-1] = behind[end, env]
            weights = gamma ** np.arange(len(own), dtype=np.float64)
            with np.errstate(invalid="ignore", divide="ignore"):
                returns[start : end + 1, env] = np.cumsum((weights * own)[::-1])[::-1] / weights
            decided[start : end + 1, env] = True if terminated[end, env] else weights[::-1] <= _LITTLE
            start = end + 1
    return returns, decided & np.isfinite(returns)


def dead_share(network: nn.Module, inputs: th.Tensor) -> float:
    """Tell the share of a perceptron's ReLU units that are 0 for every input.

    :param network: layers in sequence
    :param inputs: (states, features)
    :return: NaN for a network without ReLU
    """
    dead = units = 0
    for layer in network.children():
        inputs = layer(inputs)
        if isinstance(layer, nn.ReLU):
            dead += int((inputs == 0).all(dim=0).sum())
            units += inputs.shape[1]
    return dead / units if units else math.nan


def _is_steady(policy: Any) -> bool:
    """Say whether asking the networks changes nothing, and draws nothing."""
    known = {policy.actor: Actor.forward, policy.critic: ContinuousCritic.forward}
    if any(type(network).forward is not forward or has_own(network, "forward") for network, forward in known.items()):
        return False
    layers = [layer for network in known for layer in network.modules() if layer is not network]
    return all(type(layer) in _STEADY or type(layer).__module__.startswith(_OF_SB3_OR_OURS) for layer in layers)


def _is_read_as_it_is(policy: Any) -> bool:
    """Say whether what a network gets is the observation, not what convolutions have made of it."""
    extractors = policy.actor.features_extractor.modules()
    return not any(isinstance(module, nn.Conv2d) for module in extractors)


def _evenly(places: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Take so many of them, evenly spread."""
    if len(places) <= most:
        return places
    return places[np.linspace(0, len(places) - 1, most).astype(np.int64)]


def _tensors(model: Any, rows: NDArray[np.int64], places: NDArray[np.int64]) -> tuple[Any, th.Tensor]:
    """Give observations and actions of some transitions, numbered over rows and envs."""
    buffer, normalizer = model.replay_buffer, model.get_vec_normalize_env()
    at = rows[places // buffer.n_envs], places % buffer.n_envs
    stored = buffer.observations
    taken = {key: part[at] for key, part in stored.items()} if isinstance(stored, dict) else stored[at]
    taken = buffer._normalize_obs(taken, normalizer)
    observations: Any
    if isinstance(taken, dict):
        observations = {key: buffer.to_torch(part) for key, part in taken.items()}
    else:
        observations = buffer.to_torch(taken)
    return observations, buffer.to_torch(buffer.actions[at])


def _q(policy: Any, observations: Any, actions: th.Tensor) -> th.Tensor:
    values: th.Tensor = policy.critic.q1_forward(observations, actions)[:, 0]
    return values
