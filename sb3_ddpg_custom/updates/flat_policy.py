"""The policy's parameters and optimisers in flat tensors, and the one answer to "is this still the policy I know?"."""

from typing import Any

import torch as th
from stable_baselines3.td3.policies import TD3Policy

from sb3_ddpg_custom.overrides import classes_are_as_they_came, overridden_for_acting, overrides_modes
from sb3_ddpg_custom.updates.flat import FlatAdam, FlatParameters
from sb3_ddpg_custom.updates.hooks import hooks_so_far
from sb3_ddpg_custom.updates.plain_policy import is_hooked, networks_of
from sb3_ddpg_custom.updates.watch import Watch


class FlatPolicy:
    """A plain MLP policy whose parameters, gradients and Adam's moments lie in flat tensors.

    The policy goes on being everybody's: who acts or updates on this memory asks :meth:`is_known` or
    :meth:`acts_as_known` before, and makes another one, or goes another way, where the answer is no.

    :param policy: one that :func:`sb3_ddpg_custom.updates.why_not_analytic` has nothing against
    :param rate_on_device: see :class:`FlatAdam`
    """

    def __init__(self, policy: TD3Policy, *, rate_on_device: bool = False) -> None:
        self.policy = policy
        actor, critic, actor_target, critic_target = networks_of(policy)
        own, critics = list(actor.parameters()), list(critic.parameters())
        self.online = FlatParameters([*own, *critics])
        self.targets = FlatParameters([*actor_target.parameters(), *critic_target.parameters()])
        boundary = sum(parameter.numel() for parameter in own)
        halves = self.online.flat[:boundary], self.online.flat[boundary:]
        self.actor_adam = FlatAdam(actor.optimizer, own, halves[0], rate_on_device=rate_on_device)
        self.critic_adam = FlatAdam(critic.optimizer, critics, halves[1], rate_on_device=rate_on_device)
        self.remember()

    def remember(self) -> None:
        """Look at everything about the policy anew, on the same memory."""
        policy = self.policy
        networks = networks_of(policy)
        modules = [module for network in networks for module in network.modules()]
        actor = list(policy.actor.modules())
        self._watch = Watch([policy, *modules], self.online.parameters)
        self._actor_watch = Watch([policy, *actor], self.actor_adam.parameters)
        self._parameters = [*self.online.parameters, *self.targets.parameters]
        # A square matrix can be turned on the spot: other strides, the same address.
        self._square = [one for one in self._parameters if one.dim() == 2 and one.shape[0] == one.shape[1]]
        self._addresses = list(map(th.Tensor.data_ptr, self._parameters))
        self._size = len(self.actor_adam.parameters)
        self._owners = policy.actor.__dict__, policy.critic.__dict__
        self._hooks = hooks_so_far()
        self.may_act = overridden_for_acting(policy) is None
        self.spares_walks = not overrides_modes(policy)

    @property
    def actor_parameters(self) -> list[Any]:
        """W and b of the actor's layers, without their gradients' machinery."""
        return self.online.views[: len(self.actor_adam.parameters)]

    def is_known(self) -> bool:
        """Say whether an update on this memory is still what the policy asks for."""
        actor_adam, critic_adam = self.actor_adam, self.critic_adam
        try:
            return (
                self._owners[0].get("optimizer") is actor_adam.optimizer
                and self._owners[1].get("optimizer") is critic_adam.optimizer
                and (hooks_so_far() == self._hooks or self._is_free_of_hooks())
                and list(map(th.Tensor.data_ptr, self._parameters)) == self._addresses
                and all(map(th.Tensor.is_contiguous, self._square))
                and self._watch.is_same()
                and classes_are_as_they_came()
                and not th.is_anomaly_enabled()
                and actor_adam.is_current()
                and critic_adam.is_current()
            )
        except (RuntimeError, KeyError, AttributeError):  # a tensor where there was another thing does not compare
            return False

    def acts_as_known(self) -> bool:
        """Say whether the actor on this memory still is the policy's."""
        try:
            return (
                (hooks_so_far() == self._hooks or self._is_free_of_hooks())
                and list(map(th.Tensor.data_ptr, self._parameters[: self._size])) == self._addresses[: self._size]
                and self._actor_watch.is_same()
                and classes_are_as_they_came()
            )
        except (RuntimeError, AttributeError):
            return False

    def _is_free_of_hooks(self) -> bool:
        if is_hooked(self.policy):
            return False
        self._hooks = hooks_so_far()
        return True

    def release(self) -> None:
        """Leave the policy to another way to update."""
        self.actor_adam.release()
        self.critic_adam.release()

    def end_update(self) -> None:
        """Let the parameters' ``grad`` be the update's gradients, as after a backward pass, and note its steps."""
        for adam in (self.actor_adam, self.critic_adam):
            adam.note()
            if adam.parameters[-1].grad is not adam.gradients[-1]:
                for parameter, gradient in zip(adam.parameters, adam.gradients, strict=True):
                    parameter.grad = gradient

    def spare_one_walk(self) -> None:
        """Answer the policy's next ``set_training_mode`` at once, which SB3 calls first of all when it collects.

        The policy's own walks through its modules at every env step, a fifth of a small network's time.
        """
        if self.spares_walks and "set_training_mode" not in self.policy.__dict__:
            # Not by setattr, which on a module costs as much as what it saves.
            self.policy.__dict__["set_training_mode"] = self._set_training_mode_once

    def _set_training_mode_once(self, mode: bool) -> None:
        del self.policy.__dict__["set_training_mode"]
        self.set_training_mode(mode)

    def set_training_mode(self, mode: bool) -> None:
        """Do what SB3's ``policy.set_training_mode`` does, as far down as somebody looks: no layer here has modes.

        :param mode: True for training
        """
        if self.spares_walks:
            self.policy.__dict__["training"] = self._owners[0]["training"] = self._owners[1]["training"] = mode
        else:
            self.policy.set_training_mode(mode)

    def complete_training_mode(self) -> None:
        """Walk through the modules once for all that were spared."""
        if self.spares_walks:
            self.policy.set_training_mode(self.policy.training)
