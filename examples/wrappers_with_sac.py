"""The wrappers serve any algorithm: films and statistics of SB3's SAC.

python examples/wrappers_with_sac.py
"""

import gymnasium as gym
from stable_baselines3 import SAC

from sb3_ddpg_custom.wrappers import StatsMonitor, VideoMonitor, load_statistics


def main(steps: int = 600) -> None:
    """Train SAC for a while, and read what the wrappers recorded.

    :param steps: env steps
    """
    env = gym.make("Pendulum-v1", render_mode="rgb_array")
    videos = VideoMonitor(env, "videos", schedule="cubic")  # episodes 0, 1, 8, 27, ...
    monitored = StatsMonitor(videos, "rewards.npz", existing="continue")
    SAC("MlpPolicy", monitored, learning_starts=100, seed=0).learn(steps, log_interval=None)
    monitored.close()

    returns = load_statistics("rewards.npz")["rewards"]
    print(f"{len(returns)} episodes, the last with a return of {returns[-1]:.1f}")
    print("films:", ", ".join(path.name for path in videos.videos))


if __name__ == "__main__":
    main()
