"""An environment of one's own: from the class to a trained agent.

python examples/own_env.py
ddpg train Docking-v0 --import own_env --steps 5000      # the same by the command, in this folder
"""

from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_ddpg_custom import DDPG


class Docking(gym.Env[Any, Any]):
    """Bring a ship with thrusters to rest at the origin of a plane."""

    # What the agent sees: position and velocity. float32, and bounds that are true.
    observation_space = spaces.Box(-10, 10, (4,), np.float32)
    # What it does: a thrust in x and y. DDPG needs a Box with finite bounds.
    action_space = spaces.Box(-1, 1, (2,), np.float32)

    def reset(self, *, seed: int | None = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Begin somewhere near the origin, at rest."""
        super().reset(seed=seed)  # makes self.np_random
        self.position = self.np_random.uniform(-2, 2, 2)
        self.velocity = np.zeros(2)
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Thrust for a tenth of a second."""
        self.velocity = np.clip(self.velocity + 0.1 * np.asarray(action, dtype=float), -10, 10)
        self.position = np.clip(self.position + 0.1 * self.velocity, -10, 10)
        distance, speed = float(np.linalg.norm(self.position)), float(np.linalg.norm(self.velocity))
        docked = distance < 0.1 and speed < 0.1
        # terminated: the episode is really over. The time limit below is none of the env's business.
        return self._observation(), -distance - 0.1 * speed, docked, False, {"is_success": docked}

    def _observation(self) -> Any:
        return np.concatenate([self.position, self.velocity]).astype(np.float32)


gym.register("Docking-v0", entry_point=Docking, max_episode_steps=100)


def main(steps: int = 4000) -> None:
    """Train and say what came of it.

    :param steps: env steps
    """
    model = DDPG(
        "MlpPolicy", gym.make("Docking-v0"), gamma=0.95, batch_size=64, policy_kwargs={"net_arch": [64, 64]}, seed=0
    )
    model.learn(steps, log_interval=None)
    mean, spread = evaluate_policy(model, model.get_env(), n_eval_episodes=10)
    print(f"mean return {mean:.1f} ± {spread:.1f} after {steps} steps")


if __name__ == "__main__":
    main()
