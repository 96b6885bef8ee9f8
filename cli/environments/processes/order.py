"""What the process of an env is told: which env to make, and what the training's process has done before."""

import contextlib
import copy
import os
import pickle
import random
import sys
from dataclasses import dataclass
from pathlib import Path

import gymnasium as gym
import numpy as np
from gymnasium.envs.registration import load_env_creator

from sb3_ddpg_custom.cli.blame import reason
from sb3_ddpg_custom.cli.child_processes import thread_variables
from sb3_ddpg_custom.cli.environments.registry import import_modules
from sb3_ddpg_custom.cli.environments.single import TrainingEnv
from sb3_ddpg_custom.cli.errors import UsageError
from sb3_ddpg_custom.cli.paths import started_in, tied_to


@dataclass(frozen=True, kw_only=True)
class Order:
    """An env to be made in another process.

    :param env: what it is made from
    :param rank: its index
    :param seed: the training's, for what draws from the generators of the whole process
    :param imports: values of ``--import``
    :param start: the folder that the command was started in
    :param variables: the environment variables
    :param spec: the id's entry in Gymnasium's register, pickled; None where the process finds it by itself
    """

    env: TrainingEnv
    rank: int
    seed: int
    imports: tuple[str, ...]
    start: Path
    variables: dict[str, str]
    spec: bytes | None

    def prepare(self) -> None:
        """Bring this process to where the training's was when it would have made the env.

        :raises UsageError: if a module cannot be imported, or the env is not known here
        """
        os.environ.clear()
        os.environ.update(self.variables | thread_variables())
        tied_to(self.start)
        with contextlib.chdir(self.start):
            import_modules(self.imports)
        if self.spec is not None:
            self._register(self.spec)
        # One process after the other is forked from the same one, generators included.
        words = np.random.SeedSequence([self.seed, self.rank]).generate_state(3)
        random.seed(int(words[0]))
        np.random.seed(words[1])  # envs that draw from it are why
        if "torch" in sys.modules:
            sys.modules["torch"].manual_seed(int(words[2]))
            sys.modules["torch"].set_num_threads(1)

    def _register(self, spec: bytes) -> None:
        try:
            gym.registry[self.env.env_id] = pickle.loads(spec).var  # noqa: S301  # from the training's process
        except Exception as error:  # what it names may be in a module that is not found here
            if self.env.env_id not in gym.registry:
                raise UsageError(
                    f"{self.env.env_id} is registered where the training runs, and not in the processes of --vec-env "
                    f"subproc ({reason(error)}); register it in a module, and name that with --import"
                ) from error


def orders(env: TrainingEnv, n_envs: int, *, imports: tuple[str, ...], seed: int) -> list[bytes]:
    """Write an order for each env of a training.

    :param env: what they are made from
    :param n_envs: how many
    :param imports: values of ``--import``
    :param seed: the training's
    :raises UsageError: if the env cannot be made in another process
    """
    spec = _pickled_spec(env.env_id, imports)
    start, variables = started_in(), dict(os.environ)
    try:
        return [
            pickle.dumps(
                Order(env=env, rank=rank, seed=seed, imports=imports, start=start, variables=variables, spec=spec)
            )
            for rank in range(n_envs)
        ]
    except Exception as error:  # an object may raise anything while it is pickled
        raise UsageError(
            f"--vec-env subproc: {env.env_id} cannot be sent to another process with these settings "
            f"({reason(error)}); give its env_kwargs and wrappers plain data, or leave --vec-env out"
        ) from error


def _pickled_spec(env_id: str, imports: tuple[str, ...]) -> bytes | None:
    from stable_baselines3.common.vec_env import CloudpickleWrapper

    spec = gym.registry.get(env_id)
    if spec is None:  # "module:Env-v0", which is imported when it is made
        return None
    try:
        if isinstance(spec.entry_point, str) and spec.entry_point.startswith("__main__:"):
            spec = copy.copy(spec)
            # Whole, as the other process has another main; Gymnasium's types do not know that the creator is an env's.
            spec.entry_point = load_env_creator(str(spec.entry_point))  # type: ignore[assignment]
        return pickle.dumps(CloudpickleWrapper(spec))
    except Exception as error:  # an object may raise anything while it is pickled
        if imports:  # they register it there
            return None
        raise UsageError(
            f"--vec-env subproc: {env_id} cannot be sent to another process ({reason(error)}); register it in a "
            "module, and name that with --import"
        ) from error
