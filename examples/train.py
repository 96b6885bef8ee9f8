"""Train on Pendulum, evaluate, save, load: SB3's own steps, with one import changed.

python examples/train.py
"""

import gymnasium as gym
from stable_baselines3.common.evaluation import evaluate_policy

from sb3_ddpg_custom import DDPG  # was: from stable_baselines3 import DDPG


def main(steps: int = 3000) -> None:
    """Train and say what came of it.

    :param steps: env steps
    """
    model = DDPG("MlpPolicy", "Pendulum-v1", critic_learning_rate=2e-3, gamma=0.98, seed=0)
    model.learn(steps, log_interval=None)
    mean, spread = evaluate_policy(model, model.get_env(), n_eval_episodes=10)
    print(f"mean return {mean:.1f} ± {spread:.1f} after {steps} steps")

    model.save("pendulum")
    again = DDPG.load("pendulum", env=gym.make("Pendulum-v1"))
    print(f"loaded again, at step {again.num_timesteps}")


if __name__ == "__main__":
    main()
