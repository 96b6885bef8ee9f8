"""A policy of one's own: layer normalisation in both networks.

With SB3's policies ``policy_kwargs={"layer_norm": "both"}`` does the same. A plain MLP, with such norms or without,
is updated by hand, anything else by autograd; nothing has to be said about it.

python examples/own_policy.py
"""

from typing import Any

from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.td3.policies import Actor, ContinuousCritic, TD3Policy
from torch import nn

from sb3_ddpg_custom import DDPG


def normalised(network: nn.Sequential) -> nn.Sequential:
    """Put a layer normalisation behind each hidden layer.

    :param network: linear layers and activations in turn
    """
    layers: list[nn.Module] = []
    for layer in network:
        layers.append(layer)
        if isinstance(layer, nn.Linear) and layer is not network[-1] and layer.out_features > 1:
            layers.append(nn.LayerNorm(layer.out_features))
    return nn.Sequential(*layers)


class NormalisedPolicy(TD3Policy):
    """SB3's policy for DDPG and TD3, with other networks."""

    def make_actor(self, features_extractor: Any = None) -> Actor:
        """Build the actor, and its target."""
        actor = super().make_actor(features_extractor)
        hidden, end = actor.mu[:-2], actor.mu[-2:]  # the end: a linear layer and tanh
        actor.mu = nn.Sequential(*normalised(hidden), *end).to(self.device)
        return actor

    def make_critic(self, features_extractor: Any = None) -> ContinuousCritic:
        """Build the critic, and its target."""
        critic = super().make_critic(features_extractor)
        critic.q_networks = [normalised(network).to(self.device) for network in critic.q_networks]
        for index, network in enumerate(critic.q_networks):
            setattr(critic, f"qf{index}", network)
        return critic


def main(steps: int = 1500) -> None:
    """Train and say what came of it.

    :param steps: env steps
    """
    settings: dict[str, Any] = {"gamma": 0.98, "batch_size": 64, "policy_kwargs": {"net_arch": [64, 64]}, "seed": 0}
    model = DDPG(NormalisedPolicy, "Pendulum-v1", **settings)
    model.learn(steps, log_interval=None)
    mean, spread = evaluate_policy(model, model.get_env(), n_eval_episodes=5)
    print(f"mean return {mean:.1f} ± {spread:.1f} after {steps} steps")


if __name__ == "__main__":
    main()
