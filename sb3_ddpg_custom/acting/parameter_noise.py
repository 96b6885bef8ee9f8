"""Exploration by noise on the actor's weights (Plappert et al. 2018, arXiv 1706.01905)."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch as th
from numpy.typing import NDArray
from stable_baselines3.common.type_aliases import PyTorchObs
from stable_baselines3.td3.policies import TD3Policy
from torch import nn
from torch.func import functional_call

from sb3_ddpg_custom.acting.stacked_actor import Predict, Predicting, StackedActor
from sb3_ddpg_custom.overrides import overridden_for_acting
from sb3_ddpg_custom.updates.hooks import hooks_so_far
from sb3_ddpg_custom.updates.watch import Watch

_NORMALISATIONS = (nn.LayerNorm, nn.GroupNorm, nn.RMSNorm, nn.modules.batchnorm._NormBase)


class ParameterNoise:
    """Noise on the actor's weights instead of its actions, of a size that adapts: what to ask ``DDPG`` for.

    Each env acts with its own copy of the actor, whose weights got noise from N(0, std²) when the env's episode began.
    So the same state gets the same action throughout an episode, and exploration is consistent. ``action_noise`` may
    be added on top.

    Noise of one size changes the actions of one network more than those of another, so ``std`` follows the distance
    between the actions with and without noise (the paper's section 3, "Adaptive noise scaling", with its appendix's
    distance for DDPG)::

        d(π, π̃) = √(mean over states and action components of (π(s) - π̃(s))²)
        std ← adaptation · std if d ≤ target_std, else std / adaptation

    The states are a batch from the replay buffer, and π̃ is perturbed anew for the measurement: the distance to the
    acting copy would also count what was learned since its episode began.

    The paper normalises layers, so that noise of one size suits all of them; without that, some layers feel it much
    more than others:

    >>> from sb3_ddpg_custom import DDPG
    >>> options = {"policy_kwargs": {"layer_norm": "actor"}, "parameter_noise": ParameterNoise(0.2)}
    >>> model = DDPG("MlpPolicy", "Pendulum-v1", seed=0, **options).learn(150)

    Weights and biases of torch's normalising layers get no noise, nor do frozen ones. Noise comes from a generator of
    the model's own, with the model's seed.

    :param target_std: the paper's delta, the change of actions to aim at, in the normalised [-1, 1] action space
    :param std: size at the start, in the units of the weights; None takes ``target_std``
    :param adaptation: the paper's alpha, above 1
    :param adapt_every_steps: steps (of all envs at once) between two adaptations
    :raises ValueError: if one of these is out of range
    """

    def __init__(
        self,
        target_std: float = 0.2,
        *,
        std: float | None = None,
        adaptation: float = 1.01,
        adapt_every_steps: int = 50,
    ) -> None:
        for name, value in (("target_std", target_std), ("std", std)):
            if value is not None and not 0 < value < np.inf:
                raise ValueError(f"{name}={value} is no standard deviation of noise: choose a number above 0")
        if not 1 < adaptation < np.inf:
            raise ValueError(f"adaptation={adaptation} would not adapt: choose a factor above 1, such as 1.01")
        if adapt_every_steps < 1:
            raise ValueError(f"adapt_every_steps={adapt_every_steps} is no number of steps: choose 1 or more")
        self.target_std = float(target_std)
        self.std = self.target_std if std is None else float(std)
        self.adaptation = adaptation
        self.adapt_every_steps = adapt_every_steps

    def adapt(self, distance: float) -> None:
        """Make the noise larger or smaller by one step.

        :param distance: d(π, π̃) at the present ``std``, in the normalised action space
        """
        # Not a number counts as too far: shrinking is the way back.
        self.std = self.std * self.adaptation if distance <= self.target_std else self.std / self.adaptation

    def __repr__(self) -> str:
        return (
            f"ParameterNoise({self.target_std}, std={self.std}, adaptation={self.adaptation}, "
            f"adapt_every_steps={self.adapt_every_steps})"
        )


class PerturbedActor:
    """A policy's actor, with other noise on its weights for each env.

    Weights are kept beside the actor rather than in copies of it, so the actor itself stays as it is, and running
    statistics of batch norm are always its own. It costs a set of weights per env, which every step reads.

    :param noise: size of the noise, which :meth:`adapt` moves
    :param policy: the policy, in evaluation mode whenever something is asked of this object
    :param n_envs: envs side by side
    :param generator: where the noise comes from; None for torch's global one
    :param predict: gives actions in the env's units, as ``policy.predict``, which it replaces where a script has its
        own; None for the actor's output
    """

    def __init__(
        self,
        noise: ParameterNoise,
        policy: TD3Policy,
        n_envs: int,
        *,
        generator: th.Generator | None = None,
        predict: Predict | None = None,
    ) -> None:
        self.noise = noise
        self.policy = policy
        self.n_envs = n_envs
        self._generator = generator
        self._predict = predict
        self._begins_anew = np.ones(n_envs, dtype=np.bool_)
        self._steps = 0
        self._look()

    def _look(self) -> None:
        """Take over the actor as it is now, and draw noise for all envs."""
        actor = self.policy.actor
        self._watch = Watch([self.policy, *actor.modules()], [])
        self._hooks = hooks_so_far()
        self._kind = _kind_of(actor)
        predict = self._predict or (None if overridden_for_acting(self.policy) is None else self.policy.predict)
        self._acting = StackedActor(actor, self.n_envs, None if predict is None else Predicting(self.policy, predict))
        self._begins_anew[:] = True

    def _is_known(self) -> bool:
        try:
            return self._watch.is_same() and hooks_so_far() == self._hooks and _kind_of(self.policy.actor) == self._kind
        except RuntimeError:
            return False

    def reset(self, indices: Iterable[int]) -> None:
        """Draw new noise before the next action of these envs, whose episodes ended.

        :param indices: numbers of the envs
        """
        for index in indices:
            self._begins_anew[index] = True

    def __call__(self, observations: NDArray[Any] | dict[str, NDArray[Any]]) -> NDArray[np.float32]:
        """Act, each env with its own weights. Where a script has changed the actor's build, all begin anew.

        :param observations: of all envs, as SB3's ``predict`` takes them
        :return: (n_envs, …) actions in [-1, 1]
        """
        self._steps += 1
        if not self._is_known():
            self._look()
        for index in np.flatnonzero(self._begins_anew):
            self._acting.set(int(index), self._perturb())
        self._begins_anew[:] = False
        if self._acting.predicting is not None:
            return np.asarray(self.policy.scale_action(self._acting.predict(observations)), dtype=np.float32)
        tensors, _ = self.policy.obs_to_tensor(observations)
        actions = self._acting(tensors)
        shape: Any = self.policy.action_space.shape
        return np.asarray(actions.float().cpu().numpy().reshape(-1, *shape), dtype=np.float32)

    def state(self) -> dict[str, Any]:
        """Copy the envs' weights and the counts, for :meth:`restore`."""
        weights = {name: weight.clone() for name, weight in self._acting.weights.items()}
        return {"weights": weights, "begins_anew": self._begins_anew.copy(), "steps": self._steps}

    def restore(self, state: dict[str, Any]) -> None:
        """Act as another one would.

        :param state: which :meth:`state` gave, of an actor of the same build
        """
        for name, weight in state["weights"].items():
            self._acting.weights[name].copy_(weight)
        self._begins_anew[:] = state["begins_anew"]
        self._steps = state["steps"]

    @property
    def adaptation_is_due(self) -> bool:
        """Whether enough steps went by since the last adaptation."""
        return self._steps >= self.noise.adapt_every_steps

    def adapt(self, observations: PyTorchObs) -> float:
        """Measure what noise of the present size does to actions, and move the size.

        :param observations: a batch from the replay buffer
        :return: the distance d(π, π̃) before the move
        """
        self._steps = 0
        difference = self._act({}, observations) - self._act(self._perturb(), observations)
        distance = float(difference.square().mean().sqrt())
        self.noise.adapt(distance)
        return distance

    def _perturb(self) -> dict[str, th.Tensor]:
        """Copy the actor's weights as they are now, with new noise."""
        actor = self.policy.actor
        normalising = [name for name, part in actor.named_modules() if isinstance(part, _NORMALISATIONS)]
        return {
            name: parameter.detach() + self.noise.std * self._draw(parameter)
            if parameter.requires_grad and name.rpartition(".")[0] not in normalising
            else parameter.detach().clone()
            for name, parameter in actor.named_parameters()
        }

    def _draw(self, parameter: th.Tensor) -> th.Tensor:
        generator = self._generator
        if generator is None or generator.device == parameter.device:
            return th.empty_like(parameter).normal_(generator=generator)
        return th.randn(parameter.shape, generator=generator, dtype=parameter.dtype).to(parameter.device)

    def _act(self, weights: dict[str, th.Tensor], observations: PyTorchObs) -> th.Tensor:
        with th.no_grad():
            actions: th.Tensor = functional_call(self.policy.actor, weights, (observations,))
        return actions


def _kind_of(actor: nn.Module) -> tuple[th.dtype, th.device]:
    parameter = next(actor.parameters())
    return parameter.dtype, parameter.device
