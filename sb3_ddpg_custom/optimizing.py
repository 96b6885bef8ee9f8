"""Learning rates and weight decay of the two optimisers, which SB3's algorithms take for one."""

from typing import Any

import torch as th
from stable_baselines3.common.off_policy_algorithm import OffPolicyAlgorithm
from stable_baselines3.common.type_aliases import Schedule
from stable_baselines3.common.utils import FloatSchedule, update_learning_rate

from sb3_ddpg_custom.layer_norm import NORMALISED
from sb3_ddpg_custom.policies import QUICK_OPTIMIZERS, set_weight_decay


class OptimizingAlgorithm(OffPolicyAlgorithm):
    """Keeps the optimisers' options what the algorithm's arguments say; the arguments are ``DDPG``'s."""

    critic_learning_rate: float | Schedule | None
    actor_weight_decay: float | None
    critic_weight_decay: float | None
    decoupled_weight_decay: bool | None

    def _quick_policy_kwargs(self) -> dict[str, Any]:
        """Name our Adam where SB3's policies would take torch's; other policies and optimisers are left alone."""
        quick = QUICK_OPTIMIZERS.get(self.policy_kwargs.get("optimizer_class", th.optim.Adam))
        if quick is not None and self.policy_class in (*self.policy_aliases.values(), *NORMALISED.values()):
            return {**self.policy_kwargs, "optimizer_class": quick}
        return self.policy_kwargs

    @property
    def critic_lr_schedule(self) -> Schedule:
        """The critic's step size as a function of the remaining progress (1 to 0)."""
        separate = self.critic_learning_rate
        return self.lr_schedule if separate is None else FloatSchedule(separate)

    @critic_lr_schedule.setter
    def critic_lr_schedule(self, schedule: Schedule) -> None:
        self.critic_learning_rate = schedule

    def _set_optimizer_options(self, actor: th.optim.Optimizer, critic: th.optim.Optimizer) -> None:
        """Bring learning rates and weight decay up to date: SB3 loads old ones with a zip, and knows one rate only."""
        if self.critic_learning_rate is None:
            self._update_learning_rate([actor, critic])
        else:
            self._update_learning_rate([actor])
            critic_learning_rate = self.critic_lr_schedule(self._current_progress_remaining)
            update_learning_rate(critic, critic_learning_rate)
            self.logger.record("train/critic_learning_rate", critic_learning_rate)
        if self._sets_weight_decay:
            self._set_weight_decays(actor, critic)

    @property
    def _sets_weight_decay(self) -> bool:
        asked = self.actor_weight_decay, self.critic_weight_decay, self.decoupled_weight_decay
        return asked != (None, None, None)

    def _set_weight_decays(self, actor: th.optim.Optimizer, critic: th.optim.Optimizer) -> None:
        set_weight_decay(actor, self.actor_weight_decay, decoupled=self.decoupled_weight_decay)
        set_weight_decay(critic, self.critic_weight_decay, decoupled=self.decoupled_weight_decay)
