"""SB3 callbacks that tell the program that started a training, on standard output, when something happens first."""

import json
import time
from typing import Any

import gymnasium as gym
import numpy as np
from stable_baselines3.common.callbacks import BaseCallback

EPISODES = 20
# Far from the training seeds of all that is compared, and the same at every evaluation.
EPISODE_SEEDS = range(1_000_000, 1_000_000 + EPISODES)


class Beginning(BaseCallback):
    """Print the time of the first env step and of the first update, in seconds since the epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting_for = "first_step"

    def _on_step(self) -> bool:
        if self._waiting_for == "first_step":
            self._note("first_update")
        return True

    def _on_rollout_start(self) -> None:
        model: Any = self.model
        if self._waiting_for == "first_update" and model._n_updates > 0:
            self._note("nothing")

    def _note(self, waits_for: str) -> None:
        print(json.dumps({self._waiting_for: time.time()}), flush=True)
        self._waiting_for = waits_for


class Evaluations(BaseCallback):
    """Evaluate now and then without exploration; print each mean return.

    A line has the env steps, the mean return, the moment just before the evaluation in seconds since the epoch, the
    seconds that the evaluations before it took, and the processor's seconds without those. The 20 episodes have the
    same start states each time.

    :param env_id: what is trained on
    :param every_steps: env steps between evaluations
    """

    def __init__(self, env_id: str, every_steps: int) -> None:
        super().__init__()
        self.env_id = env_id
        self.every_steps = every_steps
        self._seconds, self._cpu_seconds = 0.0, 0.0
        self._envs: list[gym.Env[Any, Any]] = []

    def _on_step(self) -> bool:
        if self.num_timesteps % self.every_steps == 0:
            began, cpu_began = time.time(), time.process_time()
            line = {"time": began, "evaluating": self._seconds, "cpu": cpu_began - self._cpu_seconds}
            print(json.dumps({"steps": self.num_timesteps, "return": self._evaluate(), **line}), flush=True)
            self._seconds += time.time() - began
            self._cpu_seconds += time.process_time() - cpu_began
        return True

    def _evaluate(self) -> float:
        self._envs = self._envs or [gym.make(self.env_id) for _ in EPISODE_SEEDS]
        observations = [env.reset(seed=seed)[0] for env, seed in zip(self._envs, EPISODE_SEEDS, strict=True)]
        running, total = [True] * EPISODES, 0.0
        while any(running):
            actions, _ = self.model.predict(np.stack(observations), deterministic=True)
            for place, (env, action) in enumerate(zip(self._envs, actions, strict=True)):
                if running[place]:
                    observations[place], reward, terminated, truncated, _ = env.step(action)
                    total += float(reward)
                    running[place] = not (terminated or truncated)
        return total / EPISODES

    def _on_training_end(self) -> None:
        for env in self._envs:
            env.close()
